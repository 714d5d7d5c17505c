"""One process's connections to the broker. Threads take turns at them. When one connection fails, all are given up.

Kombu and Celery are imported when the first connection is made, because the import takes a quarter of a second.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from history_sink.errors import HistorySinkError, Unavailable
from history_sink.protocol.broker_urls import AMQP_SCHEMES
from history_sink.protocol.contract import SENT_AT
from history_sink.protocol.tls import check_certificates
from history_sink.settings import RESULT_URL, ProducerSettings
from history_sink.transport.results import Answers
from history_sink.transport.turns import Turns

if TYPE_CHECKING:
    from celery import Celery

CONFIRM_SECONDS = 0.9
"""The least time that RabbitMQ has to confirm a message. It writes the message to its disk first."""

LOOK_SECONDS = 1.0
"""The least time that a look at answers may take. No save waits for it."""

TURN_SECONDS = 1.0
"""How long a thread may wait for one of the connections that other threads are sending on."""

NO_ANSWERS = f"{RESULT_URL} is not set, and the broker is no Redis: there are no answers to read"


class Busy(Unavailable):
    """A thread got no turn at a connection. That does not mean that the broker is away."""


class Retired(HistorySinkError):
    """The connections were given up while this thread waited for its turn."""


class Link:
    """One process's connections. When one fails, all are given up. They are closed when the last thread has left."""

    def __init__(self, settings: ProducerSettings, app: "Celery") -> None:
        from history_sink.transport.kombu_transports import POOL_SIZE, make_producers

        self._app = app
        self._lock = threading.Lock()
        self._users = 0
        self._is_retired = self._is_closed = False
        self._turns = Turns(POOL_SIZE)
        broker_url = check_certificates(settings.broker_url or "")
        self._producers = make_producers(broker_url, settings.patience_seconds)
        self._answers = Answers(app, check_certificates(settings.result_url)) if settings.result_url else None
        is_amqp = urlsplit(broker_url).scheme in AMQP_SCHEMES
        # Mandatory: without it RabbitMQ drops a message to a queue that somebody has deleted, and confirms it.
        confirm_seconds = max(CONFIRM_SECONDS, settings.patience_seconds)
        self._amqp: dict[str, Any] = {"confirm_timeout": confirm_seconds, "mandatory": True} if is_amqp else {}

    @property
    def answers(self) -> Answers:
        if self._answers is None:
            raise Unavailable(NO_ANSWERS)
        return self._answers

    def send(
        self,
        task: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        headers: Mapping[str, Any],
        options: Mapping[str, Any],
    ) -> str:
        with self._turn(), self._producers.acquire(block=True) as producer, _collecting(producer):
            result = self._app.send_task(
                task,
                args,
                dict(kwargs),
                producer=producer,
                argsrepr=repr(tuple(args)),
                retry=False,
                # With False here Celery would subscribe to the result of each save. The header below, which workers
                # obey, has them keep the result.
                ignore_result=True,
                headers={"ignore_result": False, SENT_AT: self._app.now().timestamp(), **headers},
                add_to_parent=False,
                **self._amqp,
                **options,
            )
        return str(result.id)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait for a free connection. Without this, a full pool would raise as if the broker were away."""
        if not self._turns.take(TURN_SECONDS):
            raise Busy(f"busy: other threads used all connections for {TURN_SECONDS:g} s")
        try:
            if self._is_retired:
                raise Retired
            yield
        finally:
            self._turns.give_back()

    def enter(self) -> None:
        with self._lock:
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
        self._close_if_idle()

    def retire(self) -> None:
        """Close the connections when no thread uses them any more. To close them now would break others' saves."""
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
    """Drop the connection if it fails. An orderly close would wait twice for a RabbitMQ that hangs."""
    from history_sink.transport.kombu_transports import drop

    try:
        yield
    except Exception:
        with suppress(Exception):
            drop(producer.connection)
        raise


def make_app(patience_seconds: float, read_clock: Callable[[], float] = time.time) -> "Celery":
    """The Celery app that sends tasks. It computes `expires` by `read_clock`, which returns Unix seconds."""
    from celery import Celery

    class App(Celery):
        def now(self) -> datetime:
            return datetime.fromtimestamp(read_clock(), UTC)

    app = App("history_sink", set_as_current=False, loader="app", fixups=[])
    # Not `conf.update`: Celery would take all other settings from the agent's own CELERY_CONFIG_MODULE.
    app.config_from_object(
        {
            "task_serializer": "msgpack",  # no base64 inside base64
            "accept_content": ["msgpack", "json"],
            "result_accept_content": ["msgpack", "json"],
            "task_publish_retry": False,  # the next save carries what this one could not
            "task_send_sent_event": False,
            "redis_socket_connect_timeout": patience_seconds,
            "redis_socket_timeout": max(LOOK_SECONDS, patience_seconds),
            "redis_retry_on_timeout": False,
        }
    )
    return app
