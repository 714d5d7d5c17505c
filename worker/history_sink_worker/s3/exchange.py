"""A small HTTP/1.1 request and its answer, on an open socket.

`http.client` and urllib3 parse headers as those of a mail, send head and body one after the other, and make objects for
redirects, encodings and streams, of which a PUT has none: that was a sixth of what a save cost the worker.
"""

import socket
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPException, IncompleteRead, LineTooLong, RemoteDisconnected
from typing import BinaryIO, NamedTuple

_LINE_BYTES = 64 * 1024
_MOST_HEADERS = 100


class Answer(NamedTuple):
    """Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_last: bool
    """Whether nothing can be asked on this connection any more."""


def ask(sock: socket.socket, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """Raises ValueError (nothing was sent), OSError, HTTPException."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    lines += ["Accept-Encoding: identity", f"Content-Length: {len(body)}"]
    if not all(line.isprintable() for line in lines):
        raise ValueError("a line break, or the like, in a header")
    request = "\r\n".join([*lines, "\r\n"]).encode("latin-1") + body
    with suppress(BrokenPipeError):  # who refuses a request may answer before it has read it
        sock.sendall(request)
    with sock.makefile("rb") as stream:
        return read_answer(stream)


def read_answer(stream: BinaryIO) -> Answer:
    """To a request other than HEAD. Raises OSError, HTTPException: it is not whole, or no HTTP."""
    status = 100
    while status < 200:  # the answer itself is to come, and must not be taken for that to the next request
        line = _read_line(stream)
        if not line:
            raise RemoteDisconnected("closed without an answer")
        version, _, rest = line.partition(" ")
        code = rest[:3]
        if version not in ("HTTP/1.1", "HTTP/1.0") or not (code.isascii() and code.isdigit()) or rest[3:4].strip():
            raise HTTPException("no status line")
        status, headers = int(code), _read_headers(stream)
    is_last = version == "HTTP/1.0" or "close" in headers.get("connection", "").lower()
    length = headers.get("content-length", "").partition(",")[0]  # of several the first one counts
    # First of all: a server may send chunks behind a 204, too, and the next answer must not begin with them.
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return Answer(status, headers, _read_chunks(stream), is_last)
    if status in (204, 304):
        return Answer(status, headers, b"", is_last)
    if length.isascii() and length.isdigit():
        return Answer(status, headers, _read_bytes(stream, int(length)), is_last)
    return Answer(status, headers, stream.read(), True)


def _read_line(stream: BinaryIO) -> str:
    """Without its end; nothing where the stream has ended, and of an empty line."""
    line = stream.readline(_LINE_BYTES + 1)
    if len(line) > _LINE_BYTES:
        raise LineTooLong("an answer")
    return line.decode("latin-1").rstrip("\r\n")


def _read_headers(stream: BinaryIO) -> dict[str, str]:
    headers: dict[str, str] = {}
    for _ in range(_MOST_HEADERS + 1):
        line = stream.readline(_LINE_BYTES + 1)
        if line in (b"\r\n", b"\n"):
            return headers
        name, colon, value = line.decode("latin-1").partition(":")
        if not (colon and line.endswith(b"\n")):
            raise HTTPException("a header that is none, or not whole")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    raise HTTPException("more headers than any store sends")


def _read_bytes(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise IncompleteRead(data, size - len(data))
    return data


def _read_chunks(stream: BinaryIO) -> bytes:
    chunks = []
    while True:
        digits = _read_line(stream).partition(";")[0].strip()
        try:
            size = int(digits, 16)
        except ValueError:
            raise HTTPException("no size of a chunk") from None
        if size <= 0:
            break
        chunks.append(_read_bytes(stream, size))
        _read_line(stream)
    while _read_line(stream):
        pass  # trailers
    return b"".join(chunks)
