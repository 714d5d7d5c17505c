"""Histories that part from what was saved, and those of a process that went before."""

import time

import pytest

from history_sink import (
    HistorySink,
)
from history_sink.protocol.chain import shorten
from history_sink.protocol.contract import branch_name
from plain_store import PlainStore, PlainWorker, ends_of, lines_of, message, messages
from stack.processes import wait_until

from .pace import is_quick


class TestHistoriesThatPart:
    def test_an_undo_opens_a_branch_and_a_redo_finds_its_way_back(
        self, sink: HistorySink, worker: PlainWorker, session: str
    ) -> None:
        history = messages("a", "b", "c")
        sink.save(session, history)
        other = [history[0], message("x")]
        receipt = sink.save(session, other)
        end = ends_of(lines_of(other))[2]
        branch = branch_name(end.offset, shorten(end.chain))
        assert receipt.branch == branch
        other.append(message("y"))
        assert sink.save(session, other).messages == 1
        assert sink.flush(session, 10)
        assert sink.pointer(session).key == f"history/{session}/branches/{branch}/history.jsonl"
        assert sink.save(session, history).state == "unchanged"
        assert sink.flush(session, 10)
        assert sink.pointer(session).key == f"history/{session}/history.jsonl"
        assert worker.sessions[session].logs == {None: lines_of(history), branch: lines_of(other)}

    def test_a_second_writer_moves_the_first_to_a_branch(
        self, sink: HistorySink, url: str, worker: PlainWorker, session: str
    ) -> None:
        mine, theirs = messages("a", "mine"), messages("a", "theirs")
        sink.save(session, mine[:1])
        assert sink.flush(session, 10)
        with HistorySink(broker_url=url) as other:
            other.save(session, theirs)
            assert other.flush(session, 10)
            sink.save(session, mine)
            assert sink.flush(session, 10)
            assert worker.sessions[session].logs[None] == lines_of(theirs)
            assert worker.sessions[session].logs[sink.save(session, mine).branch] == lines_of(mine)

    def test_an_outcome_seen_in_passing_opens_a_branch(
        self, sink: HistorySink, worker: PlainWorker, session: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("history_sink.client.under_way.LOOK_SECONDS", 0.0)
        history = messages("a")
        sink.save(session, history)
        assert sink.flush(session, 10)
        worker.sessions[session].logs[None].append(b'{"by":"another"}\n')
        for text in "bcd":
            history.append(message(text))
            receipt = sink.save(session, history)
            wait_until(
                lambda: len(worker.sessions[session].strays) + len(worker.sessions[session].logs) > 1,
                timeout_seconds=5,
                what="the worker to take it",
            )
            time.sleep(0.05)  # and its outcome to be stored
        assert receipt.branch is not None
        assert sink.flush(session, 10)
        assert worker.sessions[session].logs[receipt.branch] == lines_of(history)


class TestRestart:
    def test_a_save_after_a_restart_sends_what_the_store_lacks(
        self, url: str, worker: PlainWorker, session: str
    ) -> None:
        history = messages(*map(str, range(100)))
        worker.sessions[session] = PlainStore(session, {None: lines_of(history)})
        with HistorySink(broker_url=url) as sink:
            assert sink.save(session, history).state == "unchanged"
            history.append(message("new"))
            assert sink.save(session, history).messages == 1
        with HistorySink(broker_url=url) as sink:
            assert sink.save(session, history[:50]).state == "unchanged"

    def test_a_first_save_waits_for_half_a_second_and_no_more(self, alone: HistorySink) -> None:
        history = messages("a")
        alone.save("warm-up", history)
        start = time.monotonic()
        assert alone.save("s", history).state == "enqueued"
        assert 0.4 < time.monotonic() - start < 1.2
        history.append(message("b"))
        is_quick(lambda: alone.save("s", history), 0.3)

    def test_a_late_answer_is_taken_when_it_comes(
        self, url: str, worker: PlainWorker, session: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("history_sink.client.under_way.LOOK_SECONDS", 0.0)
        history = messages("a", "x", "y")
        branch = branch_name(1, "00112233445566aa")
        stored = {None: lines_of(messages("a", "b")), branch: lines_of(history[:2])}
        worker.sessions[session] = PlainStore(session, {**stored})
        with HistorySink(broker_url=url) as sink:
            worker.is_open.clear()
            try:
                assert sink.save(session, history).branch is None
            finally:
                worker.is_open.set()
            wait_until(lambda: bool(worker.sessions[session].strays), timeout_seconds=5, what="the first upload")
            time.sleep(0.1)
            sink.save(session, history)  # looks in passing
            assert sink.save(session, [*history, message("z")]).branch == branch
            assert sink.flush(session, 10)
        assert worker.sessions[session].logs[branch] == lines_of([*history, message("z")])

    def test_a_session_that_was_forgotten_goes_on(self, sink: HistorySink, worker: PlainWorker, session: str) -> None:
        history = messages("a", "b")
        sink.save(session, history)
        assert sink.flush(session, 10)
        sink.forget(session)
        assert sink.save(session, history).state == "unchanged"
