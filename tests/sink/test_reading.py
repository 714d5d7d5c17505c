"""What a sink asks workers for: bytes, pointers, lists."""

from typing import Any

import pytest

from history_sink import (
    Fault,
    HistorySink,
    Malformed,
    PointerHandle,
    SessionSummary,
    Unavailable,
)
from history_sink.protocol.names import S3_PREFIX
from history_sink.settings import BROKER_URL, S3_BUCKET
from plain_store import PlainStore, PlainWorker, lines_of, messages
from stack.redis import RedisServer

from .broker import client_of
from .pace import is_quick


class TestReading:
    def test_a_pointer_gives_back_what_was_saved(self, sink: HistorySink, worker: PlainWorker, session: str) -> None:
        history = messages("a", "bb", "ccc")
        sink.save(session, history)
        assert sink.flush(session, 10)
        whole = b"".join(lines_of(history))
        assert sink.resolve(sink.pointer(session)) == whole
        assert sink.resolve(sink.pointer(session, messages=(1, 2))) == lines_of(history)[1]
        assert sink.resolve(sink.pointer(session, messages=(1, 99))) == b"".join(lines_of(history)[1:])
        assert sink.resolve(sink.pointer(session, byte_range=(3, 9))) == whole[3:9]
        assert b"".join(sink.read(session)) == whole

    def test_messages_of_a_session_of_another_process_are_found_by_reading(
        self, sink: HistorySink, worker: PlainWorker, session: str
    ) -> None:
        lines = lines_of(messages("a", "bb", "ccc"))
        worker.sessions[session] = PlainStore(session, {None: lines})
        for start, stop in ((0, 1), (1, 3), (2, 9), (0, 3), (3, 3), (7, 9)):
            answer = sink.pointer(session, messages=(start, stop)).byte_range
            assert answer == tuple(sum(map(len, lines[:end])) for end in (start, stop))

    def test_a_fault_is_an_answer(self, sink: HistorySink) -> None:
        assert sink.resolve(PointerHandle("bucket", "history/nobody/history.jsonl")) == Fault("no_match")

    @pytest.mark.parametrize(
        "bad", [{"messages": (2, 1)}, {"byte_range": (-1, 1)}, {"messages": (0, 1), "byte_range": (0, 1)}]
    )
    def test_a_range_that_cannot_be_is_refused(self, sink: HistorySink, bad: dict[str, Any]) -> None:
        with pytest.raises(Malformed):
            sink.pointer("s", **bad)

    def test_a_pointer_needs_no_worker_where_the_bucket_is_set(self) -> None:
        env = {BROKER_URL: "redis://localhost:1", S3_BUCKET: "mine", S3_PREFIX: "a/b"}
        with HistorySink.from_env(env) as sink:
            assert sink.pointer("s") == PointerHandle("mine", "a/b/s/history.jsonl")

    def test_nothing_is_left_of_an_answer_that_was_read(self, sink: HistorySink, session: str) -> None:
        sink.save(session, messages("canary"))
        assert sink.flush(session, 10)
        assert sink.resolve(sink.pointer(session))
        with client_of(sink) as client:
            found = [client.get(key) for key in client.scan_iter("celery-task-meta-*")]
        assert not any(b"canary" in body or b"junctions" in body or b"base64" in body for body in found if body)

    def test_sessions_are_listed_by_pages(self, sink: HistorySink, worker: PlainWorker) -> None:
        for name in ("zz-1", "zz-2", "zz-3"):
            worker.sessions[name] = PlainStore(name, {None: lines_of(messages("a"))})
        page = sink.list_sessions(after="zz", limit=2)
        assert [one.session for one in page.sessions] == ["zz-1", "zz-2"]
        assert [one.session for one in sink.list_sessions(after=page.next_after or "").sessions] == ["zz-3"]

    def test_a_worker_of_an_older_version_tells_more_and_only_what_was_asked_for_is_taken(
        self, sink: HistorySink, worker: PlainWorker
    ) -> None:
        for name in ("zy", "zy-1", "zy-2", "zz-9"):
            worker.sessions[name] = PlainStore(name, {None: lines_of(messages("a"))})
        found: list[SessionSummary] = []
        after = "zy"
        while after:
            page = sink.list_sessions(after, 1, prefix="zy-", fields=["messages", "chain"])
            found += page.sessions
            after = page.next_after or ""
        assert found == [SessionSummary("zy-1", messages=1), SessionSummary("zy-2", messages=1)]

    def test_a_server_that_speaks_no_tls_is_told_from_one_that_is_away(self, redis_server: RedisServer) -> None:
        with HistorySink(broker_url=f"rediss://127.0.0.1:{redis_server.port}/0") as sink:
            reason = sink.save("s", messages("a")).reason
        assert "the URL asks for TLS: does the server speak it on that port?" in (reason or "")

    def test_without_a_worker_reads_end_in_time(self, alone: HistorySink) -> None:
        answer = is_quick(lambda: alone.resolve(PointerHandle("b", "k"), timeout_seconds=0.3))
        assert isinstance(answer, Fault)
        assert answer.kind == "backend_error"
        with pytest.raises(Unavailable, match="no worker answered"):
            is_quick(lambda: alone.status("s", timeout_seconds=0.3))
