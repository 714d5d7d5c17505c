"""Takes messages that can never succeed to the dead letters, and acknowledges them once they are there.

Works with every pool: it lives in the worker's main process, which has each message as it was received. A thread of
its own writes, so that neither the event loop nor the pool waits for the store. What waits is bounded by the
worker's prefetch limit, as it is not acknowledged, and a few more; and it does not wait here for long.
"""

import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from queue import SimpleQueue
from typing import Any

from celery.worker import state

from history_sink.protocol.tenants import is_own_id, tenant_of
from history_sink_worker import log
from history_sink_worker.dead.letter_format import Letter
from history_sink_worker.dead.letter_store import bury
from history_sink_worker.results import Results
from history_sink_worker.service.service import service
from history_sink_worker.store import StoreError
from history_sink_worker.task_errors import Refused
from history_sink_worker.telemetry.metrics import note_dead_letter

HOLD_SECONDS = 20.0
"""How long a message is kept while it cannot be written. Then it goes back to its queue, to the end."""
MOST_ASIDE = 8
"""How many messages that wait leave their places to others, who may be reads."""
LONGEST_PAUSE_SECONDS = 2.0
_log = log.get("history_sink_worker")


@dataclass(eq=False)
class DeadLetterWrite:
    """A message on its way to the dead letters, which counts as one of the worker's running tasks.

    So `inspect active` and Flower show it, its claim is kept over a reconnect, and the gate notices that something
    takes long. The names of its attributes are Celery's.
    """

    message: Any
    letter: Letter
    acknowledge: Callable[[], None]
    give_back: Callable[[], None]
    is_failure_stored: bool = False
    time_start: float = field(default_factory=time.time)
    has_waited = False
    room: Any = None

    @property
    def id(self) -> str:
        return self.letter.task_id

    def info(self, safe: bool = False) -> dict[str, Any]:
        """For `inspect active`."""
        letter = self.letter
        return {
            "id": letter.task_id,
            "name": letter.task,
            "type": letter.task,
            "args": f"({letter.session!r},)" if letter.session else "()",
            "kwargs": repr({"refused": letter.reason, "waits_for": "the store"}),
            "hostname": None,
            "time_start": self.time_start,
            "acknowledged": False,
            "delivery_info": {"routing_key": letter.queue},
            "worker_pid": os.getpid(),
        }


class DeadLetterWriter:
    """Those of one worker."""

    def __init__(self) -> None:
        self._consumer: Any = None
        self._waiting: SimpleQueue[DeadLetterWrite] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._failures = self._aside = 0

    def serve(self, consumer: Any) -> None:
        """From now on, `consumer` is the worker's."""
        self._consumer = consumer

    def add(self, burial: DeadLetterWrite) -> None:
        """Called in the event loop, or by a thread of the pool. Returns at once."""
        state.active_requests.add(burial)
        self._waiting.put(burial)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="burials", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while True:
            burial = self._waiting.get()
            try:
                self._try(burial)
            except Exception:  # noqa: BLE001  # it must not end for the rest of the worker's life
                _log.exception("burial failed", id=burial.id)
                self._end(burial, burial.give_back)

    def _try(self, burial: DeadLetterWrite) -> None:
        try:
            work = service()
            work = work.find(burial.letter.queue) or work
            key = work.run(bury(work.settings.prefix, burial.letter))
        except StoreError as error:
            self._wait(burial, error)
            return
        self._failures = 0
        announce(self._consumer, burial.letter, key, burial.is_failure_stored)
        self._end(burial, burial.acknowledge)

    def _wait(self, burial: DeadLetterWrite, error: StoreError) -> None:
        self._failures += 1
        if time.time() - burial.time_start >= HOLD_SECONDS:
            _log.warning("message waits in its queue to be buried", id=burial.id, reason=str(error))
            self._end(burial, burial.give_back)
        else:
            self._set_aside(burial, error)
            self._waiting.put(burial)
        bound = min(0.25 * 2 ** min(self._failures, 10), LONGEST_PAUSE_SECONDS)
        time.sleep(random.uniform(bound / 2, bound))

    def _set_aside(self, burial: DeadLetterWrite, error: StoreError) -> None:
        if burial.has_waited:
            return
        burial.has_waited = True
        _log.warning("message waits to be buried", id=burial.id, reason=str(error))
        if self._aside < MOST_ASIDE:
            burial.room = self._consumer.qos  # after a reconnect there is another one, of which it takes no place
            burial.room.increment_eventually()
            self._aside += 1

    def _end(self, burial: DeadLetterWrite, settle: Callable[[], None]) -> None:
        state.active_requests.discard(burial)
        if burial.room is not None:
            burial.room.decrement_eventually()
            self._aside -= 1
        self._consumer.call_soon_ack(settle)


@cache
def dead_letter_writer() -> DeadLetterWriter:
    """Those of this process."""
    return DeadLetterWriter()


def announce(consumer: Any, letter: Letter, key: str | None, is_failure_stored: bool = False) -> None:
    """Say that `letter` is buried: in the log, in Flower, and to who waits for the task's result. Never raises.

    `key` None: it was not kept, as its session was deleted.
    """
    if key:
        _log.error("message buried", key=key, **letter.summary())
        note_dead_letter()
    else:
        _log.info("message of a deleted session dropped", **letter.summary())
    if not letter.task_id or not is_own_id(letter.task_id, tenant_of(letter.queue)):
        return  # another tenant may wait for the answer of this id
    failure = Refused(letter.reason)
    if not is_failure_stored:
        Results(consumer.app.backend).mark_as_failure(letter.task_id, failure)
    named = {"name": letter.task} if letter.task else {}
    args = f"({letter.session!r},)" if letter.session else "()"
    try:
        if consumer.event_dispatcher and consumer.event_dispatcher.enabled:
            consumer.event_dispatcher.send(
                "task-failed", uuid=letter.task_id, exception=repr(failure), traceback="", args=args, **named
            )
    except Exception as error:  # noqa: BLE001  # whatever the broker's client raises: an event tells only of what is done
        _log.warning("event not sent", id=letter.task_id, error=type(error).__name__)
