"""Which Redis servers a worker takes as its broker, and which it refuses, as they would lose messages."""

import kombu
import pytest
from kombu.transport import TRANSPORT_ALIASES

from history_sink_worker.redis_transport import transport
from history_sink_worker.redis_transport.servers import UnsupportedBrokerError, check_server
from history_sink_worker.redis_transport.transport import install


@pytest.mark.parametrize(
    ("server", "version", "mode", "reason"),
    [
        ("redis", "6.2.14", "standalone", r"Redis 6\.2\.14.*RabbitMQ"),
        ("redis", "7.4.0", "cluster", r"cluster mode.*fails over.*appendonly.*RabbitMQ"),
        ("redis", "7.4.0", "sentinel", r"sentinel mode.*fails over.*appendonly.*RabbitMQ"),
    ],
)
def test_a_server_that_would_lose_messages_is_refused(server: str, version: str, mode: str, reason: str) -> None:
    with pytest.raises(UnsupportedBrokerError, match=reason):
        check_server(hello(server, version, mode))


@pytest.mark.parametrize(("server", "version"), [("redis", "7.0.0"), ("redis", "8.2.1"), ("valkey", "7.2.5")])
def test_redis_from_7_and_valkey_are_taken(server: str, version: str) -> None:
    check_server(hello(server, version, "standalone"))


def hello(server: str, version: str, mode: str) -> dict[bytes, bytes]:
    return {b"server": server.encode(), b"version": version.encode(), b"mode": mode.encode()}


def test_once_installed_sentinel_urls_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("redis", "rediss", "sentinel"):
        monkeypatch.setitem(TRANSPORT_ALIASES, scheme, TRANSPORT_ALIASES[scheme])
    monkeypatch.setattr(transport, "_resolved", {})
    install()
    with pytest.raises(UnsupportedBrokerError, match="Sentinel loses messages"):
        kombu.Connection("sentinel://localhost:26379").connect()
