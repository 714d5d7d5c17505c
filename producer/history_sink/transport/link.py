"""One process's connections to the broker. Threads take turns at them. When one connection fails, all are given up.

Kombu and Celery are imported when the first connection is made, because the import takes a quarter of a second.
"""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from history_sink.errors import HistorySinkError, Unavailable
from history_sink.protocol.broker_urls import AMQP_SCHEMES
from history_sink.protocol.tls import check_certificates
from history_sink.settings import RESULT_URL, ProducerSettings
from history_sink.transport.results import Answers
from history_sink.transport.task_message import TaskMessage
from history_sink.transport.turns import Turns

if TYPE_CHECKING:
    from celery import Celery

    from history_sink.transport.amqp_sender import AmqpSender
    from history_sink.transport.redis_sender import RedisSender

CONNECTIONS = 32
"""Tasks that are sent at the same time, at most."""

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
        self._lock = threading.Lock()
        self._users = 0
        self._is_retired = self._is_closed = False
        self._turns = Turns(CONNECTIONS)
        self._sender = _make_sender(app, check_certificates(settings.broker_url or ""), settings.patience_seconds)
        self._answers = Answers(app, check_certificates(settings.result_url)) if settings.result_url else None

    @property
    def answers(self) -> Answers:
        if self._answers is None:
            raise Unavailable(NO_ANSWERS)
        return self._answers

    def send(self, message: TaskMessage) -> str:
        """Send a task, and return its id: the broker has it then."""
        # Without turns, a full pool would raise as if the broker were away.
        if not self._turns.take(TURN_SECONDS):
            raise Busy(f"busy: other threads used all connections for {TURN_SECONDS:g} s")
        try:
            if self._is_retired:
                raise Retired
            return self._sender.send(message)
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
        self._sender.close()
        if self._answers is not None:
            self._answers.close()


def _make_sender(app: "Celery", url: str, patience_seconds: float) -> "RedisSender | AmqpSender":
    if urlsplit(url).scheme in AMQP_SCHEMES:
        from history_sink.transport.amqp_sender import AmqpSender

        return AmqpSender(app, url, patience_seconds, CONNECTIONS)
    from history_sink.transport.redis_sender import RedisSender

    return RedisSender(url, patience_seconds, app.now)


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
