"""What no waiting mends ends a worker's start with a line that names it; what a proxy says is waited for."""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from history_sink_worker.s3.client import S3Store
from history_sink_worker.store import Away, Put, Unfit
from stack.minio import MinioServer
from stack.processes import wait_until
from stack.proxy import Proxy
from stack.redis import RedisServer
from stack.worker import Worker
from store_site import Site
from test_worker_start import NAMESPACE, run

ENDPOINT = NAMESPACE + "S3_ENDPOINT"
S3_ERROR = b"<Error><Code>%s</Code></Error>"


@pytest.fixture
def proxy(minio_server: MinioServer) -> Iterator[Proxy]:
    with Proxy(minio_server.port) as proxy:
        yield proxy


def answer(status: bytes, body: bytes = b"<html><body>no S3", headers: bytes = b"") -> bytes:
    head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%sConnection: close\r\n\r\n" % (status, len(body), headers)
    return head + body


def expect_end(environment: Mapping[str, str], *texts: str) -> None:
    ended = run(environment, "worker", "-P", "threads")
    assert ended.returncode != 0
    last = ended.stderr.strip().splitlines()[-1]
    for text in texts:
        assert text in last
    assert "Traceback" not in ended.stderr


def test_an_address_that_is_no_store_ends_the_start(environment: Mapping[str, str], minio_server: MinioServer) -> None:
    for address in (f"http://127.0.0.1:{minio_server.console_port}", f"https://127.0.0.1:{minio_server.port}"):
        expect_end({**environment, ENDPOINT: address}, ENDPOINT)


@pytest.mark.parametrize(
    "said",
    [
        answer(b"200 OK"),
        answer(b"200 OK", b"<html><body>well-formed</body></html>"),
        answer(b"400 Bad Request", b"Client sent an HTTP request to an HTTPS server.\n"),
        answer(b"308 Permanent Redirect", headers=b"Location: https://127.0.0.1:1/\r\n"),
        answer(b"301 Moved Permanently", headers=b"Location: https://127.0.0.1:1/\r\n"),
    ],
)
def test_an_answer_that_is_no_stores_is_named(proxy: Proxy, said: bytes) -> None:
    proxy.refuse = lambda _: said
    store = S3Store(endpoint=f"http://127.0.0.1:{proxy.port}", bucket="any", access_key="a", secret_key="s")
    with pytest.raises(Unfit, match=ENDPOINT):
        store.check_bucket()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (b"501 Not Implemented", S3_ERROR % b"NotImplemented"),
        (b"411 Length Required", S3_ERROR % b"MissingContentLength"),
        (b"411 Length Required", b"<html>411"),
    ],
)
def test_a_store_without_copies_of_parts_is_refused_by_name(
    environment: Mapping[str, str], proxy: Proxy, status: bytes, body: bytes
) -> None:
    proxy.refuse = lambda head: answer(status, body) if b"x-amz-copy-source:" in head.lower() else b""
    refused = {**environment, ENDPOINT: f"http://127.0.0.1:{proxy.port}"}
    expect_end(refused, "Missing here: UploadPartCopy (COPY s3://", status[:3].decode())


def test_a_bucket_that_keeps_everything_is_refused_by_name(environment: Mapping[str, str], proxy: Proxy) -> None:
    kept = b"<DeleteResult><Error><Key>k</Key><Code>InvalidRequest</Code></Error></DeleteResult>"
    proxy.refuse = lambda head: answer(b"200 OK", kept) if b"?delete" in head.split(b"\r\n")[0] else b""
    expect_end({**environment, ENDPOINT: f"http://127.0.0.1:{proxy.port}"}, "retention", "Missing here: DELETE")


def test_an_outage_at_the_start_is_said_once(environment: Mapping[str, str], proxy: Proxy, tmp_path: Path) -> None:
    """Though each try has a key of its own."""
    proxy.refuse = lambda head: answer(b"503 Slow", S3_ERROR % b"SlowDown") if head.startswith(b"PUT") else b""
    worker = Worker({**environment, ENDPOINT: f"http://127.0.0.1:{proxy.port}"}, log_path=tmp_path / "worker.log")
    try:
        worker.process.launch()
        wait_until(lambda: "store away" in worker.process.log(), timeout_seconds=30, what="a word of it")
        time.sleep(4)
        assert worker.process.log().count("store away") == 1
    finally:
        worker.stop()


@pytest.mark.parametrize(
    "status", [b"413 Content Too Large", b"408 Timeout", b"414 Long", b"421 Misdirected", b"431 Long"]
)
def test_what_a_proxy_says_is_not_the_stores_word(proxy: Proxy, status: bytes) -> None:
    proxy.refuse = lambda _: answer(status)
    store = S3Store(endpoint=f"http://127.0.0.1:{proxy.port}", bucket="any", access_key="a", secret_key="s")
    with pytest.raises(Away, match="a proxy") as failure:
        store.perform(Put("k", b"x", {}))
    assert not isinstance(failure.value, Unfit)


def test_a_save_behind_a_proxys_limit_waits_and_is_stored_when_that_is_lifted(
    minio_server: MinioServer, redis_server: RedisServer, proxy: Proxy, tmp_path: Path
) -> None:
    with ExitStack() as running:
        site = Site(minio_server, redis_server, tmp_path, f"http://127.0.0.1:{proxy.port}")
        running.callback(site.stop)
        site.start_worker()

        def refuse(head: bytes) -> bytes:
            length = re.search(rb"\r\ncontent-length: (\d+)", head.lower())
            too_long = head.startswith(b"PUT ") and length is not None and int(length[1]) > 100_000
            return answer(b"413 Request Entity Too Large") if too_long else b""

        proxy.refuse = refuse
        site.upload(1, 300_000)
        site.expect_gate("store away: uploads wait")
        time.sleep(3)
        log = site.workers[0].process.log()
        assert "a proxy's limit of a request's body" in log
        assert "dead letter" not in log
        dead = minio_server.client().list_objects_v2(Bucket=site.bucket, Prefix="history/.dead/")
        assert dead["KeyCount"] == 0
        proxy.refuse = lambda _: b""
        site.expect_all_stored()
