"""How the lean way reads answers: as `http.client` does, or not at all."""

import socket
import threading
from http.client import HTTPException, HTTPResponse
from io import BytesIO
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from history_sink_worker.s3.exchange import ask, read_answer

HEADS = [
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 204 No Content\r\n",
    b"HTTP/1.1 412 Precondition Failed\r\n", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", b"HTTP/1.1 503 \r\n",
    b"HTTP/1.1 2x0 OK\r\n", b"HTTP/2 200\r\n", b"<html>\r\n", b"",
]  # fmt: skip
HEADERS = [
    b'ETag: "e"\r\n', b"ETag:e\r\n", b"Content-Length: 3\r\n", b"Content-Length: 0\r\n", b"content-length: -1\r\n",
    b"Content-Length: three\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"X-A: 1\r\n",
    b"x-a: 2\r\n", b"Connection: keep-alive\r\n", b"no header\r\n", b"X-Long: " + b"x" * 66_000 + b"\r\n",
    b"X-B: \xe5\r\n",
]  # fmt: skip
BODIES = [
    b"",
    b"abc",
    b"abcdef",
    b"3\r\nabc\r\n0\r\n\r\n",
    b"2;x=y\r\nab\r\n1\r\nc\r\n0\r\nT: t\r\n\r\n",
    b"zz\r\n",
    b"ff\r\nab",
]


class Sent:
    """A socket with an answer in it."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _: str) -> BytesIO:
        return BytesIO(self._data)


def read_by_http_client(data: bytes) -> tuple[int, dict[str, str], bytes, bool]:
    response = HTTPResponse(Sent(data), method="PUT")  # type: ignore[arg-type]
    response.begin()
    found: dict[str, str] = {}
    for name, value in response.getheaders():
        found[name.lower()] = f"{found[name.lower()]}, {value}" if name.lower() in found else value
    is_last = response.will_close
    return response.status, found, response.read(), is_last


@given(
    st.sampled_from(HEADS), st.lists(st.sampled_from(HEADERS), max_size=4), st.sampled_from(BODIES), st.integers(0, 9)
)
@example(HEADS[0], [HEADERS[6]], BODIES[4], 0)
@example(HEADS[3], [HEADERS[6]], BODIES[3], 0)
def test_an_answer_is_read_as_http_client_reads_it_or_refused(head: bytes, headers: Any, body: bytes, cut: int) -> None:
    whole = b"".join((head, *headers, b"\r\n", body))
    data = whole[: len(whole) - cut]
    try:
        found = read_answer(BytesIO(data))
    except HTTPException:
        return
    status, known, content, is_last = read_by_http_client(data)
    assert (found.status, dict(found.headers), found.body) == (status, known, content)
    assert found.is_last or not is_last


@pytest.mark.parametrize(
    ("headers", "body"), [([0, 2], 1), ([1, 3], 0), ([6, 8, 9], 3), ([6], 4), ([7, 13], 2), ([2, 10], 1)]
)
def test_whole_answers_are_not_refused(headers: list[int], body: int) -> None:
    data = HEADS[0] + b"".join(HEADERS[each] for each in headers) + b"\r\n" + BODIES[body]
    found = read_answer(BytesIO(data))
    assert (found.status, dict(found.headers), found.body, found.is_last) == read_by_http_client(data)


@pytest.mark.parametrize("code", [102, 103, 199])
def test_an_answer_behind_a_provisional_one_is_not_left_for_the_next_request(code: int) -> None:
    early = f"HTTP/1.1 {code} Early\r\nLink: </x>\r\n\r\n".encode()
    stream = BytesIO(early + early + b"HTTP/1.1 412 No\r\nContent-Length: 3\r\n\r\nabc")
    found = read_answer(stream)
    assert (found.status, found.body, found.is_last, stream.read()) == (412, b"abc", False, b"")
    with pytest.raises(HTTPException):
        read_answer(BytesIO(early))


def test_a_header_that_would_be_two_is_not_sent() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(ValueError, match="line break"):
        ask(ours, "PUT", "/b/k", {"X-Amz-Security-Token": "a\r\nX-Other: b"}, b"")


def test_an_answer_that_comes_before_all_is_sent_is_read() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        ending = threading.Timer(0.2, theirs.close)
        ending.start()
        found = ask(ours, "PUT", "/b/k", {"Host": "h"}, bytes(4_000_000))
        ending.join()
    assert (found.status, found.body, found.is_last) == (403, b"no", True)
