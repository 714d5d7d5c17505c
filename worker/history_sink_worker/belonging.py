"""Which store a queue's messages go to: noted beside the queue, so that no two deployments share one by mistake.

Workers with different buckets or prefixes on one queue would each get a part of each session, and none could be read.
An endpoint is noted for words only: one store may be reached by several names.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

import redis
from kombu.utils.url import parse_url
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from history_sink.protocol.broker_urls import REDIS_SCHEMES, for_redis_py
from history_sink_worker import log
from history_sink_worker.settings import BrokerSettings, WorkerSettings

KEY = "history-sink:store"
TIMEOUT_SECONDS = 3.0
ANOTHERS = "the queue is another store's"
REMEDY = (
    "give each deployment a Redis database (or a broker) of its own; or, to move on purpose, stop all workers of this "
    "queue and run `history-sink-worker move`"
)

_log = log.get("history_sink_worker")


@dataclass(frozen=True, slots=True)
class Home:
    """Where messages go. Two are of one place if bucket and prefix are the same."""

    bucket: str
    prefix: str
    endpoint: str

    def __str__(self) -> str:
        return f'bucket "{self.bucket}", prefix "{self.prefix}" ({self.endpoint})'

    def encode(self) -> str:
        """As it is noted."""
        return json.dumps(asdict(self))

    def is_at(self, other: "Home") -> bool:
        """Whether both are of one place."""
        return (self.bucket, self.prefix) == (other.bucket, other.prefix)


def home_of(settings: WorkerSettings) -> Home:
    """Where a worker with these settings puts what it takes."""
    return Home(settings.bucket, settings.home_prefix, settings.endpoint)


def decode(note: bytes) -> Home | None:
    """None where it is not what a worker leaves. What a later version adds is passed over."""
    try:
        said = json.loads(note)
        return Home(str(said["bucket"]), str(said["prefix"]), str(said["endpoint"]))
    except (ValueError, KeyError, TypeError):
        return None


def find_refusal(note: bytes | None, ours: Home) -> str | None:
    """Why a worker of `ours` must not take messages beside which `note` was left; None if it may. Pure."""
    if note is None:
        return None
    theirs = decode(note)
    if theirs is None:
        return f"what is noted at {KEY} beside the queue is no store"
    if theirs.is_at(ours):
        return None
    return f"this queue's messages go to another store: {theirs}; these settings have {ours}"


def find_place(settings: BrokerSettings) -> tuple[str, str] | None:
    """Redis' URL, and the key of the note: beside the queue, else beside the answers; None where there is no Redis.

    Beside answers the key tells brokers apart, by host and virtual host: several may keep answers in one Redis.
    """
    broker, result = settings.broker_url or "", settings.result_url or ""
    if urlsplit(broker).scheme in REDIS_SCHEMES:
        return for_redis_py(broker), KEY
    if urlsplit(result).scheme in REDIS_SCHEMES:
        return for_redis_py(result), f"{KEY}:{hashlib.sha256(_name_broker(broker).encode()).hexdigest()[:12]}"
    return None


def _name_broker(url: str) -> str:
    """The same for all ways to write one broker's URL."""
    parts = parse_url(url)
    port = parts["port"] or (5671 if parts["transport"] == "amqps" else 5672)
    return f"{parts['hostname']}:{port} {parts['virtual_host'] or '/'}"


def open_redis(url: str, **options: Any) -> redis.Redis:
    """A client that gives up soon. To be closed. Raises ValueError, TypeError for a URL that redis-py cannot use."""
    retry = Retry(NoBackoff(), 0)
    return redis.Redis.from_url(
        url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS, retry=retry, **options
    )


def leave_note(client: Any, key: str, ours: Home) -> str | None:
    """Note `ours`, unless another store is noted: then why that is refused. Raises RedisError, OSError."""
    # In one step, as of two that start at once one must be first; but not where Redis is full, and only has to be read.
    note: bytes | None = client.get(key) or client.set(key, ours.encode(), nx=True, get=True)
    return find_refusal(note, ours)


def check(connection: Any, settings: WorkerSettings) -> str | None:
    """Why a worker must not take messages by `connection` (kombu's), or None.

    Raises the errors of a Redis that is the broker: who cannot look does not take messages, and connects anew.
    """
    ours = home_of(settings)
    if connection.transport.driver_type == "redis":
        return leave_note(connection.default_channel.broker.client, KEY, ours)
    place = find_place(settings.broker)
    if place is None:
        return None
    try:
        with open_redis(place[0]) as client:
            return leave_note(client, place[1], ours)
    except (RedisError, OSError) as error:  # the broker is another server, and it is here
        _log.warning("stores not compared", reason=f"{type(error).__name__}: {error}"[:200])
        return None
