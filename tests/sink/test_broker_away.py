"""A broker that is down, stopped, full or slow."""

import gc
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from history_sink import (
    HistorySink,
    ProducerSettings,
)
from history_sink.protocol.contract import UPLOAD_QUEUE
from plain_store import PlainWorker, lines_of, message, messages
from stack.processes import wait_until
from stack.proxy import Proxy
from stack.redis import RedisServer

from .pace import is_quick


def grow(server: RedisServer) -> None:
    with server.client() as client:
        client.config_set("maxmemory", "0")


class TestBrokerAway:
    """A save returns within about a second and says so; the next one carries what was missed."""

    @pytest.fixture(params=["down", "stopped", "refusing"])
    def away(
        self, request: pytest.FixtureRequest, own_redis: RedisServer
    ) -> Iterator[tuple[RedisServer, Callable[[], None]]]:
        """A broker that is away, and what brings it back."""
        if request.param == "down":
            own_redis.process.kill()
            yield own_redis, own_redis.start
        elif request.param == "stopped":
            own_redis.process.pause()
            yield own_redis, own_redis.process.resume
        else:
            with own_redis.client() as client:
                client.config_set("maxmemory", "1")
            yield own_redis, lambda: grow(own_redis)
        own_redis.process.resume()

    def test_from_the_start(self, away: tuple[RedisServer, Callable[[], None]]) -> None:
        server, bring_back = away
        history = messages("a")
        with HistorySink(broker_url=server.url()) as sink:
            receipt = is_quick(lambda: sink.save("s", history))
            assert (receipt.state, receipt.messages) == ("unreachable", 0)
            assert "the broker" in (receipt.reason or "")
            history.append(message("b"))
            assert is_quick(lambda: sink.save("s", history), 0.1).state == "unreachable"
            assert sink.flush("s", 0.5).state == "unreachable"
            bring_back()
            wait_until(lambda: sink.save("s", history).state == "enqueued", timeout_seconds=5, what="a save")
            with server.client() as client:
                assert client.llen(UPLOAD_QUEUE) == 1

    def test_in_mid_session(self, own_redis: RedisServer) -> None:
        history = messages("a")
        with HistorySink(broker_url=own_redis.url()) as sink:
            assert sink.save("s", history).state == "enqueued"
            own_redis.process.pause()
            history.append(message("b"))
            assert is_quick(lambda: sink.save("s", history)).state == "unreachable"
            for text in "cde":
                history.append(message(text))
                assert is_quick(lambda: sink.save("s", history), 0.05).state == "unreachable"
            own_redis.process.resume()
            wait_until(lambda: sink.save("s", history).state == "enqueued", timeout_seconds=5, what="a save")
            assert sink.save("s", history).state == "unchanged"

    def test_a_restart_between_two_saves_is_not_noticed(self, own_redis: RedisServer) -> None:
        history = messages("a")
        with HistorySink(broker_url=own_redis.url()) as sink:
            assert sink.save("s", history).state == "enqueued"
            own_redis.process.kill()
            own_redis.start()
            history.append(message("b"))
            assert sink.save("s", history).state == "enqueued"

    def test_appended_messages_are_kept_until_they_can_go(self, own_redis: RedisServer) -> None:
        own_redis.process.kill()
        with HistorySink(broker_url=own_redis.url()) as sink:
            assert sink.append("s", message("a")).state == "unreachable"
            bad = sink.append("s", message("b"), {"role": object()})
            assert (bad.state, bad.index) == ("refused", 1)
            own_redis.start()
            wait_until(lambda: sink.append("s").state == "enqueued", timeout_seconds=5, what="an append")
            assert sink.append("s", message("c")).messages == 1

    def test_a_name_that_is_not_resolved(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hanging = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: hanging.wait(10))
        with HistorySink(broker_url="redis://no-such-host.invalid/0") as sink:
            assert is_quick(lambda: sink.save("s", messages("a"))).state == "unreachable"
        hanging.set()

    def test_a_name_that_is_not_resolved_holds_up_threads_together_not_in_turn(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hanging = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: hanging.wait(10))
        with HistorySink(broker_url="redis://no-such-host.invalid/0") as sink, ThreadPoolExecutor(16) as threads:
            numbers = range(16)
            is_quick(lambda: [*threads.map(lambda number: sink.save(f"s{number}", messages("a")), numbers)])
        hanging.set()

    def test_no_connections_pile_up(self, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("history_sink.transport.circuit_breaker.Breaker.check", lambda _: None)  # try each time
        descriptors = Path("/proc/self/fd")
        with HistorySink(broker_url=own_redis.url()) as sink:
            sink.save("s", messages("a"))
            own_redis.process.kill()
            before = len([*descriptors.iterdir()])
            gc.disable()  # an agent with much in memory collects seldom
            try:
                for number in range(20):
                    sink.save("s", messages("a", str(number)))
                assert len([*descriptors.iterdir()]) <= before + 2
            finally:
                gc.enable()

    def test_while_it_is_known_to_be_away_a_save_costs_next_to_nothing(self, own_redis: RedisServer) -> None:
        own_redis.process.pause()
        history = messages(*map(str, range(1000)))
        with HistorySink(broker_url=own_redis.url()) as sink:
            sink.save("s", history)
            start = time.monotonic()
            states = [sink.save("s", history).state for _ in range(200)]
            assert time.monotonic() - start < 200 * 0.001
            assert set(states) == {"unreachable"}

    def test_a_long_line_gets_through_a_slow_link(self, own_redis: RedisServer) -> None:
        """It takes longer than a broker that hangs may take."""
        history = [message("a"), message(os.urandom(700_000).hex())]
        with (
            Proxy(own_redis.port, bytes_a_second=500_000) as link,
            HistorySink(broker_url=f"redis://127.0.0.1:{link.port}/0") as sink,
        ):
            assert sink.save("s", history[:1]).state == "enqueued"
            start = time.monotonic()
            assert sink.save("s", history).state == "enqueued"
            assert time.monotonic() - start > ProducerSettings().patience_seconds
        with own_redis.client() as client:
            assert client.llen(UPLOAD_QUEUE) == 2

    def test_a_publish_whose_answer_is_lost_does_no_harm(self, own_redis: RedisServer) -> None:
        worker = PlainWorker(own_redis.url())
        history = messages("a")
        with Proxy(own_redis.port) as proxy, HistorySink(broker_url=f"redis://127.0.0.1:{proxy.port}/0") as sink:
            sink.save("s", history)
            for text in "bcd":
                history.append(message(text))
                proxy.is_holding = True  # answers, too
                assert sink.save("s", history).state == "unreachable"
                proxy.is_holding = False  # and now the broker has it
                time.sleep(1.1)
            with worker.running():
                assert sink.flush("s", 20)
        assert worker.sessions["s"].logs == {None: lines_of(history)}
        assert not worker.sessions["s"].strays

    def test_a_sink_that_is_dropped_says_what_is_lost_with_it(self, caplog: pytest.LogCaptureFixture) -> None:
        sink = HistorySink(broker_url="redis://127.0.0.1:1/0")
        sink.save("lost", messages("canary"))
        caplog.clear()
        del sink
        gc.collect()
        assert "session lost is not handed over whole" in caplog.text
        assert "canary" not in caplog.text

    @pytest.mark.parametrize("results", [None, 1], ids=["as the broker", "in another database"])
    def test_one_that_accepts_and_never_answers(self, results: int | None) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = f"redis://127.0.0.1:{listener.getsockname()[1]}"
            result_url = None if results is None else f"{server}/{results}"
            with HistorySink(broker_url=f"{server}/0", result_url=result_url) as sink:
                for _ in range(2):
                    assert is_quick(lambda: sink.save("s", messages("a"))).state == "unreachable"

    def test_close_says_what_was_not_handed_over(
        self, own_redis: RedisServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        own_redis.process.kill()
        sink = HistorySink(broker_url=own_redis.url())
        sink.save("lost", messages("canary"))
        with caplog.at_level(logging.ERROR):
            is_quick(sink.close)
        assert "lost" in caplog.text
        assert "canary" not in caplog.text
        assert sink.save("lost", messages("a")).state == "unreachable"

    def test_close_hands_over_what_is_missing(self, own_redis: RedisServer) -> None:
        own_redis.process.kill()
        sink = HistorySink(broker_url=own_redis.url())
        assert sink.save("s", messages("a")).state == "unreachable"
        own_redis.start()
        time.sleep(1.1)
        sink.close()
        with own_redis.client() as client:
            assert client.llen(UPLOAD_QUEUE) == 1
