"""What a worker does with a message that is no task: Celery's own consumer would log its body, and forget it."""

import time
from datetime import UTC, datetime
from functools import partial
from typing import Any

from celery.exceptions import WorkerShutdown
from celery.worker import state
from celery.worker.consumer import Consumer as CeleryConsumer

from history_sink_worker import belonging, log, tenancy
from history_sink_worker.dead.builder import letter_of
from history_sink_worker.dead.letter_format import show_task
from history_sink_worker.dead.writer import DeadLetterWrite, dead_letter_writer
from history_sink_worker.intake.admission import describe_undecodable, find_fault
from history_sink_worker.intake.request import Request
from history_sink_worker.outage import Outage
from history_sink_worker.redis_transport.keeping import find_doubts, read_settings
from history_sink_worker.service.service import service
from history_sink_worker.telemetry.vitals import CHART

MOST_WAITING = 20
"""So many messages wait for their time in the worker's memory, each with its body. Where the broker can keep the
others, it does: of a backlog from a newer version, say, there may be any number."""
LONGEST_WAIT_SECONDS = 3600.0
PAUSE_SECONDS = 0.5
"""Between one try to reach the broker and the next."""
_log = log.get("history_sink_worker")
_tasks: Any = state  # its stubs leave out most of it


class Consumer(CeleryConsumer):
    """Celery's consumer. It buries what can be no task, and says what was wrong with it, but not what it held."""

    connection_errors: Any

    def __init__(self, on_task_request: Any, *, worker_options: Any = None, **options: Any) -> None:
        # Mingle and gossip tell a worker what others know of revoked tasks, and that they are there. No promise rests
        # on either: what one worker does not know to be revoked is archived. Each connection would wait 1 s for them.
        chosen = {**(worker_options or {}), "without_mingle": True, "without_gossip": True}
        self._outage = Outage()
        self._doubts: tuple[str, ...] = ()
        super().__init__(on_task_request, worker_options=chosen, **options)
        dead_letter_writer().serve(self)

    def ensure_connected(self, conn: Any) -> Any:
        """As Celery's, but that a broker that is away is tried twice a second: kombu waits for 2, 4, … 30 s."""
        pauses = {"interval_start": PAUSE_SECONDS, "interval_step": 0, "interval_max": PAUSE_SECONDS}
        ensure = conn.ensure_connection

        def ensure_quietly(errback: Any = None, *args: Any, **options: Any) -> Any:
            # `errback` would say it at each try, as an error.
            return ensure(lambda error, _: self._say_away(error), *args, **{**options, **pauses})

        conn.ensure_connection = ensure_quietly
        return super().ensure_connected(conn)

    def connection_for_read(self, heartbeat: float | None = None) -> Any:
        """As Celery's, but that a worker ends, and takes nothing, where the queue belongs to another store."""
        connection = super().connection_for_read(heartbeat=heartbeat)
        try:
            refusal = belonging.check(connection, service().settings)
            self._look_at_keeping(connection)
        except Exception:
            connection.release()
            raise
        if refusal is not None:
            connection.release()
            _log.critical(belonging.ANOTHERS, remedy=belonging.REMEDY, reason=refusal)
            raise WorkerShutdown(1)
        return connection

    def _look_at_keeping(self, connection: Any) -> None:
        """Say once that a Redis may lose what it acknowledges. It is used all the same: it may be meant so."""
        if connection.transport.driver_type != "redis":
            return
        doubts = find_doubts(read_settings(connection.default_channel.broker.client))
        CHART.note(forgets=doubts)
        if doubts and doubts != self._doubts:
            _log.warning("broker may forget", reasons=list(doubts), remedy="history-sink-worker doctor")
        self._doubts = doubts

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """As Celery's, but that a worker that could only try again for ever ends, and says why."""
        if "does not support global qos" in str(exc):
            # What waits for its time here leaves its place to others, by a limit that only all queues together have.
            instead = 'use a virtual host made with "rabbitmqctl add_vhost NAME --default-queue-type classic"'
            _log.critical("quorum queues are not supported", reason=str(exc), instead=instead)
            raise WorkerShutdown(1)
        self._wait_out(exc)
        super().on_connection_error_after_connected(exc)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """As Celery's, in our words, and with a pause."""
        self._wait_out(exc)

    def on_ready(self) -> None:
        """Called each time that it begins to take messages."""
        super().on_ready()
        seconds = self._outage.end(time.monotonic())
        if seconds is not None:
            _log.warning("broker back", seconds=round(seconds, 1))

    def _wait_out(self, error: Exception) -> None:
        # One that lets us in and then refuses (it is full, say) is not to be asked in a circle without a pause.
        time.sleep(self._outage.pause_seconds(time.monotonic(), PAUSE_SECONDS))
        self._say_away(error)

    def _say_away(self, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}"[:200]
        CHART.note(broker_away=reason)
        seconds = self._outage.meet(time.monotonic())
        if seconds is not None:
            _log.warning("broker away", reason=reason, seconds=round(seconds, 1))

    def create_task_handler(self, *args: Any, **options: Any) -> Any:
        """The function that takes each message. A message that would end the worker is refused before."""
        handle = super().create_task_handler(*args, **options)
        has_tenants = bool(service().settings.broker.tenants)
        is_memory_shared = Request.is_memory_shared = bool(self.pool.body_can_be_buffer)

        def on_message(message: Any) -> Any:
            fault = find_fault(message, is_memory_shared)
            if fault is None and has_tenants:
                fault = tenancy.find_trespass(message)
            if fault is not None:
                return self._bury(message, fault)
            if _is_deferred(message):
                return None
            handled = handle(message)
            _show_waiting(message)
            return handled

        return on_message

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        packed = isinstance(message.headers, dict) and message.headers.get("compression")
        self._bury(message, "its body is compressed" if packed else describe_undecodable(exc))

    def on_unknown_message(self, body: Any, message: Any) -> None:
        self._bury(message, "it is no task message")

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        self._bury(message, f"it is not a valid task: {type(exc).__name__}")

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        name = show_task(message.headers.get("task"))
        self._bury(message, f"its task is unknown: {name}" if name else "its task is unknown")

    def _bury(self, message: Any, reason: str) -> None:
        now = time.time()
        letter = letter_of(message, reason, queues=self.app.amqp.queues.consume_from, received=now, now=now)
        told = (_log, self.connection_errors)
        give_back = partial(message.reject_log_error, *told, requeue=True)
        dead_letter_writer().add(DeadLetterWrite(message, letter, partial(message.ack_log_error, *told), give_back))


def _is_deferred(message: Any) -> bool:
    """Whether `message` waits for its time in the broker, as enough others do here."""
    eta = message.headers.get("eta")
    if eta is None or len(_tasks.scheduled_requests) < MOST_WAITING or not hasattr(message.channel, "defer"):
        return False
    seconds = min(_seconds_until(eta), LONGEST_WAIT_SECONDS)
    if seconds > 0:
        message.channel.defer(message.delivery_tag, seconds)
    return seconds > 0


def _seconds_until(eta: str) -> float:
    try:
        at = datetime.fromisoformat(eta)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0  # Celery finds out, too, and it is buried


def _show_waiting(message: Any) -> None:
    # A retry that waits for its time in this worker would be shown as RECEIVED: Celery announces it like any other.
    request = _tasks.requests.get(message.headers.get("id"))
    if request in _tasks.scheduled_requests and request.request_dict.get("retries"):
        request.send_event("task-retried")
