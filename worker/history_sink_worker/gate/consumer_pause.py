"""Takes no uploads while the store keeps them out, and answers reads that it could not answer.

It works with every pool, because it lives in the worker's main process, which hears of each retry and owns the
consumer. Uploads wait in the queue. In memory there are at most the tasks that the worker had in hand.
"""

import secrets
import threading
import time
from typing import Any

from celery import bootsteps
from celery.worker import state
from celery.worker.state import task_ready

from history_sink.protocol.contract import LIST_SESSIONS, RESOLVE, STATUS
from history_sink.protocol.tenants import tenant_of
from history_sink_worker import log
from history_sink_worker.archive.reader import fault_of
from history_sink_worker.gate.barred_tenants import BarredTenants
from history_sink_worker.gate.store_breaker import ProbeFinding, StoreBreaker
from history_sink_worker.gate.store_probe import StoreProbe, find_writing, is_for_readers, look
from history_sink_worker.service.service import service
from history_sink_worker.store import Denied, StoreError
from history_sink_worker.telemetry.metrics import note_pause, note_task
from history_sink_worker.telemetry.vitals import CHART

READS = (RESOLVE, STATUS, LIST_SESSIONS)
_TICK_SECONDS = 0.5
_log = log.get("history_sink_worker")


class ConsumerPause(bootsteps.StartStopStep):
    """Moves the worker's consumer as its `StoreBreaker` says. All of that happens in the event loop's thread."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._gate = StoreBreaker()
        self._barred = BarredTenants()
        self._lock = threading.Lock()
        self._consumer = consumer
        self._timer: Any = None
        self._is_started = self._has_slot = False
        self._hand_over = consumer.on_task_request
        consumer.on_task_request = self.receive

    def start(self, consumer: Any) -> None:
        """Called again after each loss of the broker, with a consumer that has not begun to take messages."""
        work, token = service(), secrets.token_hex(8)
        self._probe = StoreProbe(lambda: look(work, token, self._is_reader()), self._learn, self._draw_patience)
        self._is_started, self._has_slot = True, False
        self._tick()
        self._timer = consumer.timer.call_repeatedly(_TICK_SECONDS, consumer.call_soon, (self._tick,))

    def stop(self, consumer: Any) -> None:
        """What is shut stays shut, until `start` or for good."""
        if self._is_started:
            self._is_started = False
            self._probe.end()
            consumer.timer.cancel(self._timer)

    def info(self, consumer: Any) -> Any:
        """For `inspect stats`, and so for Flower's page of the worker."""
        return {"store": self._describe()}

    def meet(self, error: object, began_at: float, queue: str = "") -> None:
        """A task of `queue` that began at `began_at` (Unix seconds) is tried again because of `error`. Any thread."""
        if isinstance(error, Denied) and self._bar(queue, error):
            return
        with self._lock:
            was_open = self._gate.is_open
            is_to_look = self._gate.meet(error, began_at, time.time())
            self._announce(was_open)
        if is_to_look:
            # Before the task is acknowledged: then no message is taken in its place.
            self._consumer.call_soon(self._move)
            self._probe.begin()

    def _bar(self, queue: str, error: Denied) -> bool:
        """Where it may be one tenant of several that the store refuses. The probe finds out whether it refuses all."""
        wanted, tenant = self._consumer.app.amqp.queues.consume_from, tenant_of(queue)
        if tenant is None or len({tenant_of(name) for name in wanted}) < 2:
            return False
        with self._lock:
            is_new = tenant not in self._barred.find(time.time())
            self._barred.bar(tenant, time.time())
        if is_new:
            _log.warning("tenant refused by the store: its uploads wait", tenant=tenant, reason=str(error))
        self._consumer.call_soon(self._move)
        self._probe.begin()
        return True

    def doubt(self) -> None:
        """Somebody else has asked the store in vain: find out. From any thread."""
        self._probe.begin()

    def receive(self, request: Any) -> None:
        """In place of Celery's own: `request` goes to the pool, unless its end is known."""
        request.consumer_pause = self
        reason, reading = self._gate.reason, self._gate.reading
        if reading is not None and request.name in READS:
            self._answer(request, reading)
        elif reason is not None and request.task.is_patient:
            self._give_back(request, reason)
        else:
            self._hand_over(request)

    def _learn(self, finding: ProbeFinding) -> bool:
        with self._lock:
            was_open = self._gate.is_open
            self._gate.learn(finding, time.time())
            self._announce(was_open)
            is_open = self._gate.is_open
        self._consumer.call_soon(self._move)
        return not is_open

    def _draw_patience(self) -> float:
        # A worker at full load is slow, too, and is not to be stopped for that.
        return 2.0 if self._gate.is_open else 1.0

    def _tick(self) -> None:
        with self._lock:
            is_to_look = self._gate.suspect(_running_seconds(), time.time()) or not self._gate.is_open
        if is_to_look:
            self._probe.begin()
        self._move()  # an operator may have added a queue

    def _move(self) -> None:
        if not self._is_started:  # the connection is gone, or going
            return
        try:
            self._set_queues()
            self._make_room()
        except self._consumer.connection_errors:
            raise  # Celery connects anew, and calls `start`
        except Exception:  # noqa: BLE001  # in the event loop it would end the worker; the next tick tries again
            _log.exception("gate not moved")

    def _set_queues(self) -> None:
        taking = self._consumer.task_consumer
        # Not Celery's `cancel_task_queue`: it deselects a queue for good, and a reconnect would start without it.
        taken = {queue.name for queue in taking.queues}
        wanted = self._consumer.app.amqp.queues.consume_from  # what an operator has cancelled meanwhile is not in it
        with self._lock:
            barred, is_open = self._barred.find(time.time()), self._gate.is_open
        CHART.note(refused_tenants=tuple(sorted(barred)))
        shut = {name for name in find_writing({*taken, *wanted}) if not is_open or tenant_of(name) in barred}
        for name in shut & taken:
            taking.cancel_by_queue(name)
        missing = [name for name in find_writing(wanted) if name not in taken | shut]
        for name in missing:
            taking.add_queue(wanted[name])
        if missing:
            taking.consume()

    def _make_room(self) -> None:
        # What was in hand and hangs may have all the places there are, and a read would not even be received.
        needs_slot = not self._gate.is_open
        if needs_slot != self._has_slot:
            qos = self._consumer.qos
            (qos.increment_eventually if needs_slot else qos.decrement_eventually)()
            self._has_slot = needs_slot

    def _answer(self, request: Any, reading: StoreError) -> None:
        backend = request.task.backend
        if request.name == RESOLVE:
            fault = fault_of(reading).encode()
            backend.mark_as_done(request.id, fault, request=request._context)
            request.on_success((False, repr(fault), 0.0))
        else:
            backend.mark_as_failure(request.id, reading, request=request._context)
            task_ready(request)
            request.acknowledge()
            request.send_event("task-failed", exception=f"{type(reading).__name__}: {reading}", traceback="")
        outcome = type(reading).__name__.lower()
        _log.warning("task ended", task=request.name, id=request.id, outcome=outcome, reason=str(reading), seconds=0.0)
        note_task(request.name, outcome, 0.0, {})

    def _give_back(self, request: Any, reason: StoreError) -> None:
        # It has waited for its time here, or was on its way when the gate was shut.
        task_ready(request)
        request.message.reject_log_error(_log, self._consumer.connection_errors, requeue=True)
        request.acknowledged = True
        request.send_event("task-retried", exception=f"{type(reason).__name__}: {reason}; waits in the queue")

    def _announce(self, was_open: bool) -> None:
        gate = self._gate
        CHART.note(store_away=gate.reason and str(gate.reason), reads_away=gate.reading and str(gate.reading))
        if gate.is_open == was_open:
            return
        if gate.is_open:
            _log.warning("store back", seconds=round(time.time() - gate.shut_at, 1))
        else:
            event = "store away" if self._is_reader() else "store away: uploads wait"
            _log.warning(event, reason=str(gate.reason))
            note_pause()

    def _is_reader(self) -> bool:
        return is_for_readers(self._consumer.app.amqp.queues.consume_from)

    def _describe(self) -> str:
        reason = self._gate.reason
        if reason is None:
            return "here"
        return f"away for {time.time() - self._gate.shut_at:.0f} s, uploads wait: {reason}"


def _running_seconds() -> float:
    """How long the longest of the running tasks has been running."""
    # `.data.copy()`: tasks are added by the threads that run them.
    active: Any = state.active_requests
    requests = [ref() for ref in active.data.copy()]
    began = [request.time_start for request in requests if request is not None and request.time_start]
    return time.time() - min(began) if began else 0.0
