"""One Redis URL, three readers: what is let through means the same to kombu, the result backend and redis-py."""

import ssl
from typing import Any

import pytest
import redis
from celery import Celery
from celery.backends.redis import RedisBackend
from kombu import Connection

from history_sink import ConfigurationError, HistorySink
from history_sink.protocol.broker_urls import check_broker, check_redis, for_backend, for_redis_py, is_same_server
from history_sink.protocol.tls import check_certificates
from history_sink.settings import BROKER_URL, RESULT_URL, ProducerSettings
from history_sink.transport.resolver import check_name
from history_sink_worker.archive.names import Log
from history_sink_worker.service.due_list import DueList
from history_sink_worker.service.redis_shelf import RedisShelf
from history_sink_worker.settings import BrokerSettings, WorkerSettings
from stack.redis import RedisServer

MEANING = ("host", "port", "db", "username", "password", "path", "ssl_cert_reqs", "ssl_ca_certs", "ssl_check_hostname")
DEFAULTS: dict[str, Any] = {"host": "localhost", "port": 6379, "db": 0}


def env(**values: str) -> dict[str, str]:
    named = {"S3_ENDPOINT": "http://minio", "S3_BUCKET": "b", "S3_ACCESS_KEY": "a", "S3_SECRET_KEY": "s", **values}
    return {f"CODETETHER_HISTORY_{name}": value for name, value in named.items()}


def meaning(kwargs: dict[str, Any]) -> dict[str, str]:
    """Where a client goes and as whom; local spellings of the same left out."""
    shown = {**(DEFAULTS if "path" not in kwargs else {"db": 0}), **{k: v for k, v in kwargs.items() if v is not None}}
    shown = {name: str(value) for name, value in shown.items() if name in MEANING}
    if shown.get("host") == "127.0.0.1":
        shown["host"] = "localhost"
    if "ssl_check_hostname" in shown:  # older readers keep the word
        shown["ssl_check_hostname"] = shown["ssl_check_hostname"].lower()
    if "ssl_cert_reqs" in shown:
        words = {str(int(mode)): mode.name.lower().removeprefix("cert_") for mode in ssl.VerifyMode}
        words |= {str(mode): mode.name.lower().removeprefix("cert_") for mode in ssl.VerifyMode}
        shown["ssl_cert_reqs"] = words.get(shown["ssl_cert_reqs"], shown["ssl_cert_reqs"])
    return shown


def readings(url: str) -> list[dict[str, str]]:
    """As kombu, Celery's result backend and redis-py build their clients of it, without connecting."""
    url = check_certificates(url)
    connection = Connection(url)
    channel = object.__new__(vars(type(connection.transport))["Channel"])
    channel.connection = type("Transport", (), {"client": connection, "default_port": 6379})()
    backend: Any = RedisBackend(app=Celery(set_as_current=False), url=for_backend(url))
    client = redis.Redis.from_url(for_redis_py(url))
    backend.client.connection_pool.make_connection()
    client.connection_pool.make_connection()
    return list(map(meaning, (channel._connparams(), backend.connparams, client.connection_pool.connection_kwargs)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis://host",
        "redis://host:6380/3",
        "redis://host/",
        "redis://user:p%40ss%2F%23%3F%25@host:6380/05",
        "redis://:p@ss@host/1",
        "redis://[::1]:6380/2",
        "rediss://host/2",
        "rediss://host/2?ssl_cert_reqs=none",
        "rediss://host/2?ssl_cert_reqs=CERT_REQUIRED&ssl_check_hostname=true",
        "rediss://host?ssl_ca_certs=/etc/ca.pem&ssl_check_hostname=true",
        "redis+socket:///run/redis.sock",
        "redis+socket://user:p%40ss@/run/my%20redis.sock?virtual_host=7",
    ],
)
def test_what_is_let_through_means_the_same_to_all_three(url: str) -> None:
    check_broker(url)
    kombu, backend, plain = readings(url)
    for name in MEANING:
        said = {reading[name] for reading in (kombu, backend, plain) if name in reading}
        assert len(said) <= 1, name
    assert (kombu["db"], kombu.get("path")) == (plain["db"], plain.get("path"))


