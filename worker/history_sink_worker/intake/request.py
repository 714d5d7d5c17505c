"""A task that a worker has received, as events and `inspect` may show it.

Celery shows the reprs of arguments that clients send along, and gives whole arguments to whoever inspects a
worker. Both would show transcripts.
"""

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from billiard.einfo import ExceptionWithTraceback  # type: ignore[attr-defined]  # left out of the stubs
from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery.exceptions import Ignore, InvalidTaskError, Reject, Retry, WorkerShutdown
from celery.platforms import EX_FAILURE
from celery.worker import state
from celery.worker.request import Request as CeleryRequest

from history_sink.protocol.contract import UPLOAD
from history_sink_worker.dead.builder import letter_of
from history_sink_worker.dead.writer import DeadLetterWrite, dead_letter_writer
from history_sink_worker.headers import CLAIM, REPLAYED
from history_sink_worker.intake.description import describe
from history_sink_worker.redis_transport.lost_child import MOST_TIMES, count_here, mark_if_lost
from history_sink_worker.task_errors import Refused

if TYPE_CHECKING:
    from history_sink_worker.gate.consumer_pause import ConsumerPause

_NOT_THE_END = (Retry, Reject, Ignore, WorkerLostError, Terminated, SystemExit, KeyboardInterrupt, MemoryError)
"""After these a message goes back to its queue, or has been sent again."""


class Request(CeleryRequest):
    """Celery's request, with a description in place of its arguments wherever they are shown."""

    consumer_pause: "ConsumerPause | None" = None
    # Celery's, left out of its stubs, or more than they say.
    app: Any
    task: Any
    is_memory_shared = False
    """Whether tasks run in this process; then one need not decode its body again."""
    _payload: Any
    _body: Any
    _content_type: Any
    _is_being_buried = False

    def __init__(self, message: Any, *args: Any, **options: Any) -> None:
        try:
            super().__init__(message, *args, **options)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # A malformed message would end the worker, and the next one that takes it.
            raise InvalidTaskError(f"not a task: {type(error).__name__}") from None
        if self.is_memory_shared:
            self._body, self._content_type = self._payload, None  # as Celery does with what it has decoded itself
        self._received_at = time.time()
        self.request_dict["retries"] = self.request_dict.get("retries") or 0  # some client's null
        shown = describe(self.type, self.args, self.kwargs)
        self._session = shown.get("session", "<") if self.type == UPLOAD else None
        subject = shown.pop("session", shown.pop("key", None))
        self._argsrepr = "()" if subject is None else f"({subject!r},)"
        self._kwargsrepr = repr(shown)
        # For Celery's log lines, and for `Task.retry`: a message goes back as it came.
        self.request_dict.update(
            argsrepr=self._argsrepr, kwargsrepr=self._kwargsrepr, content_type=message.content_type
        )
        self.request_dict[CLAIM] = message.delivery_tag
        if self.request_dict.get(REPLAYED):  # it was revoked before somebody sent it again
            state.revoked.discard(self.id)

    def info(self, safe: bool = False) -> Any:
        """What `inspect` answers; `safe` is what Flower asks for, and what everybody gets."""
        return super().info(safe=True)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
        """What can never succeed is buried. A task that has killed its prefork child is marked for the transport."""
        error = exc_info.exception
        error = error.exc if isinstance(error, ExceptionWithTraceback) else error
        reason = self._find_reason(error)
        if reason is not None:
            self._bury(reason, is_failure_stored=isinstance(error, Refused))
        elif not self._is_being_buried:  # else it has been terminated, and this is the child's end
            mark_if_lost(self.message, exc_info)
            killed = count_here(self.message, self.id)
            if killed >= MOST_TIMES:
                self._bury(f"it has killed its process {killed} times")
            else:
                super().on_failure(exc_info, send_failed_event, return_ok)

    def _find_reason(self, error: object) -> str | None:
        """Why the task can never succeed; None if it may, or has said all that there was to say."""
        if not self.task.is_patient or isinstance(error, _NOT_THE_END):
            return None  # a question that is refused is lost to nobody: who asks is told
        if isinstance(error, Refused):
            return str(error)
        if isinstance(error, TimeLimitExceeded):
            return f"over its time limit of {error.args[0]} s"
        return f"{type(error).__name__} beside the task"

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """A task over its hard time limit is buried. Celery would acknowledge it, and forget it."""
        if soft or state.should_terminate or not self.task.is_patient:
            super().on_timeout(soft, timeout)
        else:
            self._bury(f"over its time limit of {timeout} s")

    def cancel(self, *args: Any, **options: Any) -> None:
        """As Celery's own. Threads can't be stopped: the worker ends with what they run, and gives the rest back."""
        try:
            super().cancel(*args, **options)
        except NotImplementedError:  # a handler of signals raised it: what it broke into might have caught it
            raise WorkerShutdown(EX_FAILURE) from None

    def _announce_revoked(self, reason: str, terminated: bool, signum: Any, expired: bool) -> None:
        # Celery would forget it. That will do for a read, whose client has gone.
        if self.task.is_patient:
            self._already_revoked = True
            self._bury(reason)
        else:
            super()._announce_revoked(reason, terminated, signum, expired)  # type: ignore[misc]  # left out of the stubs

    def reject(self, requeue: bool = False) -> None:
        """As Celery's own, but nothing is rejected for good. Celery would do that to what it cannot schedule."""
        if requeue:
            super().reject(requeue)
        else:
            self._bury("it cannot be scheduled")

    def _bury(self, reason: str, is_failure_stored: bool = False) -> None:
        if self._is_being_buried or self.acknowledged:
            return
        self._is_being_buried = True
        letter = letter_of(
            self.message,
            reason,
            queues=self.app.amqp.queues.consume_from,
            received=self._received_at,
            now=time.time(),
            session=None if self._session is None or self._session.startswith("<") else self._session,
        )
        give_back = partial(self.reject, requeue=True)
        dead_letter_writer().add(DeadLetterWrite(self.message, letter, self.acknowledge, give_back, is_failure_stored))
        state.task_ready(self)

    def on_retry(self, exc_info: Any) -> None:
        """As Celery's own, but that Flower's reason is a sentence, and no repr of a repr."""
        error = exc_info.exception
        retry = error if isinstance(error, Retry) else error.exc  # wrapped, by some pools
        if self.consumer_pause is not None:
            self.consumer_pause.meet(retry.exc, self.time_start or 0.0, self.delivery_info.get("routing_key") or "")
        if self.task.acks_late:
            self.acknowledge()
        reason = f"{type(retry.exc).__name__}: {retry.exc}; again {retry.humanize()}"
        self.send_event("task-retried", exception=reason, traceback=str(exc_info.traceback))
