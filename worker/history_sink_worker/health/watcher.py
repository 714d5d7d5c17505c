"""Keeps the vitals of this worker up to date: what its event loop does, and what waits in queues and store."""

import threading
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from celery import bootsteps
from celery.signals import worker_shutting_down
from kombu.exceptions import OperationalError
from redis import exceptions as redis_errors

from history_sink.protocol.contract import UPLOAD_QUEUE
from history_sink.protocol.tenants import kinds_of
from history_sink_worker import log
from history_sink_worker.archive.names import DEAD
from history_sink_worker.dead.letter_format import parse_name
from history_sink_worker.dead.parked import broker_of
from history_sink_worker.gate.consumer_pause import ConsumerPause
from history_sink_worker.gate.store_probe import is_for_readers
from history_sink_worker.redis_transport.keeping import find_doubts, read_settings
from history_sink_worker.service.service import Service, service
from history_sink_worker.store import StoreError, list_page
from history_sink_worker.telemetry.backlog import look_at_other, look_at_redis
from history_sink_worker.telemetry.vitals import CHART, Letters

LOOK_SECONDS = 5.0
LETTERS_SECONDS = 60.0
_TURN_SECONDS = 1.0
_log = log.get("history_sink_worker")
_AWAY = (redis_errors.ConnectionError, redis_errors.TimeoutError, OperationalError, OSError)


class Watcher(bootsteps.StartStopStep):
    """Works with every pool, in the worker's main process. Without an endpoint nobody asks, and it does nothing."""

    requires = ("celery.worker.consumer.tasks:Tasks", ConsumerPause)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self.enabled = service().settings.broker.http_address is not None
        self._ending = threading.Event()
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        """Called again after each loss of the broker."""
        queues = tuple(consumer.app.amqp.queues.consume_from)
        CHART.note(
            waits_for=None, is_consuming=True, broker_away=None, turned_at=time.time(),
            takes_uploads=UPLOAD_QUEUE in kinds_of(queues), writes=not is_for_readers(queues),
        )  # fmt: skip
        self._timer = consumer.timer.call_repeatedly(_TURN_SECONDS, consumer.call_soon, (_note_turn,))
        self._ending = threading.Event()
        threading.Thread(target=_watch, args=(consumer, queues, self._ending), name="watcher", daemon=True).start()

    def stop(self, consumer: Any) -> None:
        """The broker is away, or the worker ends."""
        self._ending.set()
        if self._timer is not None:
            consumer.timer.cancel(self._timer)
        CHART.note(is_consuming=False, backlogs={}, unacked=None)

    shutdown = stop


@worker_shutting_down.connect
def _note_end(**_: Any) -> None:
    CHART.end()


def _note_turn() -> None:
    CHART.note(turned_at=time.time())


def _watch(consumer: Any, queues: Iterable[str], ending: threading.Event) -> None:
    letters_at = float("-inf")
    while not ending.is_set():
        _look_at_queues(consumer, queues, ending)
        if time.monotonic() - letters_at >= LETTERS_SECONDS:
            letters_at = time.monotonic()
            CHART.note(letters=_look_at_letters(consumer, service()))
            _look_at_keeping(consumer)
        ending.wait(LOOK_SECONDS)


def _look_at_queues(consumer: Any, queues: Iterable[str], ending: threading.Event) -> None:
    found: dict[str, Any] = {"backlogs": {}, "unacked": None, "broker_away": None}
    try:
        broker = broker_of(consumer)
        if broker is None:
            with consumer.app.connection_for_read() as connection:
                found["backlogs"] = look_at_other(connection, queues)
        else:
            found["backlogs"], found["unacked"] = look_at_redis(broker.client, broker.keys.prefix, queues)
    except _AWAY as error:
        found["broker_away"] = f"{type(error).__name__}: {error}"[:200]
    except Exception as error:  # noqa: BLE001  # not every transport can tell; and this must not end
        _log.debug("queues not read", error=type(error).__name__)
    if not ending.is_set():  # else it is of a connection that has been given up
        CHART.note(**found, pool_pids=tuple(consumer.pool.info.get("processes", ())))


def _look_at_keeping(consumer: Any) -> None:
    """An operator may have mended it meanwhile."""
    try:
        broker = broker_of(consumer)
        if broker is not None:
            CHART.note(forgets=find_doubts(read_settings(broker.client)))
    except Exception as error:  # noqa: BLE001  # that it is away is noted by who looks at the queues; this must not end
        _log.debug("settings of the broker not read", error=type(error).__name__)


def _look_at_letters(consumer: Any, work: Service) -> Letters | None:
    """None where the store does not say: then this worker is not ready, though nobody may have sent it anything."""
    try:
        # A thousand of each tenant, the oldest first.
        names = [name for each in work.each() for name in _list_letters(each)]
    except StoreError:
        for step in consumer.steps:
            if isinstance(step, ConsumerPause):
                step.doubt()
        return None
    oldest_at = datetime.strptime(min(names) + "+0000", "%Y%m%dT%H%M%S.%fZ%z").timestamp() if names else None
    return Letters(len(names), oldest_at)


def _list_letters(work: Service) -> list[str]:
    """When letters were written, as their names have it."""
    prefix = work.settings.prefix
    page = work.read(list_page(prefix + DEAD, ""))
    return [found[0] for entry in page.entries if (found := parse_name(prefix, entry.key))]
