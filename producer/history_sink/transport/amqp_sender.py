"""Tasks to a RabbitMQ, which confirms each.

It sends in frames as it is, so that slow is not taken for hung; the confirmation is due from when the last one is sent.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import kombu
from kombu.connection import ConnectionPool
from kombu.pools import ProducerPool
from kombu.transport import pyamqp
from kombu.utils.functional import lazy

from history_sink.protocol.tenants import new_task_id
from history_sink.protocol.tls import tls_of
from history_sink.transport.redis_sender import UNSENT_BYTES
from history_sink.transport.task_message import TaskMessage, make_headers

if TYPE_CHECKING:
    from celery import Celery

CONFIRM_SECONDS = 0.9
"""The least time that RabbitMQ has to confirm a message. It writes the message to its disk first."""


class SteadyTransport(pyamqp.Transport):
    """Kombu's, with little in the kernel."""

    def establish_connection(self) -> Any:
        connection = super().establish_connection()
        sock: Any = connection.sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNSENT_BYTES)
        return connection


class SteadyTlsTransport(SteadyTransport, pyamqp.SSLTransport):
    """By TLS."""


class AmqpSender:
    """A pool of connections of its own: an app's would go by CELERY_BROKER_URL, if the agent's environment has it."""

    def __init__(self, app: "Celery", url: str, patience_seconds: float, connections: int) -> None:
        self._app = app
        options = {
            "max_retries": 0,
            "confirm_publish": True,
            "read_timeout": patience_seconds,
            "write_timeout": patience_seconds,
        }
        connection: Any = kombu.Connection(
            url, connect_timeout=patience_seconds, transport_options=options, ssl=tls_of(url) or False
        )
        # The URL would win over an argument.
        connection.transport_cls = SteadyTlsTransport if urlsplit(url).scheme == "amqps" else SteadyTransport
        self._producers = ProducerPool(_Pool(connection, limit=connections), limit=connections)
        self._confirm_seconds = max(CONFIRM_SECONDS, patience_seconds)

    def send(self, message: TaskMessage) -> str:
        """Publish a task, wait until it is confirmed, and return its id. Raises what kombu raises."""
        with self._producers.acquire(block=True) as producer, _collecting(producer):
            result = self._app.send_task(
                message.task,
                message.args,
                dict(message.kwargs),
                producer=producer,
                argsrepr=repr(tuple(message.args)),
                kwargsrepr=message.described,
                expires=message.expires_seconds,
                retry=False,
                # With False here Celery would subscribe to the result of each save. The header below, which workers
                # obey, has them keep the result.
                ignore_result=True,
                headers=make_headers(message, self._app.now()),
                add_to_parent=False,
                confirm_timeout=self._confirm_seconds,
                # Without it RabbitMQ drops a message to a queue that somebody has deleted, and confirms it.
                mandatory=True,
                **_route(message),
            )
        return str(result.id)

    def close(self) -> None:
        """Close all connections."""
        with suppress(Exception):
            self._producers.force_close_all()  # type: ignore[attr-defined]  # kombu's types lack it
            self._producers.connections.force_close_all()


def _route(message: TaskMessage) -> dict[str, Any]:
    if message.tenant is None:
        return {"queue": message.queue}
    # Not by the default exchange, which leads to every queue, so that no tenant may use it. Nor does a tenant declare:
    # who may do that may declare its queue in a way that no worker can consume from.
    by_name = {"exchange": message.queue, "routing_key": message.queue, "declare": ()}
    return {**by_name, "task_id": new_task_id(message.tenant)}


@contextmanager
def _collecting(producer: Any) -> Iterator[None]:
    """Drop the connection if it fails. An orderly close would wait twice for a RabbitMQ that hangs."""
    try:
        yield
    except Exception:
        with suppress(Exception):
            _drop(producer.connection)
        raise


def _drop(connection: Any) -> None:
    """Close what is open, as kombu's `collect`, and leave the agent's own sockets alone.

    Kombu's sets the default timeout of all new sockets of the process meanwhile. Two threads that do so at once leave
    it set for good, to a tenth of a second. The sockets here have timeouts of their own.
    """
    connection._transport._collect(connection._connection)
    connection._do_close_transport()
    connection.declared_entities.clear()
    connection._connection = None


def _open_channel(connection: Any) -> Any:
    """As kombu's, which KOMBU_LOG_CHANNEL, if the agent's environment has it, has log all that messages hold."""
    return connection.transport.create_channel(connection.connection)


class _Pool(ConnectionPool):
    def new(self) -> Any:
        made: Any = super().new()
        vars(made)["channel"] = partial(_open_channel, made)
        return made

    def collect_resource(self, resource: Any, socket_timeout: float | None = None) -> None:
        if not isinstance(resource, lazy):
            _drop(resource)
