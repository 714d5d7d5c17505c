"""The sink on a real broker, with a worker that keeps sessions in memory, and with a broker that fails."""

import asyncio
import faulthandler
import gc
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from history_sink import (
    BadMessage,
    ConfigurationError,
    Fault,
    HistorySink,
    Malformed,
    PointerHandle,
    ProducerSettings,
    SessionSummary,
    Unavailable,
    session_id,
    session_text,
)
from history_sink.protocol.chain import START, shorten
from history_sink.protocol.contract import SAVE_BYTES, UPLOAD_QUEUE, branch_name
from history_sink.protocol.lines import encode_line
from history_sink.protocol.names import S3_PREFIX
from history_sink.protocol.tls import check_certificates, tls_of
from history_sink.protocol.upload import Upload
from history_sink.settings import BROKER_URL, RESULT_URL, S3_BUCKET
from plain_store import PlainStore, PlainWorker, ends_of, lines_of, message, messages
from stack.processes import wait_until
from stack.proxy import Proxy
from stack.redis import RedisServer
from test_tls import server_side

SOME_ID = UUID("0191a7a4-0000-7000-8000-00000000002a")
ABOUT_A_SECOND = 1.5  # on a busy machine


@pytest.fixture(scope="module")
def url(redis_server: RedisServer) -> str:
    return redis_server.new_database()


@pytest.fixture(scope="module")
def worker(url: str) -> Iterator[PlainWorker]:
    worker = PlainWorker(url)
    with worker.running():
        yield worker


@pytest.fixture
def sink(url: str, worker: PlainWorker) -> Iterator[HistorySink]:
    """A sink with a worker behind it."""
    with HistorySink(broker_url=url) as sink:
        yield sink


@pytest.fixture
def alone(redis_server: RedisServer) -> Iterator[HistorySink]:
    """A sink with a broker and no worker."""
    with HistorySink(broker_url=redis_server.new_database()) as sink:
        yield sink


@pytest.fixture
def session(request: pytest.FixtureRequest) -> str:
    """A session of this test's own."""
    name: str = request.node.name
    return name.replace("[", "-").replace("]", "")[:200]


def is_quick(act: Callable[[], Any], seconds: float = ABOUT_A_SECOND) -> Any:
    start = time.monotonic()
    answer = act()
    assert time.monotonic() - start < seconds
    return answer


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


