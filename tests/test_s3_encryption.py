"""Server-side encryption: told with each write, to a real MinIO that has a key."""

import base64
from collections.abc import Iterator

import pytest

from history_sink.errors import ConfigurationError
from history_sink_worker.archive.grow import known, upload
from history_sink_worker.archive.probe import probe
from history_sink_worker.s3.client import S3Store
from history_sink_worker.settings import WorkerSettings
from history_sink_worker.store import Blob, Get, Put, run
from stack.minio import MinioServer

REQUIRED = {
    "CODETETHER_HISTORY_BROKER_URL": "redis://redis",
    "CODETETHER_HISTORY_S3_ENDPOINT": "http://minio:9000",
    "CODETETHER_HISTORY_S3_BUCKET": "bucket",
    "CODETETHER_HISTORY_S3_ACCESS_KEY": "a",
    "CODETETHER_HISTORY_S3_SECRET_KEY": "s",
}


@pytest.fixture(scope="module")
def minio(minio_server: MinioServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    """One with a key, `our-key`."""
    del minio_server  # asked for only so that the program is built before a test's clock starts
    key = f"our-key:{base64.b64encode(bytes(32)).decode()}"
    server = MinioServer(tmp_path_factory.mktemp("minio"), environment={"MINIO_KMS_SECRET_KEY": key})
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize(("sse", "key_id"), [("AES256", None), ("aws:kms", "our-key"), ("aws:kms", None), (None, None)])
def test_each_object_is_encrypted_as_was_asked_for(minio: MinioServer, sse: str | None, key_id: str | None) -> None:
    store = S3Store(
        endpoint=minio.endpoint,
        bucket=minio.create_bucket(),
        access_key=minio.access_key,
        secret_key=minio.secret_key,
        sse=sse,
        sse_kms_key_id=key_id,
    )
    etag = store.perform(Put("created", b"line\n", {}))
    assert isinstance(etag, str)
    assert store.perform(Put("created", b"line\nmore\n", {}, if_match=etag))
    etag = store.perform(Put("grown", bytes(5 * 1024 * 1024), {}))
    assert isinstance(etag, str)
    run(upload("grown", etag, [(0, 5 * 1024 * 1024)], [known(b"tail\n")], {}), store.perform)
    for key, end in (("created", b"line\nmore\n"), ("grown", b"\0tail\n")):
        head = minio.client().head_object(Bucket=store.bucket, Key=key)
        assert head.get("ServerSideEncryption") == sse
        assert (head.get("SSEKMSKeyId") or "").endswith(key_id or "")
        blob = store.perform(Get(key))
        assert isinstance(blob, Blob)
        assert blob.body.endswith(end)
    assert run(probe("history/"), store.perform).missing == ()  # ETags are no MD5 there


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"S3_SSE": "aes"}, "AES256 or aws:kms"),
        ({"S3_SSE_KMS_KEY_ID": "k"}, "alone"),
        ({"S3_SSE": "AES256", "S3_SSE_KMS_KEY_ID": "k"}, "alone"),
    ],
)
def test_an_encryption_that_there_is_not_is_refused(variables: dict[str, str], reason: str) -> None:
    env = REQUIRED | {f"CODETETHER_HISTORY_{name}": value for name, value in variables.items()}
    with pytest.raises(ConfigurationError, match=reason):
        WorkerSettings.from_env(env)
    assert WorkerSettings.from_env(REQUIRED | {"CODETETHER_HISTORY_S3_SSE": "AES256"}).sse == "AES256"
