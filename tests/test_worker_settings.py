"""The worker's settings: what they are without a word, and what is said when they are wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from history_sink.client.ranges import RANGE_BYTES
from history_sink.errors import ConfigurationError, Malformed
from history_sink.protocol.contract import PREFIX_BYTES, branch_name, check_session
from history_sink.protocol.names import normal_prefix
from history_sink.settings import ProducerSettings
from history_sink_worker.archive.names import Log
from history_sink_worker.settings import BrokerSettings, WorkerSettings

GOLDEN_KEYS = Path(__file__).parent / "golden" / "keys.jsonl"

REQUIRED = {
    "S3_ENDPOINT": "http://minio:9000",
    "S3_BUCKET": "transcripts",
    "S3_ACCESS_KEY": "the-access-key",
    "S3_SECRET_KEY": "the-secret-key",
    "BROKER_URL": "redis://:the-password@redis:6379/0",
}


def env(**changes: str) -> dict[str, str]:
    return {f"CODETETHER_HISTORY_{name}": value for name, value in (REQUIRED | changes).items()}


def test_five_variables_are_enough() -> None:
    settings = WorkerSettings.from_env(env())
    assert settings == WorkerSettings(
        broker=BrokerSettings(
            broker_url="redis://:the-password@redis:6379/0",
            result_url="redis://:the-password@redis:6379/0",
            redis_url="redis://:the-password@redis:6379/0",
            visibility_timeout_seconds=60,
            result_expires_seconds=24 * 3600,
            log_format="auto",
            log_level="INFO",
            http_address=None,
        ),
        endpoint="http://minio:9000",
        bucket="transcripts",
        prefix="history/",
        access_key="the-access-key",
        secret_key="the-secret-key",
        region="us-east-1",
        create_bucket=False,
        settle_seconds=7200,
        idle_seconds=60,
        resolve_cap_bytes=8 * 1024 * 1024,
    )


def test_every_variable_is_read() -> None:
    settings = WorkerSettings.from_env(
        env(
            S3_ENDPOINT=" https://s3.example/ ",
            S3_PREFIX="team a",
            S3_REGION="eu-west-1",
            S3_CREATE_BUCKET="True",
            RESULT_URL="db+postgresql://results",
            REDIS_URL="redis://hints/1",
            SETTLE_SECONDS="90.5",
            IDLE_SECONDS="2",
            RESOLVE_CAP_BYTES="3000000",
            VISIBILITY_TIMEOUT_SECONDS="4",
            RESULT_EXPIRES_SECONDS="75",
            LOG_FORMAT="JSON",
            LOG_LEVEL="debug",
        )
    )
    assert settings.endpoint == "https://s3.example"
    assert (settings.prefix, settings.region) == ("team a/", "eu-west-1")
    assert settings.create_bucket is True
    assert (settings.settle_seconds, settings.idle_seconds) == (90.5, 2)
    assert settings.resolve_cap_bytes == 3_000_000
    broker = settings.broker
    assert (broker.result_url, broker.redis_url) == ("db+postgresql://results", "redis://hints/1")
    assert (broker.visibility_timeout_seconds, broker.result_expires_seconds) == (4, 75)
    assert (broker.log_format, broker.log_level) == ("json", "DEBUG")


def test_all_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as failure:
        WorkerSettings.from_env({"CODETETHER_HISTORY_S3_BUCKET": " "})
    for name in REQUIRED:
        assert f"CODETETHER_HISTORY_{name}" in str(failure.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("S3_ENDPOINT", "minio:9000"),
        ("S3_ENDPOINT", "ftp://minio"),
        ("S3_ENDPOINT", "http://"),
        ("S3_ENDPOINT", "http://minio:port-zzz"),
        ("S3_ENDPOINT", "http://user:zzz@minio"),
        ("S3_ENDPOINT", "http://minio/?zzz"),
        ("S3_ENDPOINT", "http://minio/zzz"),
        ("S3_ENDPOINT", "http://zzz_minio:9000"),
        ("S3_PROXY", "zzz:3128"),
        ("S3_PROXY", "socks5://zzz"),
        ("S3_BUCKET", "zzz/zzz"),
        ("S3_BUCKET", "Capitals-zzz"),
        ("S3_BUCKET", "zzz..zzz"),
        ("S3_BUCKET", "-zzz"),
        ("S3_BUCKET", "z"),
        ("S3_BUCKET", "192.168.0.1"),
        ("S3_BUCKET", "arn:aws:s3:::zzz"),
        ("S3_CREATE_BUCKET", "zzz"),
        ("BROKER_URL", "zzz"),
        ("BROKER_URL", "localhost:6379/zzz"),
        ("BROKER_URL", "rediz://:zzz@redis"),
        ("BROKER_URL", "redis://:zzz@redis:zzz"),
        ("BROKER_URL", "redis://:zzz@one;zzz"),
        ("RESULT_URL", "zzz"),
        ("REDIS_URL", "amqp://:zzz@rabbit"),
        ("SETTLE_SECONDS", "zzz"),
        ("SETTLE_SECONDS", "0"),
        ("IDLE_SECONDS", "-1"),
        ("IDLE_SECONDS", "nan"),
        ("VISIBILITY_TIMEOUT_SECONDS", "inf"),
        ("RESULT_EXPIRES_SECONDS", "1h"),
        ("RESOLVE_CAP_BYTES", "0"),
        ("RESOLVE_CAP_BYTES", "8MiB"),
        ("LOG_FORMAT", "zzz"),
        ("LOG_LEVEL", "zzz"),
    ],
)
def test_a_malformed_variable_is_named_and_its_value_is_not_shown(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"CODETETHER_HISTORY_{name} must be ") as failure:
        WorkerSettings.from_env(env(**{name: value}))
    assert "zzz" not in str(failure.value)
    assert str(failure.value).count("CODETETHER") == 1


@pytest.mark.parametrize(
    ("name", "low", "least"),
    [
        ("SETTLE_SECONDS", "5", "60"),
        ("VISIBILITY_TIMEOUT_SECONDS", "1", "3"),
        ("RESULT_EXPIRES_SECONDS", "59.9", "60"),
        ("RESOLVE_CAP_BYTES", "2097151", str(RANGE_BYTES)),
    ],
)
def test_a_value_below_which_a_promise_breaks_is_refused_with_the_reason(name: str, low: str, least: str) -> None:
    with pytest.raises(ConfigurationError, match=f"CODETETHER_HISTORY_{name} must be {least} or more: below that, "):
        WorkerSettings.from_env(env(**{name: low}))
    WorkerSettings.from_env(env(**{name: least}))
    WorkerSettings.from_env(env(**{name: low}, ALLOW_UNSAFE_TIMES="for tests"))


def test_the_way_past_the_least_values_is_for_tests_and_says_so() -> None:
    with pytest.raises(ConfigurationError, match='ALLOW_UNSAFE_TIMES must be "for tests", or not set'):
        WorkerSettings.from_env(env(ALLOW_UNSAFE_TIMES="true"))
    assert "ALLOW_UNSAFE_TIMES" in (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()


def test_a_prefix_given_by_hand_means_the_same_as_in_a_variable() -> None:
    settings = ProducerSettings("redis://host/0", bucket="b", prefix="agents")
    assert settings.prefix == "agents/"
    with pytest.raises(ConfigurationError, match="CODETETHER_HISTORY_S3_PREFIX"):
        ProducerSettings("redis://host/0", prefix="../x")


def test_missing_and_malformed_are_said_together() -> None:
    with pytest.raises(ConfigurationError) as failure:
        WorkerSettings.from_env(env(S3_SECRET_KEY="", BROKER_URL="zzz", LOG_LEVEL="zzz"))
    assert str(failure.value) == (
        "not set: CODETETHER_HISTORY_S3_SECRET_KEY; "
        "CODETETHER_HISTORY_BROKER_URL must be a broker's URL, such as redis://host:6379/0; "
        "CODETETHER_HISTORY_LOG_LEVEL must be DEBUG, INFO, WARNING, ERROR or CRITICAL"
    )


def test_the_app_loads_without_a_store_and_without_a_broker() -> None:
    assert BrokerSettings.from_env({}).broker_url is None
    with pytest.raises(ConfigurationError, match="BROKER_URL must be"):
        BrokerSettings.from_env({"CODETETHER_HISTORY_BROKER_URL": "zzz"})


@pytest.mark.parametrize(
    ("broker", "is_redis"),
    [
        ("redis://host", True),
        ("rediss://host?ssl_cert_reqs=none", True),
        ("amqp://host", False),
        ("sentinel://host", False),
        ("redis+socket:///run/redis.sock?virtual_host=3", True),
    ],
)
def test_results_and_hints_are_kept_in_the_broker_if_that_is_redis(broker: str, is_redis: bool) -> None:
    settings = BrokerSettings.from_env({"CODETETHER_HISTORY_BROKER_URL": broker})
    assert settings.broker_url == broker
    assert (settings.result_url is not None) is is_redis
    assert (settings.redis_url is not None) is is_redis


def test_no_secret_is_in_a_repr() -> None:
    settings = WorkerSettings.from_env(env(RESULT_URL="redis://:the-password@results"))
    for secret in ("the-access-key", "the-secret-key", "the-password"):
        assert secret not in repr(settings)
    assert "http://minio:9000" in repr(settings)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9808", ("127.0.0.1", 9808)),
        ("0.0.0.0:9808", ("0.0.0.0", 9808)),
        ("[::1]:9808", ("::1", 9808)),
        ("", None),
    ],
)
def test_an_endpoint_is_on_loopback_unless_a_host_is_named(text: str, address: tuple[str, int] | None) -> None:
    assert BrokerSettings.from_env({"CODETETHER_HISTORY_HTTP_ADDRESS": text}).http_address == address


@pytest.mark.parametrize("text", ["on", "0", "99999", "host", ":9808", "host:9808/metrics", "http://host:9808"])
def test_an_endpoint_is_host_and_port(text: str) -> None:
    with pytest.raises(ConfigurationError, match="CODETETHER_HISTORY_HTTP_ADDRESS must be a port on loopback"):
        BrokerSettings.from_env({"CODETETHER_HISTORY_HTTP_ADDRESS": text})


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        (None, "history/"),
        ("", "history/"),
        (" \n", "history/"),
        ("a", "a/"),
        ("a/", "a/"),
        (" a ", " a /"),
    ],
)
def test_a_prefix_is_read_as_the_older_sink_read_it(text: str | None, prefix: str) -> None:
    assert normal_prefix(text) == prefix


@pytest.mark.parametrize("text", ["/", "/a", "a//b", "a/./b", "../a", "a/..", "a" * 256, "a/" * 400, "é" * 200])
def test_a_prefix_that_a_store_would_not_keep_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigurationError, match="CODETETHER_HISTORY_S3_PREFIX"):
        WorkerSettings.from_env(env(S3_PREFIX=text))
    with pytest.raises(ConfigurationError, match="CODETETHER_HISTORY_S3_PREFIX"):
        ProducerSettings.from_env({"CODETETHER_HISTORY_S3_PREFIX": text})


def test_the_longest_key_of_the_longest_prefix_fits() -> None:
    log = Log(normal_prefix("a/" * (PREFIX_BYTES // 2)), "s" * 200, branch_name(0, "0" * 16))
    assert len(log.base) + len("tail/000000000000-0123456789abcdef~0123456789abcdef.jsonl") <= 1024


@pytest.mark.skipif(not GOLDEN_KEYS.exists(), reason="the golden vectors are not here")
def test_keys_are_those_of_the_original_program() -> None:
    legal = 0
    for line in GOLDEN_KEYS.read_bytes().split(b"\n"):
        vector: dict[str, Any] = json.loads(line) if line else {}
        if vector.get("via") != "env":
            continue
        try:
            assert normal_prefix(vector["prefix"]) == vector["effective_prefix"]
        except ConfigurationError:  # a store would not keep such a key as it is
            assert vector["prefix"].startswith("/") or {"", ".", ".."} & set(vector["prefix"].split("/")[:-1])
            continue
        try:
            session = check_session(vector["session_id"])
        except Malformed:
            continue
        assert Log(vector["effective_prefix"], session).base == vector["key"]
        legal += 1
    assert legal > 0


def test_certificates_are_checked_unless_a_url_says_otherwise() -> None:
    urls = {"BROKER_URL": "rediss://b/0", "RESULT_URL": "rediss://r/0?ssl_ca_certs=/ca", "REDIS_URL": "redis://h/0"}
    settings = BrokerSettings.from_env({f"CODETETHER_HISTORY_{name}": url for name, url in urls.items()})
    assert settings.broker_url == "rediss://b/0?ssl_cert_reqs=required"
    assert settings.result_url == "rediss://r/0?ssl_ca_certs=/ca&ssl_cert_reqs=required"
    assert settings.redis_url == "redis://h/0"


def test_a_misspelt_variable_is_refused_with_the_name_that_was_meant() -> None:
    meant = "CODETETHER_HISTORY_SETLE_SECONDS is no setting: did you mean CODETETHER_HISTORY_SETTLE_SECONDS"
    for read in (WorkerSettings.from_env, BrokerSettings.from_env, ProducerSettings.from_env):
        with pytest.raises(ConfigurationError, match=meant):
            read(env(SETLE_SECONDS="9"))
        read(env())  # each side's names in one environment