class TestSave:
    def test_only_what_is_new_goes_out(self, sink: HistorySink, worker: PlainWorker, session: str) -> None:
        history = messages("a", "b")
        first = sink.save(session, history)
        assert (first.state, first.messages, first.branch, len(first.task_ids)) == ("enqueued", 2, None, 1)
        history.append(message("c"))
        second = sink.save(session, history)
        assert (second.state, second.messages, second.bytes) == ("enqueued", 1, len(lines_of(history)[2]))
        assert sink.save(session, history).state == "unchanged"
        assert sink.flush(session, 10)
        assert worker.sessions[session].logs == {None: lines_of(history)}

    def test_dicts_and_lines_side_by_side(self, sink: HistorySink, worker: PlainWorker, session: str) -> None:
        sink.save(session, [{"role": "user"}, '{"a": 1}', b'{ "b":2 }\n', '{"c":"\N{SNOWMAN}"}\n'])
        assert sink.flush(session, 10)
        kept = [b'{"role":"user"}\n', b'{"a": 1}\n', b'{ "b":2 }\n', '{"c":"\N{SNOWMAN}"}\n'.encode()]
        assert worker.sessions[session].logs[None] == kept

    def test_a_big_save_is_cut(self, sink: HistorySink, worker: PlainWorker, session: str) -> None:
        history = messages(*("x" * (SAVE_BYTES // 3) for _ in range(10)))
        receipt = sink.save(session, history)
        assert (receipt.messages, len(receipt.task_ids)) == (10, 5)
        assert sink.flush(session, 10)
        assert worker.sessions[session].logs[None] == lines_of(history)

    def test_append_follows_save(self, sink: HistorySink, worker: PlainWorker, session: str) -> None:
        sink.save(session, messages("a"))
        assert sink.append(session, message("b"), message("c")).messages == 2
        assert sink.flush(session, 10)
        assert worker.sessions[session].logs[None] == lines_of(messages("a", "b", "c"))

    def test_a_bad_message_is_refused_and_what_comes_before_it_is_sent(
        self, sink: HistorySink, worker: PlainWorker, session: str
    ) -> None:
        history: list[Any] = [message("a"), {"role": object()}, message("c")]
        receipt = sink.save(session, history)
        assert (receipt.state, receipt.index, receipt.messages) == ("refused", 1, 1)
        assert not sink.flush(session, 10)  # something was given that the store has not
        assert worker.sessions[session].logs[None] == lines_of(history[:1])
        assert sink.save(session, history).state == "refused"
        history[1] = message("b")
        assert sink.save(session, history).state == "enqueued"
        assert sink.flush(session, 10)
        assert worker.sessions[session].logs[None] == lines_of(history)

    def test_a_bad_appended_message_does_not_silence_the_session(
        self, sink: HistorySink, worker: PlainWorker, session: str
    ) -> None:
        sink.append(session, message("a"))
        receipt = sink.append(session, message("b"), {"role": object()}, message("c"))
        assert (receipt.state, receipt.index, receipt.messages) == ("refused", 1, 1)
        assert sink.append(session, message("d")).state == "enqueued"
        assert sink.flush(session, 10)
        assert worker.sessions[session].logs[None] == lines_of(messages("a", "b", "d"))

    @pytest.mark.parametrize("given", [None, 7, {"role": "user"}, "text", [None], [[]], [7], ["{}\n{}"]])
    def test_nothing_that_is_given_raises(self, sink: HistorySink, session: str, given: Any) -> None:
        assert sink.save(session, given).state == "refused"

    @pytest.mark.parametrize("given", [None, 7, {"role": "user"}, "text", b"text", bytearray(b"text")])
    def test_one_message_in_place_of_a_list_is_not_taken_apart_into_lines(
        self, sink: HistorySink, session: str, given: Any
    ) -> None:
        receipt = sink.save(session, given)
        assert (receipt.state, receipt.index) == ("refused", None)
        assert "messages is a list of messages" in (receipt.reason or "")
        with pytest.raises(BadMessage, match="messages is a list of messages"):
            sink.compare(session, given)

    def test_lines_that_are_no_json_are_kept_and_counted(
        self, sink: HistorySink, worker: PlainWorker, session: str
    ) -> None:
        receipt = sink.save(session, [b'{"a":1}', b'{"b":2}{"c":3}', b"", b"\r\n", bytes(9), b"\xe9", "[]", "\ud800"])
        assert (receipt.state, receipt.messages, receipt.raw) == ("enqueued", 8, 7)
        assert sink.flush(session, 10)
        kept = [b'{"a":1}\n', b'{"b":2}{"c":3}\n', b"\n", b"\r\n", bytes(9) + b"\n", b"\xe9\n", b"[]\n"]
        assert worker.sessions[session].logs[None] == [*kept, b"\xed\xa0\x80\n"]

    @pytest.mark.parametrize("name", ["", ".hidden", "a/b", "a" * 201, None, True, 1.5, [], "a\n"], ids=repr)
    def test_a_session_id_that_is_refused_is_said_once_with_the_remedy_whatever_is_called(
        self, sink: HistorySink, name: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(2):
            receipts = [sink.save(name, messages("a")), sink.append(name, message("a"))]
            receipts += [asyncio.run(sink.asave(name, [])), asyncio.run(sink.aappend(name))]
            assert {receipt.state for receipt in receipts} == {"refused"}
            for flushed in (sink.flush(name), asyncio.run(sink.aflush(name))):
                assert (flushed.state, flushed.reason) == ("unknown", receipts[0].reason)
            sink.forget(name)
        assert "history_sink.session_id(text) makes one" in (receipts[0].reason or "")
        assert [record.getMessage() for record in caplog.records] == [
            f"history-sink: a session is refused: {receipts[0].reason} (said once)"
        ]
        reads: list[Callable[[Any], Any]] = [sink.status, sink.pointer, sink.read, lambda name: sink.compare(name, [])]
        for read in reads:
            with pytest.raises(Malformed, match="session_id"):
                read(name)

    def test_each_kind_of_refused_session_id_is_said_once(
        self, alone: HistorySink, caplog: pytest.LogCaptureFixture
    ) -> None:
        names: list[Any] = ["org/repo#12", None, "org/repo#13", "", "a" * 201, None, "a" * 202, 1.5]
        for name in names:
            assert alone.save(name, messages("a")).state == "refused"
        said = [record.getMessage() for record in caplog.records]
        assert len(said) == 5
        assert "org/repo#12" in said[0]

    def test_a_uuid_and_an_integer_stand_for_their_texts_in_each_call(
        self, sink: HistorySink, worker: PlainWorker
    ) -> None:
        number = 10_000_007
        for name in (SOME_ID, number):
            assert sink.save(name, messages("a")).session == str(name)
            assert asyncio.run(sink.asave(name, messages("a", "b"))).messages == 1
            assert sink.append(str(name), message("c")).messages == 1
            assert asyncio.run(sink.aappend(name, message("d"))).messages == 1
            assert sink.flush(name, 10)
            assert asyncio.run(sink.aflush(name, 10))
            whole = b"".join(lines_of(messages("a", "b", "c", "d")))
            assert b"".join(sink.read(name)) == whole == sink.resolve(sink.pointer(name))
            assert sink.status(name).session == str(name)
            sink.forget(name)
            assert sink.flush(name).state == "unknown"
            assert sink.compare(name, messages("a", "b", "c", "d")).messages == 0
            assert worker.sessions[str(name)].logs[None] == lines_of(messages("a", "b", "c", "d"))

    def test_any_text_has_a_session(self, sink: HistorySink) -> None:
        name = session_id("org/repo#12")
        assert sink.save(name, messages("a")).state == "enqueued"
        assert sink.flush(name, 10)
        listed = sink.list_sessions(limit=1000).sessions
        assert "org/repo#12" in [session_text(each.session) for each in listed]

    def test_a_mistyped_unencodable_is_said_once(self, alone: HistorySink, caplog: pytest.LogCaptureFixture) -> None:
        wrong: list[Any] = ["replcae", None, ["canary"], message("canary")]
        for unencodable in wrong:
            assert alone.save("s", messages("a"), unencodable).state == "refused"
            assert alone.append("s", message("a"), unencodable=unencodable).state == "refused"
        (said,) = [record.getMessage() for record in caplog.records]
        assert 'session \'s\': refused: unencodable is "replace" or "refuse"' in said

    def test_what_comes_behind_close_is_said_once(
        self, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        sink = HistorySink(broker_url=redis_server.new_database())
        sink.close()
        for _ in range(2):
            assert sink.save("s", messages("a")).state == "unreachable"
            assert sink.append("s", message("a")).state == "unreachable"
            assert asyncio.run(sink.asave("s", messages("a"))).state == "unreachable"
            assert sink.flush("s").state == "unreachable"
        (said,) = [record.getMessage() for record in caplog.records]
        assert "the sink is closed; nothing is archived any more" in said
        assert isinstance(sink.resolve(PointerHandle("b", "k")), Fault)

    def test_what_is_no_handle_is_a_fault(self, alone: HistorySink) -> None:
        for handle in ("history/s/history.jsonl", None, {"bucket": "b"}):
            answer = alone.resolve(handle)  # type: ignore[arg-type]
            assert isinstance(answer, Fault)
            assert "a handle is a PointerHandle" in str(answer)

    def test_what_json_cannot_carry_is_replaced_and_counted_or_refused(
        self, sink: HistorySink, worker: PlainWorker, session: str
    ) -> None:
        bad = {"role": "user", "value": [float("nan"), "\ud800"]}
        assert sink.save(session, [bad], unencodable="refuse").state == "refused"
        receipt = sink.save(session, [bad])
        assert (receipt.state, receipt.replaced) == ("enqueued", 2)
        assert sink.flush(session, 10)
        assert worker.sessions[session].logs[None] == ['{"role":"user","value":[null,"\ufffd"]}\n'.encode()]
        assert sink.save(session, [bad], unencodable="keep").state == "refused"  # type: ignore[arg-type]

    def test_a_bad_message_of_a_saved_list_is_none_of_those_appended(self, alone: HistorySink) -> None:
        alone.save("s", [message("a"), {"role": object()}])
        receipt = alone.append("s", message("c"))
        assert (receipt.state, receipt.index) == ("refused", None)
        assert "message 1 of the saved list" in (receipt.reason or "")

    def test_objects_are_messages_in_each_call_and_edits_in_them_are_seen(
        self, sink: HistorySink, worker: PlainWorker, session: str
    ) -> None:
        @dataclass
        class Turn:
            role: str
            content: Any

        history: list[Any] = [Turn("user", {SOME_ID: date(2026, 1, 2)}), {"role": "tool", "content": b"x"}]
        assert sink.save(session, history).messages == 2
        assert asyncio.run(sink.asave(session, tuple(history))).state == "unchanged"
        assert sink.save(session, (each for each in history)).state == "unchanged"
        assert sink.append(session, Turn("user", 1)).messages == 1
        assert asyncio.run(sink.aappend(session, Turn("user", [{2}]))).messages == 1
        assert sink.flush(session, 10)
        lines = [f'{{"role":"user","content":{{"{SOME_ID}":"2026-01-02"}}}}\n', '{"role":"tool","content":"eA=="}\n']
        lines += ['{"role":"user","content":1}\n', '{"role":"user","content":[[2]]}\n']
        assert worker.sessions[session].logs[None] == [line.encode() for line in lines]
        history[0].content = "edited"
        assert sink.save(session, history).branch is not None
        assert sink.save(session, history[0]).state == "refused"

    def test_default_makes_messages_of_what_the_library_does_not_know(
        self, url: str, worker: PlainWorker, session: str
    ) -> None:
        with HistorySink.from_env({BROKER_URL: url}, default=lambda value: {"real": value.real}) as sink:
            assert sink.save(session, [{"a": 1j}, {"b": 2}]).messages == 2
            assert sink.flush(session, 10)
        assert worker.sessions[session].logs[None] == [b'{"a":{"real":0.0}}\n', b'{"b":2}\n']
        with pytest.raises(ConfigurationError, match="default"):
            HistorySink(default="repr")  # type: ignore[arg-type]

    def test_a_refusal_says_where_in_the_message_and_what_to_do(
        self, alone: HistorySink, caplog: pytest.LogCaptureFixture
    ) -> None:
        receipt = alone.save("s", [message("a"), {"content": [{"text": 1j, "canary": "canary"}]}])
        assert (receipt.state, receipt.index) == ("refused", 1)
        assert (receipt.reason or "").startswith("content[0].text: JSON has no complex: ")
        alone.save("s", [message("a"), {"content": [{"text": 1j}]}])
        (said,) = [record.getMessage() for record in caplog.records]
        assert "message 1: content[0].text: JSON has no complex" in said
        assert "HistorySink(default=" in said
        assert "canary" not in said

    def test_threads_that_append_to_one_session_make_one_log(
        self, sink: HistorySink, worker: PlainWorker, session: str
    ) -> None:
        with ThreadPoolExecutor(8) as threads:
            states = list(threads.map(lambda i: sink.append(session, message(str(i))).state, range(80)))
        assert set(states) == {"enqueued"}
        assert sink.flush(session, 20)
        store = worker.sessions[session]
        assert sorted(store.logs[None]) == sorted(lines_of(messages(*map(str, range(80)))))
        assert not store.strays

    def test_what_events_show_holds_no_content(self, alone: HistorySink) -> None:
        alone.save("s", messages("canary"))
        with _client(alone) as client:
            bodies = client.lrange(UPLOAD_QUEUE, 0, -1)
        assert len(bodies) == 1
        assert b"canary" not in bodies[0]
        assert b"{messages: 1, bytes: 60, offset: 0}" in bodies[0]


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


def _client(sink: HistorySink) -> Any:
    import redis

    assert sink.settings.broker_url
    return redis.Redis.from_url(sink.settings.broker_url)


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
            with _client(sink) as client:
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
        with _client(sink) as client:
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


def test_a_celery_variable_in_the_agents_environment_leads_nothing_astray(
    url: str, worker: PlainWorker, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CELERY_BROKER_URL", "CELERY_BROKER_WRITE_URL", "CELERY_RESULT_BACKEND"):
        monkeypatch.setenv(name, "redis://127.0.0.1:1/0")
    with HistorySink(broker_url=url) as sink:
        assert sink.save(session, messages("a")).state == "enqueued"
        assert sink.flush(session, 10)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_parent_and_child_of_a_fork_go_on(sink: HistorySink, worker: PlainWorker, session: str) -> None:
    history = messages("a")
    sink.save(session, history)
    assert sink.flush(session, 10)
    child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(15, exit=True)
        ok = sink.save(f"{session}-child", history).state == "enqueued" and sink.flush(f"{session}-child", 10)
        os._exit(0 if ok else 1)
    history.append(message("b"))
    assert sink.save(session, history).messages == 1
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert sink.flush(session, 10)
    assert worker.sessions[session].logs[None] == lines_of(history)
    assert worker.sessions[f"{session}-child"].logs[None] == lines_of(history[:1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_while_a_thread_saves_leaves_no_lock_behind(alone: HistorySink) -> None:
    def save_for_ever() -> None:
        history: list[Any] = []
        while not done.is_set():
            history.append(message("x"))
            alone.save("busy", history)

    done = threading.Event()
    thread = threading.Thread(target=save_for_ever)
    thread.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                faulthandler.dump_traceback_later(10, exit=True)
                os._exit(0 if alone.save("busy", messages("y")).state == "enqueued" else 1)
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 0
    finally:
        done.set()
        thread.join()


def test_a_process_that_exits_right_after_a_save_has_handed_it_over(redis_server: RedisServer) -> None:
    url = redis_server.new_database()
    program = "from history_sink import HistorySink; HistorySink.from_env().save('s', [{'role': 'user'}])"
    subprocess.run([sys.executable, "-c", program], env={**os.environ, BROKER_URL: url}, check=True, timeout=20)
    with redis_server.client(url) as client:
        assert client.llen(UPLOAD_QUEUE) == 1


def test_a_process_that_ends_says_what_the_broker_has_not_taken() -> None:
    program = (
        "from history_sink import HistorySink; sink = HistorySink.from_env(); sink.save('s', [{'role': 'canary'}])"
    )
    environment = {**os.environ, BROKER_URL: "redis://127.0.0.1:1/0"}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=20)
    assert ended.returncode == 0
    assert "session s is not handed over whole: the broker is away" in ended.stderr
    assert "canary" not in ended.stderr


def test_what_a_program_may_log_shows_no_content() -> None:
    line = encode_line({"canary": 1})
    assert "canary" not in repr(line) + repr(Upload(None, START, (line.data,)))


def test_a_flush_of_a_session_that_was_never_saved_is_false_at_once() -> None:
    with HistorySink(broker_url="amqp://127.0.0.1:1") as sink:
        assert sink.flush("s", 30).state == "unknown"


@pytest.mark.parametrize("session", [[], None, 7])
def test_a_flush_of_no_session_is_false(sink: HistorySink, session: Any) -> None:
    assert not sink.flush(session)


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
