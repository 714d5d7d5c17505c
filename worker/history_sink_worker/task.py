"""What all tasks have in common: they show no content, wait out an outage, and log one line each."""

import random
import time
from typing import TYPE_CHECKING, Any, NoReturn

from celery import Task as CeleryTask
from celery.exceptions import Ignore, Reject, Retry
from structlog.contextvars import bound_contextvars

from history_sink.errors import Malformed
from history_sink.protocol.contract import SENT_AT, UPLOAD
from history_sink_worker import log
from history_sink_worker.headers import CLAIM, FIRST_TRIED, REPLAYED
from history_sink_worker.intake.description import ASKED_FOR_AN_ANSWER, Description, describe, describe_result, show
from history_sink_worker.redis_transport.endings import Ending
from history_sink_worker.redis_transport.registry import holder_of
from history_sink_worker.results import End, Results
from history_sink_worker.service.held_hints import HeldHints
from history_sink_worker.service.service import service, serving_queue
from history_sink_worker.store import Away, Denied, Rejected, StoreError
from history_sink_worker.task_errors import Refused, Unexpected, Waiting, unexpected
from history_sink_worker.telemetry import trail
from history_sink_worker.telemetry.metrics import note_lag, note_task

if TYPE_CHECKING:
    _CeleryTask = CeleryTask[..., Any]
else:
    _CeleryTask = CeleryTask  # before 5.7 it takes no types when it runs

FIRST_DELAY_SECONDS = 2.0
LONGEST_DELAY_SECONDS = 30.0
PATIENCE_SECONDS = 300.0
_MSGPACK = "application/x-msgpack"
_log = log.get("history_sink_worker")


class TooNew(Waiting):
    """A payload of a later version: it stays in the queue for a worker that knows it (a rolling upgrade)."""


