"""What a sink keeps of the sessions of a process that runs for long."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from history_sink import (
    HistorySink,
)
from history_sink.protocol.contract import UPLOAD_QUEUE
from plain_store import PlainWorker, lines_of, message, messages
from stack.redis import RedisServer

from .pace import is_quick


class TestMemory:
    @pytest.fixture(autouse=True)
    def _few(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("history_sink.client.sessions.KEPT_SESSIONS", 4)
        monkeypatch.setattr("history_sink.client.inquirer.FIRST_ANSWER_SECONDS", 0.0)

    def test_old_sessions_are_forgotten_and_one_that_is_refused_does_not_keep_them(self, alone: HistorySink) -> None:
        alone.save("bad", [{"role": object()}])
        for number in range(50):
            alone.save(f"s{number}", messages("a"))
        assert len(alone._sessions) <= 6
        assert alone.save("s0", messages("a", "b")).state == "enqueued"

    def test_one_that_was_appended_to_goes_on_however_many_came_since(
        self, sink: HistorySink, worker: PlainWorker, session: str
    ) -> None:
        sink.append(session, message("a"))
        for number in range(10):
            sink.save(f"{session}-{number}", messages("a"))
        assert sink.append(session, message("b")).branch is None
        assert sink.flush(session, 10)
        assert worker.sessions[session].logs == {None: lines_of(messages("a", "b"))}

    def test_no_loss_of_the_broker_touches_the_agents_own_sockets(
        self, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        changes: list[float | None] = []
        monkeypatch.setattr("socket.setdefaulttimeout", changes.append)
        with HistorySink(broker_url=own_redis.url()) as sink:
            assert sink.save("s", [{}]).state == "enqueued"
            own_redis.process.kill()
            assert sink.save("s", [{}, {}]).state != "enqueued"
        assert changes == []

    def test_one_that_is_not_handed_over_is_kept(self, own_redis: RedisServer) -> None:
        own_redis.process.kill()
        with HistorySink(broker_url=own_redis.url()) as sink:
            for number in range(10):
                assert sink.save(f"s{number}", messages("a")).state == "unreachable"
            own_redis.start()
            time.sleep(1.1)
            sink.close()
        with own_redis.client() as client:
            assert client.llen(UPLOAD_QUEUE) == 10

    def test_a_thread_that_is_held_up_does_not_hold_up_other_sessions(self, alone: HistorySink) -> None:
        for number in range(4):
            alone.save(f"s{number}", messages("a"))
        oldest = alone._sessions.get("s0")
        assert oldest
        with ThreadPoolExecutor(1) as thread, oldest.lock:
            is_quick(thread.submit(alone.save, "s4", messages("a")).result, 0.5)
