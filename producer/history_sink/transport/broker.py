"""The queue, seen from the producer: tasks go out, answers are looked up, and everything foreign ends here.

Kombu and Celery are imported when the first task goes out: they take a quarter of a second.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from history_sink.errors import Expired, HistorySinkError, Unavailable, WorkerFailed
from history_sink.protocol.broker_urls import is_same_server
from history_sink.protocol.contract import CLOCKS_DIFFER_SECONDS, QUEUE_OF_TASK
from history_sink.protocol.tenants import queue_for
from history_sink.settings import ProducerSettings
from history_sink.transport.circuit_breaker import Breaker
from history_sink.transport.clock import BrokerClock, describe_skew, explain_expiry
from history_sink.transport.denials import find_denial
from history_sink.transport.fork_gate import ForkGate
from history_sink.transport.link import NO_ANSWERS, Busy, Link, Retired, make_app
from history_sink.transport.resolver import check_name
from history_sink.transport.results import Answer, pause_seconds
from history_sink.transport.task_message import TaskMessage

if TYPE_CHECKING:
    from celery import Celery

log = logging.getLogger("history_sink")

LOOK_PAUSE_SECONDS = 30.0
"""A look at outcomes that failed is not tried again for so long: a save must not wait for what it does not need."""

_QUICK_SECONDS = 0.2

TLS_SCHEMES = ("rediss://", "amqps://")

T = TypeVar("T")


class Broker:
    """Safe for threads, and after a fork: a child opens connections of its own."""

    def __init__(self, settings: ProducerSettings) -> None:
        self._settings = settings
        self._clock = BrokerClock()
        self._has_told_skew = False
        self._inherited: list[Link] = []
        self._reset()

    def _reset(self) -> None:
        self.fork_gate = ForkGate()
        self._lock = threading.Lock()
        self._breaker = Breaker()
        self._answers_breaker = Breaker()
        self._look_breaker = Breaker(LOOK_PAUSE_SECONDS)
        self._app: Celery | None = None
        self._link: Link | None = None

    @property
    def has_answers(self) -> bool:
        """Whether there is a result store to read from."""
        return self._settings.result_url is not None

    @property
    def clock_ahead_seconds(self) -> float | None:
        """How far this machine's clock is ahead of Redis's (negative: behind); None: not known."""
        return self._clock.ahead_seconds

    def check(self) -> None:
        """Raise `Unavailable` where the broker is known to be away. Costs nothing."""
        self._breaker.check()

    def send(
        self,
        task: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        described: str = "{}",
        expires_seconds: float | None = None,
        headers: Mapping[str, Any] | None = None,
    ) -> str:
        """Queue a task and return its id; the broker has it then. `described` stands for `kwargs` in events.

        After `expires_seconds`, or up to a quarter of an hour later, no worker does it any more.

        Raises `Unavailable` within about a second. The broker may have it even so: tasks bear duplicates.
        """
        # On the wire it is a time by Redis's clock, or ours, which a worker compares with its own.
        expires = None if expires_seconds is None else expires_seconds + CLOCKS_DIFFER_SECONDS
        if expires is not None:
            self._compare_clocks()
        tenant = self._settings.tenant
        queue = queue_for(QUEUE_OF_TASK[task], tenant)
        message = TaskMessage(task, args, kwargs, queue, described, expires, headers or {}, tenant)
        with self.fork_gate:
            return self._try(self._breaker, lambda link: link.send(message))

    def look(self, task_ids: Sequence[str]) -> dict[str, Answer]:
        """The answers of some tasks, as far as they are there. Raises `Unavailable`."""
        return self._try(self._look_breaker, lambda link: link.answers.look(task_ids))

    def watch(self, task_ids: Sequence[str], timeout_seconds: float) -> dict[str, Answer]:
        """Wait until the tasks have ended, and return the answers that are there, which stay. Raises `Unavailable`."""
        start = time.monotonic()
        while True:
            answers = self.look(task_ids)
            waited = time.monotonic() - start
            if len(answers) == len(task_ids) or waited >= timeout_seconds:
                return answers
            time.sleep(min(pause_seconds(waited), timeout_seconds - waited))

    def take(self, task_id: str, timeout_seconds: float) -> Any:
        """Wait for a task's result and remove it. Raises `Unavailable`, also for a task that failed."""
        answer = self._try(self._answers_breaker, lambda link: link.answers.take(task_id, timeout_seconds))
        if answer.is_expired:
            raise Expired(explain_expiry(self._clock.ahead_seconds))
        if answer.failure is not None:
            raise WorkerFailed(answer.complaint)
        return answer.value

    def call(
        self,
        task: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        timeout_seconds: float,
        described: str = "{}",
        headers: Mapping[str, Any] | None = None,
    ) -> Any:
        """Queue a task that expires with the wait for it, and return its result. Raises `Unavailable`."""
        if not self.has_answers:
            raise Unavailable(NO_ANSWERS)
        start = time.monotonic()
        task_id = self.send(task, args, kwargs, described, timeout_seconds, headers)
        return self.take(task_id, max(0.0, timeout_seconds - (time.monotonic() - start)))

    def _compare_clocks(self) -> None:
        """Ahead of a question, now and then. Raises `Unavailable` where the broker itself does not answer."""
        if not self.has_answers or not self._clock.is_due:
            return
        broker_url, result_url = self._settings.broker_url or "", self._settings.result_url or ""
        is_broker = broker_url == result_url
        start = time.monotonic()
        try:
            self._try(
                self._breaker if is_broker else self._answers_breaker,
                lambda link: self._clock.compare(link.answers.read_time),
            )
        except Unavailable:
            # A server that hangs: to wait for it a second time, as the broker, would take too long for a save.
            has_hung = time.monotonic() - start > _QUICK_SECONDS and is_same_server(broker_url, result_url)
            if is_broker or has_hung:
                raise
        skew = describe_skew(self._clock.ahead_seconds)
        if skew and not self._has_told_skew:
            log.warning("history-sink: %s: set it (NTP); until then reads go by Redis's (said once)", skew)
            self._has_told_skew = True

    def close(self) -> None:
        """Let go of the connections. A later call opens new ones."""
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            link.retire()

    def renew_after_fork(self) -> None:
        """In a child: let the parent's connections lie, untouched, and start afresh."""
        if self._link is not None:
            self._inherited.append(self._link)  # to collect it would talk on the parent's sockets
        self._reset()

    def _try(self, breaker: Breaker, act: "Callable[[Link], T]") -> T:
        breaker.enter()
        start = time.monotonic()
        try:
            try:
                result = self._use(breaker, act)
            except HistorySinkError:
                raise
            except Exception:
                if time.monotonic() - start > _QUICK_SECONDS:
                    raise
                # At once: perhaps a connection that died while it lay idle. A new one tells.
                result = self._use(breaker, act)
        except Busy:
            raise
        except HistorySinkError:
            breaker.succeed()  # it was there; a worker was not
            raise
        except Exception as error:  # noqa: BLE001  # the one place where whatever a transport raises is translated
            raise breaker.fail(self._explain(error)) from None
        breaker.succeed()
        return result

    def _explain(self, error: Exception) -> str:
        """What went wrong, in a line. Connection errors name hosts and ports; texts of others may hold anything."""
        from kombu.exceptions import OperationalError
        from redis.exceptions import RedisError

        if not isinstance(error, (OperationalError, RedisError, OSError)):
            return f"the broker cannot be used: {type(error).__name__}"
        text = " ".join(str(error).split())[:200] or type(error).__name__
        urls = (self._settings.broker_url or "", self._settings.result_url or "")
        # A server without TLS takes the first words of it for the beginning of a command, and waits for the rest.
        if "timeout connecting" in text.lower() and any(url.startswith(TLS_SCHEMES) for url in urls):
            text += " (the URL asks for TLS: does the server speak it on that port?)"
        return f"the broker is away: {text}"

    def _use(self, breaker: Breaker, act: "Callable[[Link], T]") -> T:
        while True:
            try:
                return self._use_link(act)
            except Retired:
                try:
                    breaker.check()
                except Unavailable as error:
                    raise Busy(str(error)) from None

    def _use_link(self, act: "Callable[[Link], T]") -> T:
        link = self._connect()
        try:
            return act(link)
        except HistorySinkError:
            raise
        except Exception as error:
            denial = find_denial(error)
            if denial is not None:  # the others' connections are as good as before
                raise denial from None
            with self._lock:
                if self._link is link:
                    self._link = None
            link.retire()  # left to the garbage collector, its sockets would pile up while the broker is away
            raise
        finally:
            link.leave()

    def _connect(self) -> "Link":
        """The link, entered: whoever gets it has to leave it."""
        with self.fork_gate:
            if self._link is None:
                # Not one thread after the other: each may take its time.
                check_name(self._settings.broker_url or "", self._settings.patience_seconds)
            with self._lock:
                if self._link is None:
                    self._app = self._app or make_app(self._settings.patience_seconds, self._clock.now)
                    self._link = Link(self._settings, self._app)
                self._link.enter()
                return self._link
