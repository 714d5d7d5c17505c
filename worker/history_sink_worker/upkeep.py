"""What is done from time to time, by a thread beside the worker's consumer.

It takes what is due off the due list and sends the tasks; and it moves what is parked to the dead letters.
"""

import threading
import time
from contextlib import suppress
from typing import Any

from celery import Celery, bootsteps
from celery.worker import state
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from history_sink.protocol.contract import COMPACT, MAINTENANCE_QUEUE
from history_sink.protocol.tenants import new_task_id, queue_for
from history_sink_worker import belonging, log
from history_sink_worker.dead.parked import broker_of, move_parked
from history_sink_worker.redis_transport.returns import BrokerAccess
from history_sink_worker.service.service import Service, service

AT_A_TIME = 100
_log = log.get("history_sink_worker")
_state: Any = state  # its stubs leave out what may be set


def send_compact(app: Celery, session: str, branch: str | None, idle: bool = False, tenant: str | None = None) -> bool:
    """Ask for a compaction; whether the broker took it. Nothing is lost if not: it is asked for again."""
    try:
        app.send_task(
            COMPACT,
            (session, branch),
            {"idle": idle},
            queue=queue_for(MAINTENANCE_QUEUE, tenant),
            task_id=new_task_id(tenant),
            retry=False,
            ignore_result=True,
        )
    except OperationalError:
        return False
    return True


def send_due(app: Celery, work: Service, now: float) -> int:
    """Send a task for each thing that is due; how many were due. What is not sent is due again."""
    claimed = work.due.claim(now, AT_A_TIME)
    for due in claimed:
        kind, session, branch = due
        if send_compact(app, session, branch, kind == "idle", work.settings.tenant):
            work.due.drop([due])
    return len(claimed)


class Upkeep(bootsteps.StartStopStep):
    """Works with every pool: it runs in the worker's main process, beside the consumer."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, consumer: Any) -> None:
        """Called again after each loss of the broker."""
        self._ending = threading.Event()
        self._thread = threading.Thread(
            target=_work, args=(consumer, service(), broker_of(consumer), self._ending), name="upkeep", daemon=True
        )
        self._thread.start()

    def stop(self, consumer: Any) -> None:
        """It ends within a second, unless it is just sending."""
        self._ending.set()

    shutdown = stop


def _look_at_note(work: Service, broker: BrokerAccess) -> None:
    """End where the queue was moved to another store meanwhile; leave the note again where Redis was emptied."""
    with suppress(RedisError, OSError):  # that it is away is said by the consumer
        refusal = belonging.leave_note(broker.client, belonging.KEY, belonging.home_of(work.settings))
        if refusal is not None and not _state.should_stop:
            _log.critical(belonging.ANOTHERS, remedy=belonging.REMEDY, reason=refusal)
            _state.should_stop = 1  # the event loop sees it at its next turn, and finishes what is in hand


def _work(consumer: Any, work: Service, broker: BrokerAccess | None, ending: threading.Event) -> None:
    pause_seconds = min(5.0, work.settings.idle_seconds / 4)
    while not ending.wait(pause_seconds):
        try:
            for each in work.each():
                while send_due(consumer.app, each, time.time()) == AT_A_TIME and not ending.is_set():
                    pass
            if broker is not None:
                _look_at_note(work, broker)
                move_parked(consumer, work, broker)
        except Exception:  # noqa: BLE001  # it must not end for the rest of the worker's life
            _log.exception("upkeep failed")
