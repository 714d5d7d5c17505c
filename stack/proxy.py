"""A TCP proxy on loopback that loses answers on their way, drops, delays and holds connections, and speaks TLS."""

import contextlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

_WRITES = (b"PUT ", b"POST ")
_SLOW_BYTES = 8192
_BEGINNING = re.compile(rb"(GET|HEAD|PUT|POST|DELETE) [^\r\n]* HTTP/1\.1\r\n")


class Proxy:
    """Forwards to a port on 127.0.0.1 until it is left. `port` is its own. Faults are switched on at any time.

    With `bytes_a_second` it is a slow link, which keeps next to nothing on the way: slow is not hung.
    """

    def __init__(
        self, target_port: int, *, tls: ssl.SSLContext | None = None, bytes_a_second: int | None = None
    ) -> None:
        self.cut_at: bytes | None = None
        """Seen in what the server sends: that connection is closed before it is passed on, and this is None again."""
        self.delay_seconds = 0.0
        """How long each piece of data is kept before it is passed on."""
        self.is_holding = False
        """Whether everything is kept, and passed on when this is False again."""
        self.write_answer = b""
        """If not empty, the HTTP response to each PUT and POST, which the server does not see."""
        self.answer_to_unmet = b""
        """If not empty, what a client gets in place of a 412: as from a store that does not look at conditions."""
        self.refuse: Callable[[bytes], bytes] = lambda _: b""
        """Told how each request begins, it returns the response in place of the server's, or nothing: passed on."""
        self._target_port, self._tls = target_port, tls
        self._bytes_a_second = bytes_a_second
        self._listener = _listen(_SLOW_BYTES if bytes_a_second else None)
        self._sockets: set[socket.socket] = set()
        self._is_left = False
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_left = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()

    def drop(self) -> None:
        """Close all connections, with whatever is on its way."""
        for each in self._sockets.copy():
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _start(self, target: object, *arguments: object) -> None:
        threading.Thread(target=target, args=arguments, daemon=True).start()  # type: ignore[arg-type]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener is closed: the end
            while True:
                self._start(self._connect, self._listener.accept()[0])

    def _connect(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as ends:
            ends.callback(client.close)
            if self._tls is not None:
                client = ends.enter_context(self._tls.wrap_socket(client, server_side=True))
            server = ends.enter_context(socket.create_connection(("127.0.0.1", self._target_port)))
            self._sockets |= {client, server}
            ends.callback(self._sockets.difference_update, {client, server})
            forth = threading.Thread(target=self._pump, args=(client, server, False), daemon=True)
            forth.start()
            self._pump(server, client, True)
            forth.join()

    def _pump(self, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_SLOW_BYTES if self._bytes_a_second else 65536):
                self._wait(len(data))
                if is_answer and self.cut_at is not None and self.cut_at in data:
                    self.cut_at = None
                    break
                if is_answer and self.answer_to_unmet and data.startswith(b"HTTP/1.1 412"):
                    sink.sendall(self.answer_to_unmet)
                    break
                # A client waits for the answer before it sends the next request: one begins where data begins.
                if not is_answer and self.write_answer and data.startswith(_WRITES):
                    _answer(source, self.write_answer)
                    break
                refusal = b"" if is_answer or not _BEGINNING.match(data) else self.refuse(data)
                if refusal:
                    _answer(source, refusal)
                    break
                sink.sendall(data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _wait(self, size_bytes: int) -> None:
        time.sleep(self.delay_seconds + (size_bytes / self._bytes_a_second if self._bytes_a_second else 0))
        while self.is_holding and not self._is_left:
            time.sleep(0.01)


def _listen(buffer_bytes: int | None) -> socket.socket:
    listener = socket.socket()
    if buffer_bytes:  # before it listens: for what it accepts
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


def _answer(client: socket.socket, answer: bytes) -> None:
    """Send it and see that it arrives: a socket closed with unread data in it takes back what it has sent."""
    client.sendall(answer)
    client.shutdown(socket.SHUT_WR)
    client.settimeout(1.0)
    deadline = time.monotonic() + 1.0
    while client.recv(65536) and time.monotonic() < deadline:
        pass
