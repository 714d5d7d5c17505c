"""The queue, seen from the producer: tasks go out, answers are looked up, and everything foreign ends here.

Kombu and Celery are imported when the first task goes out: they take a quarter of a second.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from history_sink.address import check_certificates, check_name
from history_sink.answers import CONNECT_SECONDS, SOCKET_SECONDS, Answer, Answers
from history_sink.breaker import Breaker
from history_sink.broker_urls import AMQP_SCHEMES
from history_sink.contract import CLOCKS_DIFFER_SECONDS, QUEUE_OF_TASK, SENT_AT
from history_sink.errors import HistorySinkError, Unavailable, WorkerFailed
from history_sink.forking import ForkGate
from history_sink.settings import RESULT_URL, ProducerSettings

if TYPE_CHECKING:
    from celery import Celery

PUBLISH_SECONDS = 0.5
"""How long a broker may take to connect, and to answer."""

CONFIRM_SECONDS = 0.9
"""How long RabbitMQ may take to confirm: it has then written to its disk."""

TURN_SECONDS = 1.0
"""How long a thread may wait for one of the connections that other threads are sending on."""

LOOK_PAUSE_SECONDS = 30.0
"""A look at outcomes that failed is not tried again for so long: a save must not wait for what it does not need."""

NO_ANSWERS = f"{RESULT_URL} is not set, and the broker is no Redis: there are no answers to read"

_QUICK_SECONDS = 0.2

T = TypeVar("T")


class _Busy(Unavailable):
    """A save that did not get its turn: that tells nothing new of the broker."""


class _Retired(HistorySinkError):
    """The connections were given up while this thread waited for one of them."""


class Broker:
    """Safe for threads, and after a fork: a child opens connections of its own."""

    def __init__(self, settings: ProducerSettings) -> None:
        self._settings = settings
        self._inherited: list[_Link] = []
        self._reset()

    def _reset(self) -> None:
        self.fork_gate = ForkGate()
        self._lock = threading.Lock()
        self._breaker = Breaker()
        self._answers_breaker = Breaker()
        self._look_breaker = Breaker(LOOK_PAUSE_SECONDS)
        self._app: Celery | None = None
        self._link: _Link | None = None

    @property
    def has_answers(self) -> bool:
        """Whether there is a result store to read from."""
        return self._settings.result_url is not None

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
    ) -> str:
        """Queue a task and return its id; the broker has it then. `described` stands for `kwargs` in events.

        After `expires_seconds`, or up to a quarter of an hour later, no worker does it any more.

        Raises `Unavailable` within about a second. The broker may have it even so: tasks bear duplicates.
        """
        # On the wire it is a time by our clock, which a worker compares with its own.
        expires = None if expires_seconds is None else expires_seconds + CLOCKS_DIFFER_SECONDS
        options = {"queue": QUEUE_OF_TASK[task], "kwargsrepr": described, "expires": expires}
        with self.fork_gate.inside():
            return self._try(self._breaker, lambda link: link.send(task, args, kwargs, options))

    def look(self, task_ids: Sequence[str]) -> dict[str, Answer]:
        """The answers of some tasks, as far as they are there. Raises `Unavailable`."""
        return self._try(self._look_breaker, lambda link: link.answers.look(task_ids))

    def take(self, task_id: str, timeout_seconds: float) -> Any:
        """Wait for a task's result and remove it. Raises `Unavailable`, also for a task that failed."""
        answer = self._try(self._answers_breaker, lambda link: link.answers.take(task_id, timeout_seconds))
        if answer.failure is not None:
            raise WorkerFailed(f"the worker failed with {answer.failure}")
        return answer.value

    def call(
        self, task: str, args: Sequence[Any], kwargs: Mapping[str, Any], timeout_seconds: float, described: str = "{}"
    ) -> Any:
        """Queue a task that expires with the wait for it, and return its result. Raises `Unavailable`."""
        if not self.has_answers:
            raise Unavailable(NO_ANSWERS)
        start = time.monotonic()
        task_id = self.send(task, args, kwargs, described, expires_seconds=timeout_seconds)
        return self.take(task_id, max(0.0, timeout_seconds - (time.monotonic() - start)))

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

    def _try(self, breaker: Breaker, act: "Callable[[_Link], T]") -> T:
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
        except _Busy:
            raise
        except HistorySinkError:
            breaker.succeed()  # it was there; a worker was not
            raise
        except Exception as error:  # noqa: BLE001  # the one place where whatever a transport raises is translated
            raise breaker.fail(_explain(error)) from None
        breaker.succeed()
        return result

    def _use(self, breaker: Breaker, act: "Callable[[_Link], T]") -> T:
        while True:
            try:
                return self._use_link(act)
            except _Retired:
                try:
                    breaker.check()
                except Unavailable as error:
                    raise _Busy(str(error)) from None

    def _use_link(self, act: "Callable[[_Link], T]") -> T:
        link = self._connect()
        try:
            return act(link)
        except HistorySinkError:
            raise
        except Exception:
            with self._lock:
                if self._link is link:
                    self._link = None
            link.retire()  # left to the garbage collector, its sockets would pile up while the broker is away
            raise
        finally:
            link.leave()

    def _connect(self) -> "_Link":
        """The link, entered: whoever gets it has to leave it."""
        with self.fork_gate.inside():
            if self._link is None:
                check_name(
                    self._settings.broker_url or "", PUBLISH_SECONDS
                )  # not one thread after the other: each may take its time
            with self._lock:
                if self._link is None:
                    self._app = self._app or _make_app()
                    self._link = _Link(self._settings, self._app)
                self._link.enter()
                return self._link


