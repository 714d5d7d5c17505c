"""Moves what the Redis transport has parked to the dead letters.

A transport has no store: what it cannot hand out, or has handed out too often, it moves into a list of its own beside
the queue. From there a worker's timer takes it: into the store first, out of Redis then.
"""

import time
from typing import Any

from redis.exceptions import RedisError

from history_sink_worker import log
from history_sink_worker.dead.builder import letter_of_record
from history_sink_worker.dead.letter_store import bury
from history_sink_worker.dead.writer import announce
from history_sink_worker.redis_transport.returns import BrokerAccess, dead_list
from history_sink_worker.service.service import Service
from history_sink_worker.store import StoreError

_LOCK_SECONDS = 60
_log = log.get("history_sink_worker")


def broker_of(consumer: Any) -> BrokerAccess | None:
    """The Redis that `consumer` takes messages from; None where that is another broker."""
    return getattr(consumer.connection.default_channel, "broker", None)


def move_parked(consumer: Any, work: Service, broker: BrokerAccess) -> None:
    """Move all there is now. Whoever dies on the way leaves the rest, and nothing twice, to the next one."""
    lists = {dead_list(broker, queue): queue for queue in consumer.app.amqp.queues.consume_from}
    lists[f"{broker.keys.unacked}.dead"] = ""
    try:
        filled = [name for name in lists if broker.client.exists(name)]
        if filled and _lock(broker):
            try:
                for name in filled:
                    _move(consumer, work, broker, name, lists[name])
            finally:
                broker.client.delete(_lock_name(broker))
    except (RedisError, OSError, StoreError) as error:
        _log.warning("parked messages wait", reason=str(error))


def _lock(broker: BrokerAccess) -> bool:
    # For the count's sake only: two workers that move the same message at once write two letters of it.
    return bool(broker.client.set(_lock_name(broker), "1", nx=True, ex=_LOCK_SECONDS))


def _lock_name(broker: BrokerAccess) -> str:
    return f"{broker.keys.unacked}.dead_lock"


def _move(consumer: Any, work: Service, broker: BrokerAccess, name: str, queue: str) -> None:
    client: Any = broker.client
    while (record := client.lindex(name, 0)) is not None:
        letter = letter_of_record(record, queue, time.time(), consumer.app.amqp.queues)
        its = work.find(letter.queue) or work
        key = its.run(bury(its.settings.prefix, letter, look=True))
        announce(consumer, letter, key)
        client.lrem(name, 1, record)
        client.expire(_lock_name(broker), _LOCK_SECONDS)
