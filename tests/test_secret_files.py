"""Secrets from files, for the producer and the worker alike."""

from pathlib import Path

import pytest

from history_sink.errors import ConfigurationError
from history_sink.settings import ProducerSettings
from history_sink_worker.settings import BrokerSettings, WorkerSettings

URL = "redis://:from-a-file@redis:6379/0"
PLAIN = {
    "CODETETHER_HISTORY_S3_ENDPOINT": "http://minio:9000",
    "CODETETHER_HISTORY_S3_BUCKET": "bucket",
    "CODETETHER_HISTORY_S3_ACCESS_KEY": "access",
}


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(f"{URL}\n")
    return path


def test_both_sides_read_secrets_from_files(secret: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("s3cr3t-in-a-file\n")
    env = {"CODETETHER_HISTORY_BROKER_URL_FILE": str(secret), "CODETETHER_HISTORY_S3_SECRET_KEY_FILE": str(key)}
    assert ProducerSettings.from_env(env).broker_url == URL
    assert BrokerSettings.from_env(env).result_url == URL
    worker = WorkerSettings.from_env({**PLAIN, **env})
    assert (worker.secret_key, worker.access_key, worker.broker.redis_url) == ("s3cr3t-in-a-file", "access", URL)


def test_one_form_at_a_time(secret: Path) -> None:
    env = {"CODETETHER_HISTORY_BROKER_URL_FILE": str(secret), "CODETETHER_HISTORY_BROKER_URL": "redis://other"}
    with pytest.raises(ConfigurationError, match=r"both CODETETHER_HISTORY_BROKER_URL and .*_FILE are set"):
        ProducerSettings.from_env(env)
    assert ProducerSettings.from_env({**env, "CODETETHER_HISTORY_BROKER_URL": " "}).broker_url == URL


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "secret cannot be read: No such file or directory"),
        (b" \n", "secret is empty"),
        (b"from-a-file\xff", "names no file with a secret in UTF-8"),
        (b"from-a-file" * 10_000, "secret is too long for a secret"),
    ],
)
def test_a_bad_file_is_named_and_never_shown(content: bytes | None, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        ProducerSettings.from_env({"CODETETHER_HISTORY_BROKER_URL_FILE": str(path)})
    assert str(caught.value).startswith("CODETETHER_HISTORY_BROKER_URL_FILE")
    assert complaint in str(caught.value)
    assert "from-a-file" not in str(caught.value)
