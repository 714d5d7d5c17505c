"""Nothing foreign gets out of the store, and no success without one, whatever a server answers.

The server here is a script: MinIO can't be made to answer 503, to cut a body short, or to hang.
"""

import re
import socket
import threading
from collections.abc import Iterator

import pytest

from history_sink_worker.archive.changed import Changed
from history_sink_worker.archive.grow import known, upload
from history_sink_worker.s3.client import S3Store
from history_sink_worker.store import (
    Abort,
    Away,
    Begin,
    Blob,
    Complete,
    Copy,
    Delete,
    Denied,
    Get,
    Head,
    List,
    Put,
    Request,
    Send,
    Steps,
    StoreError,
    run,
)

MIB = 1024 * 1024
SECRET = "the-secret-key"
CREATE = Put("k", b"said in confidence", {})
REPLACE = Put("k", b"said in confidence", {}, if_match="e")
EVERY_REQUEST: list[Request] = [CREATE, REPLACE, Get("k"), Head("k"), List("k"), Delete(("k", "l"))]
EVERY_REQUEST += [Begin("k", {}), Send("k", "u", 1, bytearray(b"said in confidence")), Copy("k", "u", 1, 0, 9, "e")]
EVERY_REQUEST += [Complete("k", "u", ("t",), "e"), Abort("k", "u")]


def extend() -> Steps[None]:
    """A copy of the object, and a tail."""
    return upload("k", "e", [(0, 6 * MIB)], [known(b"said in confidence")], {})


