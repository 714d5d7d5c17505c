"""The lean way to the store: when it is gone, and that nobody can tell which way was gone.

The contract itself is in test_s3.py and test_s3_faults.py, where each test goes both ways.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import ReadOnlyCredentials

from history_sink_worker.s3 import hooks
from history_sink_worker.s3.client import S3Store
from history_sink_worker.s3.lean import LEAN_BYTES, is_plain, is_plain_place
from history_sink_worker.store import Blob, Get, Put, StoreError
from stack.minio import MinioServer
from stack.proxy import Proxy
from test_s3_faults import Script, answer, error
from test_tls import server_side

PUT = Put("history/s/tail/000000000012-0123456789abcdef.jsonl", b"{}\n", {"hs-messages": "1"})
GET = Get("history/s/history.jsonl", 2, 5)
DATE = {"Last-Modified": "Fri, 23 Jan 2026 10:00:00 GMT"}
PART = answer(206, b"abc", ETag='"e"', Content_Range="bytes 2-4/9", x_amz_request_id="R1", x_amz_meta_A="b", **DATE)
CREATED = answer(200, ETag='"e"', x_amz_request_id="R1")


@pytest.fixture(scope="module")
def script() -> Iterator[Script]:
    script = Script()
    yield script
    script.close()


def make_store(endpoint: str, **options: Any) -> S3Store:
    given = {"bucket": "bucket", "access_key": "access", "secret_key": "secret", "read_timeout_seconds": 1.0}
    return S3Store(endpoint=endpoint, **{**given, **options})


def refuse() -> None:
    raise AssertionError("boto3 was asked")


@pytest.mark.parametrize(
    "request_",
    [
        Put("history/å/x", b"", {}),
        Put("history/a b", b"", {}),
        Put("history//x", b"", {}),
        Put("history/../x", b"", {}),
        Put("/history/x", b"", {}),
        Put("history/x/", b"", {}),
        Put("history/x", bytes(LEAN_BYTES), {}),
        Put("history/x", b"", {"hs": "two words"}),
        Put("history/x", b"", {"hs": "line\nbreak"}),
        Put("history/x", b"", {"hs": ""}),
        Get("history/100%"),
        Get("history/x?versionId=1"),
    ],
    ids=lambda request: f"{type(request).__name__} {request.key[:20]}",
)
def test_what_would_have_to_be_escaped_or_waits_is_for_boto3(request_: Put | Get) -> None:
    assert not is_plain(request_)


@pytest.mark.parametrize(
    ("endpoint", "bucket", "region"),
    [
        ("http://store:9000/under/path", "bucket", "us-east-1"),
        ("http://user:password@store", "bucket", "us-east-1"),
        ("http://[::1]:9000", "bucket", "us-east-1"),
        ("http://store.:9000", "bucket", "us-east-1"),  # urllib3 leaves out the last dot
        ("http://store", "arn:aws:s3:::bucket", "us-east-1"),
        ("http://store", "Bucket_1", "us-east-1"),
        ("http://store", "bucket", "aws-global"),
        ("http://store", "bucket", "no region"),
    ],
)
def test_an_address_that_is_not_what_it_looks_like_is_for_boto3(endpoint: str, bucket: str, region: str) -> None:
    assert not is_plain_place(endpoint, bucket, region)
    assert is_plain_place("https://store.example:9000/", "bucket", "us-east-1")


def test_plain_requests_need_no_client_of_boto3(minio_server: MinioServer, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"access_key": minio_server.access_key, "secret_key": minio_server.secret_key}
    store = make_store(minio_server.endpoint, bucket=minio_server.create_bucket(), **keys)
    monkeypatch.setattr(store, "_client", refuse)
    etag = store.perform(PUT)
    assert isinstance(etag, str)
    assert store.perform(PUT) is None
    found = store.perform(Get(PUT.key, 1))
    assert isinstance(found, Blob)
    assert (found.body, found.info.etag, found.info.meta) == (b"}\n", etag, {"hs-messages": "1"})


@pytest.mark.parametrize(
    "options",
    [{"sse": "AES256"}, {"proxy": "http://127.0.0.1:1"}, {"endpoint": "https://s3.eu-central-1.amazonaws.com"}],
    ids=["encryption", "proxy", "AWS"],
)
def test_settings_that_are_not_plain_are_for_boto3(options: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(**{"endpoint": "http://127.0.0.1:1", **options})
    monkeypatch.setattr(store, "_client", refuse)
    for request in (PUT, GET):
        with pytest.raises(AssertionError, match="boto3 was asked"):
            store.perform(request)


@pytest.mark.parametrize("request_", [PUT, GET], ids=["PUT", "GET"])
def test_a_session_token_is_sent_and_signed(script: Script, request_: Put | Get) -> None:
    script.play(CREATED if request_ is PUT else PART)
    make_store(script.url, session_token="token").perform(request_)
    (head,) = (head.lower() for head in script.heads)
    assert "x-amz-security-token: token" in head
    signed = head.partition("signedheaders=")[2].partition(",")[0].split(";")
    assert {"host", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"} <= {*signed}
    assert ("if-none-match" in signed) == (request_ is PUT)


class Rotated:
    """Keys that are others at each request."""

    def __init__(self) -> None:
        self.given = 0

    def get(self) -> Any:
        self.given += 1
        return ReadOnlyCredentials(f"access-{self.given}", "secret", None, None)

    def doubt(self) -> None:
        pass

    def start_afresh(self) -> None:
        pass


ANSWERS = {
    "created": CREATED,
    "part": PART,
    "conflict": answer(412, error("PreconditionFailed"), x_amz_request_id="R2"),
    "denied": answer(403, error("AccessDenied"), x_amz_request_id="R3"),
    "missing": answer(404, error("NoSuchKey"), x_amz_request_id="R4"),
    "no bucket": answer(404, error("NoSuchBucket")),
    "past the end": answer(416, error("InvalidRange")),
    "a proxy's": answer(413, b"<html>too large</html>"),
    "late": answer(200, error("InternalError"), x_amz_request_id="R5"),
    "throttled": answer(503, error("SlowDown")),
    "a web page": answer(200, b"<html>welcome"),
    "multiple choices": answer(300),
    "nothing": b"",
    "silence": None,
}


@pytest.mark.parametrize("given", ANSWERS)
@pytest.mark.parametrize("request_", [PUT, GET], ids=["PUT", "GET"])
def test_both_ways_tell_the_same(
    script: Script, request_: Put | Get, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, ...]] = []
    monkeypatch.setattr(
        hooks,
        "note_request",
        lambda operation, code, _, request_id, path: told.append((operation, code, request_id, path)),
    )

    def run(lean: bool) -> tuple[object, list[tuple[str, ...]]]:
        script.play(ANSWERS[given], ANSWERS[given])
        told.clear()
        try:
            reply: object = make_store(script.url, lean=lean).perform(request_)
        except StoreError as failure:
            reply = type(failure), str(failure), failure.gist
        return reply, [*told]

    assert run(lean=True) == run(lean=False)


def test_keys_are_asked_for_with_each_request(script: Script) -> None:
    store = make_store(script.url, source=Rotated())
    heads = []
    for _ in range(2):
        script.play(CREATED)
        store.perform(PUT)
        heads += script.heads
    assert ["Credential=access-1/" in heads[0], "Credential=access-2/" in heads[1]] == [True, True]


def test_what_leads_elsewhere_is_followed_by_boto3(script: Script) -> None:
    script.play(answer(307, error("TemporaryRedirect"), Location=f"{script.url}/elsewhere"), CREATED)
    assert make_store(script.url).perform(PUT) == "e"
    assert ["amz-sdk-invocation-id" in head.lower() for head in script.heads] == [False, True]


@pytest.mark.parametrize("lean", [True, False])
def test_a_certificate_is_checked(minio_server: MinioServer, tmp_path: Path, lean: bool) -> None:
    with Proxy(minio_server.port, tls=server_side(tmp_path)) as proxy:
        common = {"bucket": minio_server.create_bucket(), "access_key": minio_server.access_key, "lean": lean}
        common["secret_key"] = minio_server.secret_key
        named, authority = f"https://localhost:{proxy.port}", str(tmp_path / "cert.pem")
        trusting = make_store(named, ca_file=authority, **common)
        assert isinstance(trusting.perform(PUT), str)
        assert isinstance(trusting.perform(Get(PUT.key)), Blob)
        stranger = make_store(named, **common)
        named_otherwise = make_store(f"https://127.0.0.1:{proxy.port}", ca_file=authority, **common)
        for store in (stranger, named_otherwise):
            for request in (PUT, GET):
                with pytest.raises(StoreError, match="SSLError"):
                    store.perform(request)
