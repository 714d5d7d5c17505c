"""Counts the S3 requests in what a client sends over one HTTP/1.1 connection. Pure: bytes in, counts out."""

from collections import Counter
from urllib.parse import parse_qs, urlsplit

_END_OF_HEAD = b"\r\n\r\n"


class HttpMeter:
    """One connection. Requests and bytes are added to `counts`, which many connections may share.

    `counts` has, for each operation, ``requests <operation>``, and ``bytes <operation>`` for bodies sent and, under
    ``copy``, for what the store was told to copy from an object of its own.
    """

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self._head = b""
        self._operation = ""
        self._body_left = 0
        self._waits_for_continue = False

    def feed(self, data: bytes) -> None:
        """What the client has sent."""
        while data:
            if self._body_left:
                taken = min(self._body_left, len(data))
                self._counts[f"bytes {self._operation}"] += taken
                self._body_left -= taken
                self._waits_for_continue = False
                data = data[taken:]
                continue
            head, end, rest = (self._head + data).partition(_END_OF_HEAD)
            if not end:
                self._head = head
                return
            self._head, data = b"", rest
            self._begin(head.decode("latin-1"))

    def answer(self, data: bytes) -> None:
        """What the server has sent. Refused before its body was sent, a request has none."""
        if self._waits_for_continue and not data.startswith(b"HTTP/1.1 100"):
            self._body_left, self._waits_for_continue = 0, False

    def _begin(self, head: str) -> None:
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if "transfer-encoding" in headers:
            raise ValueError("a chunked request body is not understood here")
        self._operation = name_operation(method, target, headers)
        self._body_left = int(headers.get("content-length", 0))
        self._waits_for_continue = "expect" in headers
        self._counts[f"requests {self._operation}"] += 1
        if self._operation == "copy":
            first_byte, last_byte = headers["x-amz-copy-source-range"].removeprefix("bytes=").split("-")
            self._counts["bytes copy"] += int(last_byte) + 1 - int(first_byte)


def name_operation(method: str, target: str, headers: dict[str, str]) -> str:
    """``put``, ``get``, ``head``, ``list``, ``delete``, or the step of a multipart upload."""
    query = parse_qs(urlsplit(target).query, keep_blank_values=True)
    if method == "POST":
        return "delete" if "delete" in query else "begin" if "uploads" in query else "complete"
    if method == "PUT" and "partNumber" in query:
        return "copy" if "x-amz-copy-source" in headers else "part"
    if method == "GET" and "list-type" in query:
        return "list"
    return method.lower()
