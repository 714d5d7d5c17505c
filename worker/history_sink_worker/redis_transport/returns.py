"""How one message goes back to its queue: from the record of its claim, which is all that is needed for it.

A message that was abandoned too often, or that cannot be read, goes to a list of its own instead, whole.
"""

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import time
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from history_sink_worker.headers import ABANDONED, FIRST_TRIED
from history_sink_worker.redis_transport.scripts import PUT_BACK

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Keys:
    """The names of the broker's own keys, with the prefix of all keys before them."""

    prefix: str
    unacked: str
    index: str
    swept: str


@dataclass(frozen=True)
class BrokerAccess:
    """How to reach it, by the newest channel that this process has opened to it."""

    client: Redis
    keys: Keys
    queues_of: Callable[[str, str], Iterable[str]]  # exchange, routing key
    list_of: Callable[[str, dict[str, Any]], str]  # queue, message
    visibility_timeout_seconds: float
    visibility_max_seconds: float
    max_abandoned: int


@dataclass(frozen=True)
class Return:
    """`abandoned`: it took its worker down with it, which counts."""

    side: str = "RPUSH"  # of a list whose right end is taken next
    abandoned: bool = False


def give_back(broker: BrokerAccess, claim: str, how: Return) -> None:
    """End `claim`; its message goes back to its queue. Raises `RedisError`, `OSError`: then nothing has happened."""
    raw: Any = broker.client.hget(broker.keys.unacked, claim)
    if raw is None:
        broker.client.zrem(broker.keys.index, claim)
        return
    try:
        message, exchange, routing_key = json.loads(raw)
        count = _mark_redelivered(message, how.abandoned)
        queues = list(broker.queues_of(exchange, routing_key))
        lists = [broker.list_of(queue, message) for queue in queues]
        if not lists:
            raise ValueError("no queue is bound for it")
    except (RedisError, OSError):
        raise
    except Exception as error:  # noqa: BLE001 - written by anybody; a sweep must not end on it
        dead = f"{broker.keys.unacked}.dead"
        logger.critical("claim %s can't be given back (%r): moved to %s", claim, error, dead)
        _put_back(broker, claim, raw, [dead])
        return
    if count >= broker.max_abandoned:
        lists = [dead_list(broker, queue) for queue in queues]
        task = str(message["headers"].get("id"))[:100]
        logger.critical("the message of task %s was abandoned %d times: moved to %s", task, count, lists)
    _put_back(broker, claim, json.dumps(message).encode(), lists, how.side)


def park(broker: BrokerAccess, claim: str, queue: str, message: bytes, reason: str) -> None:
    """End `claim`; its message goes to the list of those that no worker can take. Raises as `give_back`."""
    dead = dead_list(broker, queue)
    logger.critical("a message can't be taken (%s): moved to the list %s", reason, dead)
    _put_back(broker, claim, message, [dead])


def dead_list(broker: BrokerAccess, queue: str) -> str:
    """Where the messages of `queue` are parked."""
    return f"{broker.keys.prefix}{queue}.dead"


def _put_back(broker: BrokerAccess, claim: str, message: bytes, lists: Sequence[str], side: str = "RPUSH") -> None:
    keys = [broker.keys.unacked, broker.keys.index, *lists]
    broker.client.eval(PUT_BACK, len(keys), *keys, claim, message, side)


def _mark_redelivered(message: dict[str, Any], abandoned: bool) -> int:
    headers = message["headers"] = message.get("headers") or {}
    info = message["properties"].setdefault("delivery_info", {})
    headers["redelivered"] = info["redelivered"] = True
    count = int(headers.get(ABANDONED, 0)) + abandoned
    if abandoned:
        headers[ABANDONED] = count
        headers.setdefault(FIRST_TRIED, time())  # or a little earlier
    return count if abandoned else 0
