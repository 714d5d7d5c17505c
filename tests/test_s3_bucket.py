"""A store that can't be used as it is: wrong credentials, no bucket, not running. On a real MinIO."""

import os
from pathlib import Path

import pytest

from history_sink_worker.s3.client import S3Store
from history_sink_worker.store import (
    Away,
    Blob,
    Delete,
    Denied,
    Get,
    Grow,
    Head,
    List,
    Put,
    Rejected,
    Request,
)
from stack.minio import MinioServer

EVERY_REQUEST: list[Request] = [
    Put("k", b"x", {}),
    Put("k", b"x", {}, if_match="e"),
    Grow("k", "e", 6_000_000, b"x", {}),
    Get("k"),
    Head("k"),
    List("k"),
    Delete(("k",)),
]


def open_store(server: MinioServer, bucket: str, *, access_key: str = "", secret_key: str = "") -> S3Store:
    return S3Store(
        endpoint=server.endpoint,
        bucket=bucket,
        access_key=access_key or server.access_key,
        secret_key=secret_key or server.secret_key,
    )


@pytest.mark.parametrize("request_", EVERY_REQUEST, ids=lambda r: type(r).__name__)
@pytest.mark.parametrize("wrong", ["access key", "secret key"])
def test_wrong_credentials_are_denied(minio_server: MinioServer, bucket: str, wrong: str, request_: Request) -> None:
    if wrong == "access key":
        store = open_store(minio_server, bucket, access_key="no-such-user")
    else:
        store = open_store(minio_server, bucket, secret_key="not-the-secret")
    with pytest.raises(Denied, match=rf"s3://{bucket}/k .*403") as failure:
        store.perform(request_)
    assert "not-the-secret" not in str(failure.value)


@pytest.mark.parametrize("request_", EVERY_REQUEST, ids=lambda r: type(r).__name__)
def test_without_the_bucket_the_store_is_away(minio_server: MinioServer, request_: Request) -> None:
    store = open_store(minio_server, "no-such-bucket")
    if isinstance(request_, Head):
        assert store.perform(request_) is None  # its answer can't tell; LIST, PUT and GET can
        return
    with pytest.raises(Away, match=r"s3://no-such-bucket/k failed: NoSuchBucket \(404\)"):
        store.perform(request_)


def test_the_bucket_is_checked_and_created_on_request(minio_server: MinioServer) -> None:
    store = open_store(minio_server, f"created-{os.getpid()}")
    with pytest.raises(Away, match=f'no bucket "{store.bucket}" at {minio_server.endpoint}'):
        store.check_bucket()
    store.create_bucket()
    store.create_bucket()  # two workers that start together
    store.check_bucket("history/")
    with pytest.raises(Denied, match=r"LIST s3://.*/history/ failed: SignatureDoesNotMatch"):
        open_store(minio_server, store.bucket, secret_key="wrong-one").check_bucket("history/")


def test_a_key_that_the_store_never_takes_is_no_outage(minio_server: MinioServer, bucket: str) -> None:
    store = open_store(minio_server, bucket)
    with pytest.raises(Rejected, match="XMinioInvalidObjectName"):
        store.perform(Put("history//x", b"", {}))


def test_an_outage_ends_without_a_restart_of_ours(tmp_path: Path) -> None:
    server = MinioServer(tmp_path)
    server.start()
    try:
        store = open_store(server, server.create_bucket())
        assert store.perform(Put("k", b"kept", {}))
        server.stop()
        with pytest.raises(Away, match=r"EndpointConnectionError \(Connection refused, http://"):
            store.perform(Get("k"))
        server.start()
        blob = store.perform(Get("k"))
        assert isinstance(blob, Blob)
        assert blob.body == b"kept"
    finally:
        server.stop()
