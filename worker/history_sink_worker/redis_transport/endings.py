"""How Redis is told that tasks have ended: what is to be known of each, and only then that their messages are done."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from history_sink_worker.redis_transport.returns import BrokerAccess


@dataclass(frozen=True)
class Ending:
    """A task that has done its work.

    `add` adds to a pipeline what is to be known of it, and returns how many commands that are. `told` gets what Redis
    has answered to these, errors among them. Neither raises.
    """

    claim: str
    add: Callable[[Any], int]
    told: Callable[[Sequence[Any]], None]


def tell(broker: BrokerAccess, endings: Sequence[Ending], claims: Collection[str]) -> None:
    """All of it, and then that the messages of `claims` are done, in one round trip.

    Raises `RedisError`, `OSError`: all of it may have been done or not, and to do it again does no harm. So where Redis
    refuses the latter (it is a replica now, its disk is full), nobody is told what it has answered to the rest.
    """
    pipe: Any = broker.client.pipeline(transaction=False)  # at maxmemory no MULTI
    counts = [ending.add(pipe) for ending in endings]
    pipe.hdel(broker.keys.unacked, *claims)  # first: an index without a claim heals, not so a
    pipe.zrem(broker.keys.index, *claims)  # claim without an index
    replies = pipe.execute(raise_on_error=False)
    for reply in replies[-2:]:
        if isinstance(reply, ResponseError):
            raise reply
    for ending, count in zip(endings, counts, strict=True):
        ending.told(replies[:count])
        del replies[:count]
