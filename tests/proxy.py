"""A TCP proxy on loopback that can lose an answer on its way, and speak TLS to its clients."""

import contextlib
import socket
import ssl
import threading
from types import TracebackType
from typing import Self


class Proxy:
    """Forwards to a port on 127.0.0.1 until it is left. `port` is its own."""

    def __init__(self, target_port: int, *, tls: ssl.SSLContext | None = None) -> None:
        self.cut_at: bytes | None = None
        """Seen in what the server sends: that connection is closed before it is passed on, and this is None again."""
        self._target_port, self._tls = target_port, tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _start(self, target: object, *arguments: object) -> None:
        threading.Thread(target=target, args=arguments, daemon=True).start()  # type: ignore[arg-type]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener is closed: the end
            while True:
                self._start(self._connect, self._listener.accept()[0])

    def _connect(self, client: socket.socket) -> None:
        if self._tls is not None:
            client = self._tls.wrap_socket(client, server_side=True)
        server = socket.create_connection(("127.0.0.1", self._target_port))
        self._sockets += [client, server]
        self._start(self._pump, client, server, False)
        self._pump(server, client, True)

    def _pump(self, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if is_answer and self.cut_at is not None and self.cut_at in data:
                    self.cut_at = None
                    break
                sink.sendall(data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
