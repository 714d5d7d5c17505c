"""What a flush waits for, and what it says."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from history_sink import (
    HistorySink,
)
from plain_store import PlainWorker, lines_of, messages
from stack.redis import RedisServer

from .broker import client_of


class TestFlush:
    def test_an_empty_history_misses_nothing_and_an_unknown_one_is_not_vouched_for(self, sink: HistorySink) -> None:
        sink.save("empty", [])
        assert sink.flush("empty")
        assert not sink.flush("unknown")

    def test_without_a_worker_it_is_false_when_the_time_is_up(self, alone: HistorySink) -> None:
        alone.save("s", messages("a"))
        start = time.monotonic()
        assert not alone.flush("s", timeout_seconds=1)
        assert 0.9 < time.monotonic() - start < 2

    def test_what_the_broker_has_lost_is_sent_again(self, redis_server: RedisServer) -> None:
        url = redis_server.new_database()
        worker = PlainWorker(url)
        history = messages("a", "b", "c")
        with HistorySink(broker_url=url) as sink:
            sink.save("s", history)
            with client_of(sink) as client:
                client.flushdb()
            with worker.running():
                assert sink.flush("s", 20)
        assert worker.sessions["s"].logs[None] == lines_of(history)

    def test_it_sees_an_early_edit_in_place(self, sink: HistorySink, worker: PlainWorker, session: str) -> None:
        history = messages(*map(str, range(200)))
        sink.save(session, history)
        history[10]["content"][0]["text"] = "edited"
        assert sink.flush(session, 10)
        assert lines_of(history) in worker.sessions[session].logs.values()

    def test_it_waits_for_a_worker_that_comes_late(self, redis_server: RedisServer) -> None:
        url = redis_server.new_database()
        worker = PlainWorker(url)
        with HistorySink(broker_url=url) as sink, ThreadPoolExecutor(1) as thread:
            sink.save("s", messages("a"))
            answer = thread.submit(sink.flush, "s", 20)
            with worker.running():
                assert answer.result()


def test_a_flush_of_a_session_that_was_never_saved_is_false_at_once() -> None:
    with HistorySink(broker_url="amqp://127.0.0.1:1") as sink:
        assert sink.flush("s", 30).state == "unknown"


@pytest.mark.parametrize("session", [[], None, 7])
def test_a_flush_of_no_session_is_false(sink: HistorySink, session: Any) -> None:
    assert not sink.flush(session)


def test_a_flush_says_why_the_store_does_not_have_it_all(redis_server: RedisServer) -> None:
    assert HistorySink().flush("s").state == "disabled"
    with HistorySink(broker_url=redis_server.new_database()) as sink:
        assert sink.flush("s", 0.5).state == "unknown"
        sink.save("s", messages("a"))
        flushed = sink.flush("s", 0.5)
        assert (bool(flushed), flushed.state) == (False, "no_worker")
        assert "no worker answered" in (flushed.reason or "")
        sink.save("bad", [{"a": object()}], "refuse")
        assert (sink.flush("bad", 0.5).state, bool(sink.flush("bad", 0.5))) == ("refused", False)
