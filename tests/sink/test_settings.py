"""What a sink is told: no broker, variables, certificates."""

import logging
from pathlib import Path

import pytest

from history_sink import (
    ConfigurationError,
    Fault,
    HistorySink,
    PointerHandle,
    ProducerSettings,
    Unavailable,
)
from history_sink.protocol.names import S3_PREFIX
from history_sink.protocol.tls import check_certificates, tls_of
from history_sink.settings import BROKER_URL, RESULT_URL
from plain_store import PlainWorker, message, messages
from stack.proxy import Proxy
from stack.redis import RedisServer
from test_tls import server_side

from .pace import is_quick


class TestDisabled:
    def test_every_call_says_so(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING), HistorySink.from_env({BROKER_URL: ""}) as sink:
            assert sink.save("s", messages("a")).state == "disabled"
            assert sink.append("s", message("a")).state == "disabled"
            assert not sink.flush("s")
            answer = sink.resolve(PointerHandle("b", "k"))
            assert isinstance(answer, Fault)
            assert answer.kind == "backend_error"
            assert "disabled" in str(answer)
            for read in (sink.status, sink.pointer, sink.read, sink.list_sessions):
                with pytest.raises(Unavailable, match="disabled"):
                    read("s")
        assert [BROKER_URL in record.getMessage() for record in caplog.records] == [True]

    def test_who_gave_no_url_is_told_so_and_not_that_the_variable_is_unset(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(BROKER_URL, "redis://127.0.0.1:1/0")
        reason = HistorySink().flush("s").reason
        assert reason == f"disabled: no broker_url was given; HistorySink.from_env() takes it from {BROKER_URL}"
        assert reason in caplog.text
        assert HistorySink.from_env({}).flush("s").reason == f"disabled: {BROKER_URL} is not set"

    def test_a_call_costs_next_to_nothing(self) -> None:
        sink = HistorySink()
        history = messages(*map(str, range(1000)))
        is_quick(lambda: [sink.save("s", history) for _ in range(1000)], 0.1)


class TestSettings:
    @pytest.mark.parametrize("variable", [BROKER_URL, RESULT_URL])
    @pytest.mark.parametrize(
        "value",
        [
            "redis//:hunter2@host",
            "redis://:hunter2@host:port/0",
            "hunter2://host",
            "redis://:hunter2@[host/0",
            "hunter2",
        ],
    )
    def test_a_malformed_url_is_refused_by_its_name_and_without_its_secret(self, variable: str, value: str) -> None:
        env = {BROKER_URL: "redis://localhost", variable: value}
        with pytest.raises(ConfigurationError, match=variable) as caught:
            HistorySink.from_env(env)
        assert "hunter2@" not in str(caught.value)

    def test_a_repr_shows_no_password(self) -> None:
        settings = ProducerSettings.from_env({BROKER_URL: "redis://:hunter2@host", RESULT_URL: "redis://:hunter2@host"})
        assert "hunter2" not in repr(settings)

    def test_results_are_where_the_broker_is_if_that_is_a_redis(self) -> None:
        assert ProducerSettings("rediss://host/1").result_url == "rediss://host/1"
        assert ProducerSettings("amqp://host").result_url is None
        assert ProducerSettings("amqp://host", "redis://other").result_url == "redis://other"

    def test_settings_that_contradict_are_refused_without_their_secret(self) -> None:
        with pytest.raises(ConfigurationError, match="broker_url=") as caught:
            HistorySink("redis://:hunter2@host")  # type: ignore[arg-type]
        assert "hunter2" not in str(caught.value)
        with pytest.raises(ConfigurationError, match="not both"):
            HistorySink(ProducerSettings(), broker_url="redis://host")

    def test_reads_without_a_result_store_say_what_is_missing(self) -> None:
        with HistorySink(broker_url="amqp://localhost:1") as sink, pytest.raises(Unavailable, match=RESULT_URL):
            sink.status("s")

    @pytest.mark.parametrize(
        ("prefix", "meant"),
        [
            (None, "history/"),
            ("", "history/"),
            (" ", "history/"),
            ("a", "a/"),
            ("a/", "a/"),
            (" a ", " a /"),
        ],
    )
    def test_a_prefix_ends_in_a_slash(self, prefix: str | None, meant: str) -> None:
        env = {} if prefix is None else {S3_PREFIX: prefix}
        assert ProducerSettings.from_env(env).prefix == meant


def test_a_celery_variable_in_the_agents_environment_leads_nothing_astray(
    url: str, worker: PlainWorker, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CELERY_BROKER_URL", "CELERY_BROKER_WRITE_URL", "CELERY_RESULT_BACKEND"):
        monkeypatch.setenv(name, "redis://127.0.0.1:1/0")
    with HistorySink(broker_url=url) as sink:
        assert sink.save(session, messages("a")).state == "enqueued"
        assert sink.flush(session, 10)


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("rediss://host/0", "rediss://host/0?ssl_cert_reqs=required"),
        ("rediss://host?db=1", "rediss://host?db=1&ssl_cert_reqs=required"),
        ("rediss://host?ssl_cert_reqs=none", "rediss://host?ssl_cert_reqs=none"),
        ("redis://host", "redis://host"),
    ],
)
def test_certificates_are_checked_unless_the_url_says_otherwise(url: str, meant: str) -> None:
    assert check_certificates(url) == meant


@pytest.mark.parametrize(("url", "is_told"), [("amqps://host", True), ("amqp://host", False), ("rediss://host", False)])
def test_kombu_is_told_to_look_for_whose_certificate_it_is(url: str, is_told: bool) -> None:
    assert (tls_of(url) == {"server_hostname": None}) is is_told


def test_tls_is_spoken_and_a_certificate_that_nobody_vouches_for_is_not_taken(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    worker = PlainWorker(own_redis.url())
    with Proxy(own_redis.port, tls=server_side(tmp_path)) as proxy, worker.running():
        url = f"rediss://localhost:{proxy.port}/0"
        with HistorySink(broker_url=f"{url}?ssl_ca_certs={tmp_path / 'cert.pem'}") as sink:
            assert sink.save("s", messages("a", "x" * 100_000)).state == "enqueued"
            assert sink.flush("s", 10)
        with HistorySink(broker_url=url) as sink:
            receipt = sink.save("t", messages("a"))
        assert receipt.state == "unreachable"
        assert "certificate" in (receipt.reason or "")
    assert list(worker.sessions) == ["s"]
