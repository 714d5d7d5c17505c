"""A broker behind a slow link: slow is not hung.

A socket's timeout is for all that one call sends. A line of some megabytes takes longer than a save may wait for a
broker that hangs, so it would never go out, and nothing behind it. Sent in small parts it only has to get on.
"""

import socket
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import kombu
from kombu.connection import ConnectionPool
from kombu.pools import ProducerPool
from kombu.transport import pyamqp
from kombu.transport.redis import Channel, Transport
from kombu.utils.functional import lazy
from redis import Connection, SSLConnection

from history_sink.protocol.broker_urls import AMQP_SCHEMES, REDIS_SCHEMES
from history_sink.protocol.tls import tls_of

POOL_SIZE = 32

PART_BYTES = 16 * 1024
"""What has to get through within the timeout."""

UNSENT_BYTES = 64 * 1024
"""What may wait in the kernel when the last part is sent (Linux doubles it): it delays the answer."""

_SAYS_NOTHING: tuple[Any, ...] = (None, {}, (None, None), [None, None])
_NEEDLESS = ("argsrepr", "kwargsrepr", "reply_to")
"""Properties of a message: copies of its headers, and where an RPC backend would answer."""


class _InParts:
    """A connection of redis-py that sends so."""

    def _connect(self) -> Any:
        sock = super()._connect()  # type: ignore[misc]  # of the class beside this one
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNSENT_BYTES)
        return sock

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        super().send_packed_command(_cut(command), check_health)  # type: ignore[misc]


class _Connection(_InParts, Connection):
    """By TCP."""


class _SSLConnection(_InParts, SSLConnection):
    """By TLS."""


class _Channel(Channel):
    connection_class = _Connection
    connection_class_ssl = _SSLConnection
    _made: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous)  # type: ignore[misc]  # the types for kombu lack it
        # Kombu makes one for each message, which is a third of a save's CPU time.
        if self._made is None or self._made.connection_pool is not self.pool:
            self._made = super()._create_client()  # type: ignore[misc]
        return self._made

    def prepare_message(
        self,
        body: Any,
        priority: int | None = None,
        content_type: str | None = None,
        content_encoding: str | None = None,
        headers: dict[str, Any] | None = None,
        properties: dict[str, Any] | None = None,
    ) -> Any:
        # Each save would carry half a kilobyte of headers that say nothing, and of copies: workers read them by `get`.
        said = {name: value for name, value in (headers or {}).items() if value not in _SAYS_NOTHING}
        needed = {name: value for name, value in (properties or {}).items() if name not in _NEEDLESS}
        return super().prepare_message(body, priority, content_type, content_encoding, said, needed)


class SteadyTransport(Transport):
    """Kombu's, but for that, and for sending alone."""

    Channel = _Channel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cycle.poller.close()  # type: ignore[union-attr]  # a file descriptor that kombu never closes, for those who consume


class SteadyAmqpTransport(pyamqp.Transport):
    """Kombu's, but for that. It sends in frames as it is; the confirmation is due from when the last one is sent."""

    def establish_connection(self) -> Any:
        connection = super().establish_connection()
        sock: Any = connection.sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNSENT_BYTES)
        return connection


class SteadyAmqpsTransport(SteadyAmqpTransport, pyamqp.SSLTransport):
    """By TLS."""


def drop(connection: Any) -> None:
    """Close what is open, as kombu's `collect`, and leave the agent's own sockets alone.

    Kombu's sets the default timeout of all new sockets of the process meanwhile. Two threads that do so at once leave
    it set for good, to a tenth of a second. The sockets here have timeouts of their own.
    """
    collect = getattr(connection._transport, "_collect", None)
    if collect is not None:  # amqp's, which does not wait for a broker that hangs
        collect(connection._connection)
    else:
        with suppress(TimeoutError):
            connection._do_close_self()
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
            drop(resource)


def make_producers(url: str, patience_seconds: float) -> ProducerPool:
    """A pool on `url` itself. An app's own pool would go by CELERY_BROKER_URL, if the agent's environment has it."""
    scheme = urlsplit(url).scheme
    options: dict[str, Any] = {"max_retries": 0}
    transport: Any = None
    if scheme in REDIS_SCHEMES:
        options |= {"socket_timeout": patience_seconds, "socket_connect_timeout": patience_seconds}
        transport = SteadyTransport
    elif scheme in AMQP_SCHEMES:
        options |= {"confirm_publish": True, "read_timeout": patience_seconds, "write_timeout": patience_seconds}
        transport = SteadyAmqpsTransport if scheme == "amqps" else SteadyAmqpTransport
    connection = kombu.Connection(
        url, connect_timeout=patience_seconds, transport_options=options, ssl=tls_of(url) or False
    )
    if transport is not None:
        connection.transport_cls = transport  # the URL would win over an argument
    return ProducerPool(_Pool(connection, limit=POOL_SIZE), limit=POOL_SIZE)


def _cut(command: bytes | Iterable[bytes]) -> Iterable[bytes]:
    for item in [command] if isinstance(command, bytes) else command:
        for start in range(0, len(item), PART_BYTES):
            yield item[start : start + PART_BYTES]
