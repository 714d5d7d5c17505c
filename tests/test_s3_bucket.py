"""A store that can't be used as it is: wrong credentials, no bucket, not running. On real S3 servers."""

import os
from pathlib import Path

import pytest

from history_sink_worker.s3.client import S3Store
from history_sink_worker.store import (
    Away,
    Begin,
    Blob,
    Delete,
    Denied,
    Get,
    Head,
    List,
    Put,
    Rejected,
    Request,
)
from stack.minio import MinioServer
from stack.s3_server import S3Server
from stack.versitygw import VersitygwServer

pytestmark = pytest.mark.each_store

EVERY_REQUEST: list[Request] = [
    Put("k", b"x", {}),
    Put("k", b"x", {}, if_match="e"),
    Begin("k", {}),
    Get("k"),
    Head("k"),
    List("k"),
    Delete(("k",)),
]


def open_store(server: S3Server, bucket: str, *, access_key: str = "", secret_key: str = "") -> S3Store:
    return S3Store(
        endpoint=server.endpoint,
        bucket=bucket,
        access_key=access_key or server.access_key,
        secret_key=secret_key or server.secret_key,
    )


@pytest.mark.parametrize("request_", EVERY_REQUEST, ids=lambda r: type(r).__name__)
@pytest.mark.parametrize("wrong", ["access key", "secret key"])
def test_wrong_credentials_are_denied(s3_server: S3Server, bucket: str, wrong: str, request_: Request) -> None:
    if wrong == "access key":
        store = open_store(s3_server, bucket, access_key="no-such-user")
        if isinstance(s3_server, VersitygwServer) and isinstance(request_, Head):
            assert store.perform(request_) is None  # a 404 without a body can't tell; LIST, PUT and GET can
            return
    else:
        store = open_store(s3_server, bucket, secret_key="not-the-secret")
    with pytest.raises(Denied, match=rf"s3://{bucket}/k .*(403|XAdminUserNotFound)") as failure:
        store.perform(request_)
    assert "not-the-secret" not in str(failure.value)


@pytest.mark.parametrize("request_", EVERY_REQUEST, ids=lambda r: type(r).__name__)
def test_without_the_bucket_the_store_is_away(s3_server: S3Server, request_: Request) -> None:
    store = open_store(s3_server, "no-such-bucket")
    if isinstance(request_, Head):
        assert store.perform(request_) is None  # its answer can't tell; LIST, PUT and GET can
        return
    with pytest.raises(Away, match=r"s3://no-such-bucket/k failed: NoSuchBucket \(404\)"):
        store.perform(request_)


def test_the_bucket_is_checked_and_created_on_request(s3_server: S3Server) -> None:
    store = open_store(s3_server, f"created-{os.getpid()}")
    with pytest.raises(Away, match=f'no bucket "{store.bucket}" at {s3_server.endpoint}'):
        store.check_bucket()
    store.create_bucket()
    store.create_bucket()  # two workers that start together
    store.check_bucket("history/")
    with pytest.raises(Denied, match=r"LIST s3://.*/history/ failed: SignatureDoesNotMatch"):
        open_store(s3_server, store.bucket, secret_key="wrong-one").check_bucket("history/")


def test_an_object_that_the_store_never_takes_is_no_outage(s3_server: S3Server, bucket: str) -> None:
    store = open_store(s3_server, bucket)
    with pytest.raises(Rejected, match="MetadataTooLarge"):
        store.perform(Put("history/x", b"", {"hs-large": "x" * 6000}))


@pytest.mark.servers
@pytest.mark.parametrize("kind", [MinioServer, VersitygwServer])
def test_an_outage_ends_without_a_restart_of_ours(
    tmp_path: Path, kind: type[MinioServer] | type[VersitygwServer]
) -> None:
    server = kind(tmp_path)
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
