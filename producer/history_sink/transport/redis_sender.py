"""Tasks to a Redis: one command and one round trip each.

Slow is not hung: a socket's timeout is for all that one call sends. A line of some megabytes takes longer than a save
may wait for a broker that hangs, so it would never go out, and nothing behind it. Sent in small parts it only has to
get on.
"""

import socket
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from celery.utils.nodenames import anon_nodename
from redis import Connection, ConnectionPool, SSLConnection
from redis.backoff import NoBackoff
from redis.retry import Retry

from history_sink.protocol.broker_urls import for_redis_py
from history_sink.protocol.tenants import new_task_id
from history_sink.transport.task_message import TaskMessage, Written, write_message

PART_BYTES = 16 * 1024
"""What has to get through within the timeout."""

UNSENT_BYTES = 64 * 1024
"""What may wait in the kernel when the last part is sent (Linux doubles it): it delays the answer."""

_HEALTH_SECONDS = 25
"""A connection that was idle for longer is tried before a message goes out on it."""


class _LittleUnsent:
    """A connection of redis-py with little in the kernel."""

    def _connect(self) -> Any:
        sock = super()._connect()  # type: ignore[misc]  # of the class beside this one
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNSENT_BYTES)
        return sock


class _Connection(_LittleUnsent, Connection):
    """By TCP."""


class _SSLConnection(_LittleUnsent, SSLConnection):
    """By TLS."""


_STEADY = {Connection: _Connection, SSLConnection: _SSLConnection}


class RedisSender:
    """Connections, of which each is used by one thread at a time."""

    def __init__(self, url: str, patience_seconds: float, read_clock: Callable[[], datetime]) -> None:
        self._read_clock = read_clock
        self._origin = anon_nodename()
        self._pool = ConnectionPool.from_url(  # reads the URL and makes connections; it keeps none
            for_redis_py(url),
            socket_timeout=patience_seconds,
            socket_connect_timeout=patience_seconds,
            health_check_interval=_HEALTH_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._pool.connection_class = _STEADY.get(self._pool.connection_class, self._pool.connection_class)
        self._idle: list[Any] = []  # the one used last is used next

    def send(self, message: TaskMessage) -> str:
        """Push a task to its queue, and return its id. Raises what redis-py raises."""
        task_id = new_task_id(message.tenant)
        written = write_message(message, task_id, self._origin, self._read_clock())
        connection = self.take()
        try:
            connection.send_packed_command(_push(message.queue.encode(), written))
            connection.read_response()
        except BaseException:
            connection.disconnect()
            raise
        self.give_back(connection)
        return task_id

    def take(self) -> Any:
        """A connection, for the caller alone."""
        try:
            return self._idle.pop()
        except IndexError:
            return self._pool.make_connection()

    def give_back(self, connection: Any) -> None:
        """Keep it for later. One on which something went wrong is closed instead, and not kept."""
        self._idle.append(connection)

    def close(self) -> None:
        """Let go of the connections that nobody uses."""
        while self._idle:
            self._idle.pop().disconnect()


def _push(queue: bytes, written: Written) -> Iterator[bytes]:
    """The command LPUSH as Redis reads it, with lengths before what they are of; as few parts as may be."""
    waiting = b"*3\r\n$5\r\nLPUSH\r\n$%d\r\n%b\r\n$%d\r\n" % (len(queue), queue, written.size_bytes)
    for part in written.parts():
        if len(waiting) + len(part) > PART_BYTES:
            yield waiting
            waiting = b""
        waiting += part
    yield waiting + b"\r\n"
