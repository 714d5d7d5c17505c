"""A Redis broker behind a slow link: slow is not hung.

A socket's timeout is for all that one call sends. A line of some megabytes takes longer than a save may wait for a
broker that hangs, so it would never go out, and nothing behind it. Sent in small parts it only has to get on.
"""

import socket
from collections.abc import Iterable
from typing import Any

from kombu.transport.redis import Channel, Transport
from redis import Connection, SSLConnection

PART_BYTES = 16 * 1024
"""What has to get through within the timeout."""

UNSENT_BYTES = 64 * 1024
"""What may wait in the kernel when the last part is sent (Linux doubles it): it delays the answer."""


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


class SteadyTransport(Transport):
    """Kombu's, but for that, and for sending alone."""

    Channel = _Channel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cycle.poller.close()  # type: ignore[union-attr]  # a file descriptor that kombu never closes, for those who consume


def _cut(command: bytes | Iterable[bytes]) -> Iterable[bytes]:
    for item in [command] if isinstance(command, bytes) else command:
        for start in range(0, len(item), PART_BYTES):
            yield item[start : start + PART_BYTES]
