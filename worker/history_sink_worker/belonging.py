"""Which store a queue's messages go to: noted beside the queue, so that no two deployments share one by mistake.

Workers with different buckets or prefixes on one queue would each get a part of each session, and none could be read.
An endpoint is noted for words only: one store may be reached by several names.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

import redis
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
    return Home(settings.bucket, settings.prefix, settings.endpoint)


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


def places(settings: BrokerSettings) -> Iterator[tuple[str, str]]:
    """Redis' URL, and the key of the note, for each place of a note: beside the queue, else beside the answers.

    Beside answers the key tells brokers apart, by their URL without credentials: several may keep answers in one Redis.
    """
    broker, result = settings.broker_url or "", settings.result_url or ""
    if urlsplit(broker).scheme in REDIS_SCHEMES:
        yield for_redis_py(broker), KEY
    elif urlsplit(result).scheme in REDIS_SCHEMES:
        parts = urlsplit(broker)
        name = f"{parts.hostname}:{parts.port} {parts.path}"
        yield for_redis_py(result), f"{KEY}:{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def open_redis(url: str) -> redis.Redis:
    """A client that gives up soon. To be closed."""
    retry = Retry(NoBackoff(), 0)
    return redis.Redis.from_url(
        url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS, retry=retry
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
    if connection.transport.driver_type == "redis":  # the one that has answered, of several
        return leave_note(connection.default_channel.broker.client, KEY, ours)
    for url, key in places(settings.broker):
        try:
            with open_redis(url) as client:
                return leave_note(client, key, ours)
        except (RedisError, OSError) as error:  # the broker is another server, and it is here
            _log.warning("stores not compared", reason=f"{type(error).__name__}: {error}"[:200])
    return None