class _Link:
    """One process's connections; given up as a whole when one fails, and closed when the last thread has left it."""

    def __init__(self, settings: ProducerSettings, app: "Celery") -> None:
        from history_sink.steady import POOL_SIZE, make_producers

        self._app = app
        self._lock = threading.Lock()
        self._users = 0
        self._is_retired = self._is_closed = False
        self._turns = threading.Semaphore(POOL_SIZE)
        broker_url = check_certificates(settings.broker_url or "")
        self._producers = make_producers(broker_url, PUBLISH_SECONDS)
        self._answers = Answers(app, check_certificates(settings.result_url)) if settings.result_url else None
        is_amqp = urlsplit(broker_url).scheme in AMQP_SCHEMES
        # Mandatory: what is for a queue that somebody has deleted would be dropped, and confirmed.
        self._amqp: dict[str, Any] = {"confirm_timeout": CONFIRM_SECONDS, "mandatory": True} if is_amqp else {}

    @property
    def answers(self) -> Answers:
        if self._answers is None:
            raise Unavailable(NO_ANSWERS)
        return self._answers

    def send(self, task: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> str:
        with self._turn(), self._producers.acquire(block=True) as producer, _collecting(producer):
            result = self._app.send_task(
                task,
                args,
                dict(kwargs),
                producer=producer,
                argsrepr=repr(tuple(args)),
                retry=False,
                # Celery would subscribe to the result of each save. Workers go by the header: they keep it.
                ignore_result=True,
                headers={"ignore_result": False, SENT_AT: time.time()},
                add_to_parent=False,
                **self._amqp,
                **options,
            )
        return str(result.id)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait for a free connection. The pool itself would fail for whoever finds none, as if the broker had."""
        if not self._turns.acquire(timeout=TURN_SECONDS):
            raise _Busy(f"busy: other threads used all connections for {TURN_SECONDS:g} s")
        try:
            if self._is_retired:
                raise _Retired
            yield
        finally:
            self._turns.release()

    def enter(self) -> None:
        with self._lock:
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
        self._close_if_idle()

    def retire(self) -> None:
        """Close it as soon as no thread uses it: to close it at once would cut the others' saves short."""
        self._is_retired = True
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        with self._lock:
            if self._users or not self._is_retired or self._is_closed:
                return
            self._is_closed = True
        with suppress(Exception):
            self._producers.force_close_all()  # type: ignore[attr-defined]  # kombu's types lack it
            self._producers.connections.force_close_all()
        if self._answers is not None:
            self._answers.close()


@contextmanager
def _collecting(producer: Any) -> Iterator[None]:
    """Drop the connection if it fails: to close it in order would be to wait for a RabbitMQ that hangs, twice."""
    from history_sink.steady import drop

    try:
        yield
    except Exception:
        with suppress(Exception):
            drop(producer.connection)
        raise


def _make_app() -> "Celery":
    from celery import Celery

    app = Celery("history_sink", set_as_current=False, loader="app", fixups=[])
    # Not `conf.update`: Celery would fill up the rest from the agent's own CELERY_CONFIG_MODULE.
    app.config_from_object(
        {
            "task_serializer": "msgpack",  # no base64 inside base64
            "accept_content": ["msgpack", "json"],
            "result_accept_content": ["msgpack", "json"],
            "task_publish_retry": False,  # the next save carries what this one could not
            "task_send_sent_event": False,
            "redis_socket_connect_timeout": CONNECT_SECONDS,
            "redis_socket_timeout": SOCKET_SECONDS,
            "redis_retry_on_timeout": False,
        }
    )
    return app


def _explain(error: Exception) -> str:
    """What went wrong, in a line. Connection errors name hosts and ports; texts of others may hold anything."""
    from kombu.exceptions import OperationalError
    from redis.exceptions import RedisError

    if isinstance(error, (OperationalError, RedisError, OSError)):
        return f"the broker is away: {' '.join(str(error).split())[:200] or type(error).__name__}"
    return f"the broker cannot be used: {type(error).__name__}"