class Task(_CeleryTask):
    """The base of every task of the app, Celery's own included (`celery.map` takes whole arguments, too)."""

    Request = "history_sink_worker.intake.request:Request"
    throws = (Refused, StoreError, Unexpected)  # expected ones: Celery needs not log their tracebacks
    max_retries = None  # an outage has no budget
    is_patient = False
    """Whether it is tried again until it has done its work; else it says at once that it could not."""
    keep_seconds: int | None = None
    """How long its result is kept; None: as long as the settings say."""

    @property  # type: ignore[misc]  # Celery's can be set, which nobody here does
    def backend(self) -> Any:
        """Where results go, if they can; what the task has to tell Redis beside goes along."""
        held = self._held_hints()
        if held is None:
            return Results(self.app.backend, keep_seconds=self.keep_seconds)
        return Results(self.app.backend, held.take, self._find_end())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with bound_contextvars(task=self.name, id=self.request.id), trail.follow() as requests:
            return self._do(args, kwargs, requests)

    def _do(self, args: tuple[Any, ...], kwargs: dict[str, Any], requests: list[str]) -> Any:
        began = time.monotonic()
        about = describe(self.name, args, kwargs)
        held = self._held_hints()
        if held is not None:
            held.hold()
        failure: Exception | None = None
        answer: Any = None
        try:
            answer = self._run(args, kwargs)
        except (Retry, Reject, Ignore) as predicate:  # of Celery's own tasks: no failures
            failure = predicate
        except (Refused, Waiting, StoreError) as error:
            is_final = self.is_patient and isinstance(error, Rejected)
            failure = (Refused if is_final else type(error))(str(error))
        except Exception as error:  # noqa: BLE001  # whatever its text is, it must not be shown
            failure = unexpected(error)
        # Out here nothing is chained: the error's own text would travel along, into tracebacks that Flower shows.
        ending = describe_result(answer) if failure is None else self._describe_failure(failure)
        self._tell_end(about, ending, time.monotonic() - began, requests)
        if failure is not None:
            if held is not None:
                held.release()
            self._fail(failure)
        return answer

    def _held_hints(self) -> HeldHints | None:
        """Of an upload that Celery runs, and whose result it stores right after."""
        return service().held if self.name == UPLOAD and not self.request.called_directly else None

    def _find_end(self) -> End | None:
        """What tells Redis of the result along with the end of the message, where both are in one database."""
        broker, claim = service().settings.broker, self.request.get(CLAIM)
        claims = holder_of(claim) if broker.broker_url == broker.result_url else None
        return None if claims is None else lambda add, told: claims.end(Ending(claim, add, told))

    # Two of Celery's hooks, in the process that ran the task. What they cut are cycles of references that hold the
    # payload: it would be kept until the collector comes across it, hundreds of tasks later.

    def on_failure(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Let go of the frames of `exc`, of which Celery's own is one."""
        exc.__traceback__ = None

    def on_retry(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """The same, and a `Retry` is among its own `args`."""
        retry = einfo.exception.exc
        retry.__traceback__, retry.args = None, ()

    def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            self.__header__(*args, **kwargs)  # type: ignore[attr-defined]  # Celery's: run's signature, for checks
        except TypeError:
            raise Refused(f"not the arguments of {self.name}") from None
        try:
            with serving_queue((self.request.delivery_info or {}).get("routing_key") or ""):
                return self.run(*args, **kwargs)
        except Malformed as error:
            raise Refused(str(error)) from None

    def _is_tried_again(self, failure: Exception) -> bool:
        return isinstance(failure, Waiting) or (self.is_patient and isinstance(failure, (StoreError, Unexpected)))

    def _describe_failure(self, failure: Exception) -> Description:
        outcome = "retry" if self._is_tried_again(failure) else type(failure).__name__.lower()
        return {"outcome": outcome, "reason": show(str(failure))}

    def _tell_end(self, about: Description, ending: Description, seconds: float, requests: list[str]) -> None:
        attempts = self.request.retries + 1
        is_expected = "reason" not in ending or about == ASKED_FOR_AN_ANSWER
        write = _log.info if is_expected else _log.warning
        fields = {**about, **ending, "attempts": attempts, "seconds": round(seconds, 4), **trail.show(requests)}
        write("task ended", **fields)
        note_task(self.name, ending["outcome"], seconds, ending)
        if self.name == UPLOAD and "key" in ending:
            note_lag(self.request.get(SENT_AT), time.time())

    def _fail(self, failure: Exception) -> NoReturn:
        if self._is_tried_again(failure):
            self._try_again(failure)
        raise failure

    def _draw_delay(self, failure: Exception) -> float:
        # A message that waits is in flight. At its visibility timeout it would be handed out a second time.
        options: dict[str, float] = self.app.conf.broker_transport_options
        limit_seconds = min(LONGEST_DELAY_SECONDS, options.get("visibility_timeout", 3600) / 2)
        if isinstance(failure, (Away, Denied)):
            return draw_delay_seconds(self.request.retries, limit_seconds)
        # It waits for somebody, or for a new version: of a backlog of such, few are to be tried at any time. Our
        # transport renews what waits, so this may be longer.
        bound = min(LONGEST_DELAY_SECONDS * 2 ** min(self.request.retries, 10), PATIENCE_SECONDS)
        return random.uniform(bound / 2, bound)

    def _try_again(self, failure: Exception) -> NoReturn:
        request, delay_seconds = self.request, self._draw_delay(failure)
        shown = {"argsrepr": request.get("argsrepr"), "kwargsrepr": request.get("kwargsrepr")}
        # For the dead letters. Celery would drop headers of ours.
        known = {name: request.get(name) for name in (REPLAYED, SENT_AT)}
        known[FIRST_TRIED] = request.get(FIRST_TRIED) or time.time()
        headers = {name: value for name, value in known.items() if value is not None}
        # As it came: msgpack has no integers beyond 64 bits, and JSON has no bytes.
        serializer = "msgpack" if request.get("content_type") == _MSGPACK else "json"
        try:
            self.retry(exc=failure, countdown=delay_seconds, serializer=serializer, headers=headers, **shown)
        except Reject:
            # The broker did not take it, and Celery would now drop the message for good.
            time.sleep(1 + random.random())
            raise Reject(f"{failure!r}; the broker did not take the retry", requeue=True) from None
        raise AssertionError("retry always raises")


class RetryingTask(Task):
    """A task whose work must be done: it waits out what is in its way."""

    is_patient = True


class ReadTask(Task):
    """A task whose result holds content, for a client that waits; Redis does not keep for a day what it left there."""

    keep_seconds = 300


def draw_delay_seconds(retries: int, limit_seconds: float) -> float:
    """Full jitter between 1 s and a bound that doubles: workers that stopped together do not come back together."""
    bound = min(FIRST_DELAY_SECONDS * 2 ** min(retries, 10), limit_seconds)
    return random.uniform(1.0, max(1.0, bound))