@pytest.mark.parametrize(
    "url",
    [
        "redis://host/?db=3",
        "redis://host/0?foo=zzz",
        "redis://host/0?socket_timeout=2",
        "redis://host/0?health_check_interval=10",
        "redis://host/0?virtual_host=3",
        "redis://host/history",
        "redis://host/0/1",
        "redis://host//5",
        "redis://host/5/",
        "redis://host/-1",
        "redis://host/0#zzz",
        "redis://host/0?ssl_cert_reqs=none",
        "rediss://host/0?ssl_cert_reqs=zzz",
        "rediss://host/0?ssl_ca_certs=/a&ssl_ca_certs=/zzz",
        "rediss://host/0?ssl_ca_certs=/a%2525zzz",
        "redis+socket://run/redis.sock",
        "redis+socket://",
        "redis+socket:///run/redis.sock?db=3",
        "unix:///run/redis.sock",
        "redis://one/0;redis://two/zzz",
        "redis://one/0;redis://two/0",
        "rediss://one/0;rediss://two/0",
        "amqp://one//;amqp://two//",
        "amqp://host//?foo=zzz",
        "memory://",
        "filesystem://",
        "sqs://",
        "sqla+sqlite:///zzz",
        "librabbitmq://host",
    ],
)
def test_what_readers_differ_in_is_refused_by_name_in_sink_worker_and_doctor(url: str) -> None:
    for read in (
        lambda: HistorySink(broker_url=url),
        lambda: WorkerSettings.from_env(env(BROKER_URL=url)),
        lambda: BrokerSettings.from_env({BROKER_URL: url}),
    ):
        with pytest.raises(ConfigurationError, match=f"{BROKER_URL} must be a|{BROKER_URL} must be the") as caught:
            read()
        assert "zzz" not in str(caught.value)


@pytest.mark.parametrize("sign", ["/", "#", "?", "/@", "#1", "[", "]", "@/"])
@pytest.mark.parametrize("scheme", ["redis", "rediss", "amqp"])
def test_a_password_that_hides_the_host_is_said_so_with_the_host_and_without_the_password(
    scheme: str, sign: str
) -> None:
    url = f"{scheme}://user:hunter{sign}secret@redis.example:6379/0"
    for read in (
        lambda: HistorySink(broker_url=url),
        lambda: HistorySink(broker_url="redis://host", result_url=url),
        lambda: WorkerSettings.from_env(env(BROKER_URL=url)),
    ):
        with pytest.raises(ConfigurationError, match=r"%40 %2F %23 %3F.*'redis\.example' was not found") as caught:
            read()
        assert "hunter" not in str(caught.value)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "query", ["foo=bar", "socket_timeout=soon", "socket_timeout=inf", "decode_responses=1", "db=x"]
)
def test_what_no_reader_of_answers_or_hints_can_build_is_refused_by_name(query: str) -> None:
    for name in ("RESULT_URL", "REDIS_URL"):
        with pytest.raises(ConfigurationError, match=f"CODETETHER_HISTORY_{name} must be"):
            BrokerSettings.from_env({f"CODETETHER_HISTORY_{name}": f"redis://host/7?{query}"})
    with pytest.raises(ConfigurationError, match=RESULT_URL):
        ProducerSettings("redis://host", f"redis://host/7?{query}")


@pytest.mark.parametrize("query", ["db=3", "socket_timeout=2.5", "health_check_interval=10", "client_name=a"])
def test_a_redis_that_is_no_queue_takes_redis_py_s_options(query: str) -> None:
    url = f"redis://host/?{query}"
    check_redis(url)
    backend: Any = RedisBackend(app=Celery(set_as_current=False), url=url)
    backend.client.connection_pool.make_connection()
    client = redis.Redis.from_url(url)
    client.connection_pool.make_connection()
    assert meaning(backend.connparams) == meaning(client.connection_pool.connection_kwargs)


def test_hints_and_answers_on_a_socket_are_where_the_queue_is() -> None:
    settings = BrokerSettings.from_env({BROKER_URL: "redis+socket:///run/s?virtual_host=3"})
    assert settings.result_url == "redis+socket:///run/s?virtual_host=3"
    assert settings.redis_url == "unix:///run/s?db=3"


@pytest.mark.parametrize("query", ["foo=bar", "decode_responses=true", "socket_timeout=30", "max_connections=1"])
def test_hints_cost_no_save_whatever_is_in_their_url(redis_server: RedisServer, query: str) -> None:
    shelf = RedisShelf(f"{redis_server.new_database()}?{query}", "http://store", "bucket")
    due = DueList(shelf, "history/")
    due.put("idle", Log("history/", "s"), 1.0)
    assert isinstance(due.claim(2.0, 10), list)
    assert shelf._client.connection_pool.connection_kwargs["socket_timeout"] < 1


def test_a_host_that_cannot_be_found_is_named() -> None:
    with pytest.raises(OSError, match=r"the name nobody\.invalid was not found"):
        check_name("redis://:hunter2@nobody.invalid/0", 5)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("redis://host/0", "redis://user:secret@HOST:6379/1", True),
        ("redis://host:1/0", "rediss://host:1/0", True),
        ("redis://host:1/0", "redis://host:2/0", False),
        ("redis://host/0", "redis://other/0", False),
        ("amqp://host:6379//", "redis://host:6379/0", False),
        ("redis+socket:///run/a.sock", "redis+socket:///run/a.sock?virtual_host=3", True),
        ("redis+socket:///run/a.sock", "redis+socket:///run/b.sock", False),
        ("redis+socket:///run/a.sock", "redis://host/0", False),
        ("", "redis://host/0", False),
    ],
)
def test_users_and_databases_make_no_other_server(one: str, other: str, is_same: bool) -> None:
    assert is_same_server(one, other) == is_same_server(other, one) == is_same
