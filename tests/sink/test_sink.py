"""What goes out with a save and an append, what is refused, and what is said of it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
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
    session_id,
    session_text,
)
from history_sink.protocol.chain import START
from history_sink.protocol.contract import SAVE_BYTES, UPLOAD_QUEUE
from history_sink.protocol.lines import encode_line
from history_sink.protocol.upload import Upload
from history_sink.settings import BROKER_URL
from plain_store import PlainWorker, lines_of, message, messages
from stack.redis import RedisServer

from .broker import client_of

SOME_ID = UUID("0191a7a4-0000-7000-8000-00000000002a")


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

    def test_a_refusal_shows_no_key_that_may_be_a_secret(
        self, alone: HistorySink, caplog: pytest.LogCaptureFixture
    ) -> None:
        for number, key in enumerate(("AKIA2RLTUCA2IH7P2PUE", "sk_live_edBtexvjKibYeSJAUikXjMGN", "my secret")):
            receipt = alone.save(f"s{number}", [{"tokens": {key: 1j}}])
            assert (receipt.reason or "").startswith("tokens[…]: JSON has no complex: ")
            assert key not in caplog.text

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
        with client_of(alone) as client:
            bodies = client.lrange(UPLOAD_QUEUE, 0, -1)
        assert len(bodies) == 1
        assert b"canary" not in bodies[0]
        assert b"{messages: 1, bytes: 60, offset: 0}" in bodies[0]


def test_what_a_program_may_log_shows_no_content() -> None:
    line = encode_line({"canary": 1})
    assert "canary" not in repr(line) + repr(Upload(None, START, (line.data,)))