class Script:
    """An HTTP server that sends ready-made answers, one to each request, and then hangs up."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        """The head of each request since `play`, as it came."""
        self._answers: Iterator[bytes | None] = iter(())
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def play(self, *answers: bytes | None) -> None:
        """What to send from now on. None: nothing, until the script is over."""
        self.heads = []
        self._answers = iter(answers)

    def close(self) -> None:
        self._over.set()
        self._listener.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed
            given = next(self._answers, b"")
            # A thread for each, so that one that hangs does not hold up the next.
            threading.Thread(target=self._answer, args=(connection, given), daemon=True).start()

    def _answer(self, connection: socket.socket, given: bytes | None) -> None:
        with connection:
            self._read(connection)
            if given is None:
                self._over.wait(60)
            else:
                connection.sendall(given)

    def _read(self, connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        head = b"".join(iter(stream.readline, b"\r\n")).decode()
        self.heads.append(head)
        length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
        if length and "100-continue" not in head:  # answered early, the body is never sent
            stream.read(int(length[1]))


@pytest.fixture(scope="module")
def script() -> Iterator[Script]:
    script = Script()
    yield script
    script.close()


@pytest.fixture(scope="module", params=["lean", "boto3"])
def store(request: pytest.FixtureRequest, script: Script) -> S3Store:
    return S3Store(
        endpoint=script.url,
        bucket="b",
        access_key="access",
        secret_key=SECRET,
        read_timeout_seconds=0.3,
        lean=request.param == "lean",
    )


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    fields = {"Content-Length": str(len(body)), "Connection": "close", **headers}
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{k}: {v}" for k, v in fields.items()), "", ""]
    return "\r\n".join(lines).replace("_", "-").encode() + body


def error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>said in confidence</Message></Error>".encode()


WEB_PAGE = b"<html><body><h1>Welcome to our shop</h1></body></html>"
GOOD = {"ETag": '"e"', "Last-Modified": "Mon, 23 Nov 2026 02:00:00 GMT"}
CREATED = answer(
    200,
    b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>",
)
COPIED = answer(200, b"<CopyPartResult><ETag>e</ETag></CopyPartResult>")
ABORTED = answer(204)


OUTAGES = [
    answer(503, error("SlowDown")),
    answer(507, error("XMinioStorageFull")),
    answer(400, error("XMinioAdminBucketQuotaExceeded")),
    answer(403, error("RequestTimeTooSkewed")),
    answer(404, WEB_PAGE),
    answer(502, WEB_PAGE),
    answer(500, b"\x00 no XML"),
    b"HTTP/1.1 20",
    b"",
    None,
]
NEEDS_A_BODY = OUTAGES[2:5]  # so no HEAD can tell


@pytest.mark.parametrize(
    ("request_", "given"),
    [(r, o) for r in EVERY_REQUEST for o in OUTAGES if not (r == Head("k") and o in NEEDS_A_BODY)],
)
def test_an_outage_is_away_after_one_request(
    script: Script, store: S3Store, request_: Request, given: bytes | None
) -> None:
    script.play(given)
    with pytest.raises(StoreError) as failure:
        store.perform(request_)
    assert type(failure.value) is Away
    assert str(failure.value).startswith(type(request_).__name__.upper())
    assert "s3://b/k" in str(failure.value)
    for secret in (SECRET, "confidence", "shop"):
        assert secret not in str(failure.value)
    assert len(script.heads) == 1


@pytest.mark.parametrize(
    ("request_", "given"),
    [
        (CREATE, answer(200)),
        (Head("k"), answer(200)),
        (Head("k"), answer(200, b"", **{**GOOD, "Last-Modified": "yesterday"})),
        (List("k"), answer(200, WEB_PAGE)),
        (List("k"), answer(200, b"<ListBucketResult><IsTruncated>true</IsTruncated>" * 2)),
        (
            List("k"),
            answer(200, b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"),
        ),
        (Get("k"), answer(200, WEB_PAGE)),
        (Get("k", 2, 4), answer(200, b"everything", **GOOD)),
        (Get("k", 2, 4), answer(206, b"1", Content_Range="bytes 2-2/9", **GOOD)),
        (Get("k", 2, 4), answer(206, b"12", Content_Range="bytes 3-4/9", **GOOD)),
        (Get("k", 2, 4), answer(206, b"12", Content_Range="bytes 2-3/*", **GOOD)),
        (Get("k", 2, 4), answer(206, b"12345", Content_Range="bytes 2-3/9", **GOOD)),
        (Get("k"), answer(200, b"cut", **{**GOOD, "Content-Length": "9"})),
        (
            Get("k", 2, 4),
            answer(206, b"1", Content_Range="bytes 2-3/9", **{**GOOD, "Content-Length": "2"}),
        ),
    ],
)
def test_an_answer_that_is_not_s3s_is_no_answer(
    script: Script, store: S3Store, request_: Request, given: bytes
) -> None:
    script.play(given)
    with pytest.raises(Away, match="s3://b/k failed: "):
        store.perform(request_)


def test_a_range_that_was_ignored_but_covers_everything_will_do(script: Script, store: S3Store) -> None:
    script.play(answer(200, b"all", **GOOD))
    blob = store.perform(Get("k", 0, 100))
    assert isinstance(blob, Blob)
    assert blob.body == b"all"


@pytest.mark.parametrize(
    ("request_", "given"),
    [
        (CREATE, answer(409, error("ConditionalRequestConflict"))),
        (CREATE, answer(412)),
        (REPLACE, answer(404, error("NoSuchKey"))),
        (Head("k"), answer(404)),
        (Get("k"), answer(404, error("NoSuchKey"))),
    ],
)
def test_none_is_an_answer_where_the_request_provides_for_it(
    script: Script, store: S3Store, request_: Request, given: bytes
) -> None:
    script.play(given)
    assert store.perform(request_) is None


@pytest.mark.parametrize(
    ("last", "outcome"),
    [
        (answer(200, error("PreconditionFailed")), None),
        (answer(409, error("ConditionalRequestConflict")), None),
        (answer(200, error("InternalError")), r"COMPLETE s3://b/k .*InternalError"),
        (answer(404, error("NoSuchUpload")), "NoSuchUpload"),
        (answer(200), "not an answer of S3's"),
        (None, "ReadTimeoutError"),
    ],
)
def test_a_completion_that_fails_is_aborted(
    script: Script, store: S3Store, last: bytes | None, outcome: str | None
) -> None:
    script.play(CREATED, answer(200, ETag='"t"'), COPIED, last, ABORTED)
    with pytest.raises(Away if outcome else Changed, match=outcome):
        run(extend(), store.perform)
    assert [head.split()[0] for head in script.heads] == ["POST", "PUT", "PUT", "POST", "DELETE"]
    assert 'if-match: "e"' in script.heads[3].lower()


def test_an_abort_that_fails_does_not_hide_why(script: Script, store: S3Store) -> None:
    copied_without_result = answer(200)  # as rclone answers
    script.play(CREATED, answer(200, ETag='"t"'), copied_without_result, answer(503))
    with pytest.raises(Away, match="not an answer of S3's"):
        run(extend(), store.perform)
    assert len(script.heads) == 4


@pytest.mark.parametrize(("code", "kind"), [("AccessDenied", Denied), ("InternalError", Away), ("SlowDown", Away)])
def test_one_key_that_stays_fails_a_delete(script: Script, store: S3Store, code: str, kind: type[StoreError]) -> None:
    failed = f"<Error><Key>l</Key><Code>{code}</Code></Error>"
    script.play(answer(200, f"<DeleteResult>{failed}</DeleteResult>".encode()))
    with pytest.raises(StoreError) as failure:
        store.perform(Delete(("k", "l")))
    assert type(failure.value) is kind
    assert str(failure.value) == f"DELETE s3://b/l failed: {code}"


def test_a_small_body_is_sent_at_once_and_a_big_one_only_when_it_is_wanted(script: Script, store: S3Store) -> None:
    taken = answer(412, error("PreconditionFailed"))
    script.play(taken, taken)
    assert store.perform(CREATE) is None
    assert store.perform(Put("k", bytes(MIB), {})) is None
    assert ["100-continue" in head for head in script.heads] == [False, True]
