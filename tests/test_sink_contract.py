"""What a sink promises, asked of a real one and of the one for other people's tests: each test runs on both."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

import pytest

from history_sink import (
    Fault,
    HistorySink,
    LogEnd,
    LogStatus,
    Malformed,
    NoAnswer,
    NotFound,
    PointerHandle,
    SessionSummary,
    Status,
    Unavailable,
    WorkerFailed,
)
from history_sink.ledger.junctions import Points
from history_sink.ledger.known_logs import name_branch
from history_sink.protocol.contract import UPLOAD
from logbook import upload_of
from plain_store import lines_of, message, messages
from sink_places import Place, make_place

_names = count(1)


@pytest.fixture(params=["memory", pytest.param("servers", marks=pytest.mark.servers)])
def place(request: pytest.FixtureRequest) -> Place:
    return make_place(request)


@pytest.fixture
def session() -> str:
    return f"session-{next(_names)}"


def read(sink: HistorySink, session: str, branch: str | None = None) -> list[bytes]:
    return b"".join(sink.read(session, branch=branch)).splitlines(keepends=True)


def branch_of(history: list[Any], shared: int) -> str:
    """The branch of a history whose first `shared` messages are on the log that it leaves."""
    points = Points()
    points.extend(lines_of(history))
    return name_branch(points[shared + 1])


def show(status: Status) -> tuple[Any, ...]:
    """What can be foretold of it."""
    logs = [(log.branch, log.key, log.messages, log.bytes, log.chain, log.common) for log in status.logs]
    return status.prefix, status.session, logs, status.strays, status.pending


def tell(log: LogStatus) -> tuple[str | None, int]:
    return log.branch, log.messages


def test_what_is_handed_over_comes_back(place: Place, session: str) -> None:
    history = messages("a", "b", "c")
    lines = lines_of(history)
    with place.open_sink() as sink:
        receipt = sink.save(session, history[:2])
        told = receipt.state, receipt.session, receipt.branch, receipt.messages, receipt.bytes, len(receipt.task_ids)
        assert told == ("enqueued", session, None, 2, len(b"".join(lines[:2])), 1)
        assert sink.save(session, history[:2]).state == "unchanged"
        assert sink.append(session, history[2]).messages == 1
        assert sink.flush(session).state == "stored"
        assert read(sink, session) == lines
        own = sink.pointer(session, messages=(1, 3))
        assert sink.resolve(own) == b"".join(lines[1:])
    with place.open_sink() as fresh:
        assert read(fresh, session) == lines
        assert fresh.pointer(session, messages=(1, 9)) == own
        assert fresh.resolve(fresh.pointer(session, byte_range=(3, 10**6))) == b"".join(lines)[3:]
        assert fresh.save(session, [*history, message("d")]).messages == 1
        assert fresh.flush(session)
        end = fresh.status(session).logs[0]
        assert tell(end) == (None, 4)
        assert end.common == end.bytes


def test_what_cannot_be_a_line_is_refused_and_lines_are_kept(place: Place, session: str) -> None:
    with place.open_sink() as sink:
        receipt = sink.save(session, [b"raw \xff", {"a": float("nan")}, {"a": object()}, {"b": 1}])
        assert (receipt.state, receipt.index, receipt.messages) == ("refused", 2, 2)
        assert (receipt.raw, receipt.replaced) == (1, 1)
        assert sink.flush(session).state == "refused"
        assert read(sink, session) == [b"raw \xff\n", b'{"a":null}\n']
        assert sink.save(session, [{"a": float("nan")}], unencodable="refuse").state == "refused"
        assert sink.save("no/id", messages("a")).state == "refused"
        assert sink.flush("never").state == "unknown"
        assert sink.save("empty", []).state == "unchanged"
        assert sink.flush("empty").state == "stored"


def test_a_pointer_without_bytes_is_answered_with_the_reason(place: Place, session: str) -> None:
    with place.open_sink() as sink:
        sink.save(session, messages("a"))
        assert sink.flush(session)
        whole = sink.pointer(session)
        size = len(lines_of(messages("a"))[0])
        asked = [
            PointerHandle(whole.bucket, whole.key, (size, size + 5)),
            PointerHandle(whole.bucket, whole.key, (2, 2)),
            PointerHandle(whole.bucket, "history/never/history.jsonl"),
            PointerHandle("elsewhere", whole.key),
            PointerHandle(whole.bucket, "history/x/../s/history.jsonl"),
            PointerHandle(whole.bucket, f"other/{session}/history.jsonl"),
            PointerHandle(whole.bucket, f"history/{session}/branches/x/history.jsonl"),
            PointerHandle(whole.bucket, f"history/{session}/tail/000000000000-0123456789abcdef.jsonl"),
        ]
        answers = [sink.resolve(handle) for handle in asked]
        assert answers[:3] == [Fault("no_match")] * 3
        assert answers[3] == Fault("denied", "bucket 'elsewhere' is not the one that is served here")
        assert answers[4:] == [Fault("denied", f"key {handle.key!r} is no log under history/") for handle in asked[4:]]


def test_an_undo_goes_on_in_a_branch_and_a_redo_goes_back(place: Place, session: str) -> None:
    main, undone = messages("a", "b", "c"), messages("a", "x")
    branch = branch_of(undone, 1)
    with place.open_sink() as sink:
        sink.save(session, main)
        assert sink.flush(session)
        assert sink.save(session, undone).branch == branch
        assert sink.flush(session)
        status = sink.status(session)
        assert [tell(log) for log in status.logs] == [(None, 3), (branch, 2)]
        assert status.logs[1].key == f"history/{session}/branches/{branch}/history.jsonl"
        assert read(sink, session) == lines_of(undone)
        assert sink.save(session, [*main, message("d")]).branch is None
        assert sink.flush(session)
    with place.open_sink() as fresh:
        assert read(fresh, session) == lines_of([*main, message("d")])
        assert read(fresh, session, branch) == lines_of(undone)
        assert fresh.pointer(session, branch=branch).key == status.logs[1].key


def test_the_latest_log_is_the_one_that_was_written_last(place: Place, session: str) -> None:
    with place.open_sink() as sink:
        for history in (messages("a", "b"), messages("a", "x")):
            sink.save(session, history)
            assert sink.flush(session)
    with place.open_sink() as fresh:
        later = fresh.status(session).written_later
        assert later is not None
        assert later.branch == branch_of(messages("a", "x"), 1)
        assert read(fresh, session, "latest") == lines_of(messages("a", "x"))
        (listed,) = [each for each in fresh.list_sessions().sessions if each.session == session]
        assert (listed.messages, listed.branches, listed.later_branch) == (2, 1, later.branch)


def test_of_two_writers_both_histories_are_kept(place: Place, session: str) -> None:
    first, second = messages("a", "b"), messages("a", "c")
    branch = branch_of(second, 1)
    with place.open_sink() as one, place.open_sink() as two:
        for sink in (one, two):
            sink.save(session, messages("a"))
            assert sink.flush(session)
        one.save(session, first)
        assert one.flush(session)
        (written,) = [log.last_write for log in one.status(session).logs]
        assert two.save(session, second).branch is None  # it does not know yet
        assert two.flush(session)
        status = two.status(session)
        assert [tell(log) for log in status.logs] == [(None, 2), (branch, 2)]
        assert status.logs[0].last_write == written
        (listed,) = [each for each in one.list_sessions().sessions if each.session == session]
        assert (listed.last_write or 0) >= status.logs[1].last_write >= written
        (stray,) = status.strays
        assert stray.key.startswith(f"history/{session}/tail/")
        assert two.resolve(PointerHandle(status.bucket, stray.key)) == b"".join(lines_of(second))
        assert (stray.end, stray.messages) == (len(b"".join(lines_of(second))), 2)
        assert read(two, session) == lines_of(second)
        assert read(one, session) == lines_of(first)


def test_appended_lines_go_behind_those_that_another_has_saved(place: Place, session: str) -> None:
    with place.open_sink() as one, place.open_sink() as two:
        one.save(session, messages("a"))
        assert one.append(session, message("b")).state == "enqueued"
        assert one.flush(session)
        two.save(session, messages("a", "b", "x"))
        assert two.flush(session)
        one.append(session, message("y"))
        assert one.flush(session)
        assert not one.status(session).strays
        assert read(one, session) == lines_of(messages("a", "b", "x", "y"))


def test_uploads_in_any_order_have_their_outcomes(place: Place, session: str) -> None:
    main, other = lines_of(messages("a", "b", "c", "d")), lines_of(messages("a", "b", "x", "y"))
    steps: list[tuple[list[bytes], int, int, str, tuple[int, int] | None]] = [
        (main, 2, 3, "pending", None),
        (main, 2, 3, "pending", None),
        (main, 0, 2, "stored", None),
        (main, 1, 3, "held", None),
        (main, 0, 1, "held", None),
        (other, 1, 3, "diverged", (2, len(b"".join(main[:2])))),
        (other, 3, 4, "diverged", None),
        (main, 2, 4, "stored", None),
    ]
    with place.open_sink() as sink:
        for history, start, stop, expected, parted in steps:
            upload = upload_of(history, start, stop)
            told = sink._broker.call(UPLOAD, (session, None), upload.encode(), 20)
            assert told["outcome"] in (("stored", "duplicate") if expected == "held" else (expected,))
            assert (told["parted"] and tuple(told["parted"].values())) == parted
            assert (told["session"], told["messages"], told["bytes"]) == (session, stop - start, upload.size_bytes)
            log = f"history/{session}/history.jsonl"
            assert told["key"] == log or expected == "diverged"
            if expected == "diverged":
                assert isinstance(sink.resolve(PointerHandle(sink.pointer(session).bucket, told["key"])), bytes)
        status = sink.status(session)
        assert [tell(each) for each in status.logs] == [(None, 4)]
        assert (len(status.strays), status.pending) == (2, 0)
        assert read(sink, session) == main


def test_sessions_are_listed_in_pages(place: Place, session: str) -> None:
    names = [f"{session}.{number}" for number in range(3)]
    with place.open_sink() as sink:
        for name in names:
            sink.save(name, messages("a", "b"))
            assert sink.flush(name)
        page = sink.list_sessions(after=names[0], limit=1)
        assert [(each.session, each.messages, each.branches) for each in page.sessions] == [(names[1], 2, 0)]
        assert page.next_after in (names[1], None)
        assert names[2] in [each.session for each in sink.list_sessions(after=names[1]).sessions]
        assert sink.list_sessions(after="zzz").next_after is None
        for wrong in (0, 1001):
            with pytest.raises(Malformed, match="limit is an integer from 1 to 1,000"):
                sink.list_sessions(limit=wrong)
        with pytest.raises(Malformed):
            sink.list_sessions(after="bad/id")


def test_of_listed_sessions_only_what_is_asked_for_is_told(place: Place, session: str) -> None:
    names = [f"{session}.{number}" for number in range(3)]
    with place.open_sink() as sink:
        for name in names:
            sink.save(name, messages("a", "b"))
            assert sink.flush(name)
        place.delete(names[1])
        alone = sink.list_sessions(prefix=f"{session}.", fields=())
        assert alone.sessions == tuple(map(SessionSummary, names))
        page = sink.list_sessions(prefix=f"{session}.", fields=["last_write", "branches"])
        assert [each.session for each in page.sessions] == [names[0], names[2]]
        (end,) = sink.status(names[2]).logs
        told = page.sessions[1]
        assert told == SessionSummary(names[2], last_write=end.last_write, branches=0)
        page = sink.list_sessions(prefix=names[2], fields=["messages", "chain"])
        assert page.sessions == (SessionSummary(names[2], messages=2, chain=end.chain),)
        (whole,) = sink.list_sessions(prefix=names[2]).sessions
        assert (whole.messages, whole.bytes, whole.chain) == (end.messages, end.bytes, end.chain)
        assert sink.list_sessions(prefix=f"{session}.", after=names[0], limit=2).sessions[-1].session == names[2]
        assert sink.list_sessions(prefix=f"{session}.none").sessions == ()


@pytest.mark.parametrize("timeout_seconds", [None, "x", -1, float("nan"), float("inf"), 1e12])
def test_a_timeout_that_cannot_be_is_named_and_stops_nothing(place: Place, session: str, timeout_seconds: Any) -> None:
    with place.open_sink() as sink:
        handle = PointerHandle("b", "k")
        told = [sink.resolve(handle, timeout_seconds), sink.flush(session, timeout_seconds)]
        assert all("unknown" in str(each) or "timeout_seconds is a number" in str(each) for each in told)
        for call in (sink.status, sink.read, partial(sink.compare, messages=[]), sink.pointer):
            with pytest.raises(Malformed, match="timeout_seconds is a number of seconds from 0 to 1,000,000"):
                call(session, timeout_seconds=timeout_seconds)
        assert sink.save(session, messages("a")).state == "enqueued"
        assert "timeout_seconds is a number" in str(sink.flush(session, timeout_seconds))


@pytest.mark.parametrize("wrong", [3, ("a", "b"), (2, 1), (-1, 1), (0, 2**70), (0,), (0.0, 1.0)])
def test_a_range_that_cannot_be_is_named(place: Place, session: str, wrong: Any) -> None:
    with place.open_sink() as sink:
        for name in ("messages", "byte_range"):
            with pytest.raises(Malformed, match=f"{name} is a range of two integers"):
                sink.pointer(session, **{name: wrong})


def test_a_pointer_to_messages_ends_where_the_log_does_whoever_has_saved_them(place: Place, session: str) -> None:
    with place.open_sink() as sink:
        sink.save(session, messages("a", "b", "c"))
        assert sink.flush(session)
        whole = sink.pointer(session, messages=(0, 3)).byte_range
    with place.open_sink() as sink:
        sink.save(session, messages("a"))
        assert sink.flush(session)
        assert sink.pointer(session, messages=(0, 5)).byte_range == whole


def test_a_comparison_sees_an_edit_in_place_and_says_what_cannot_be_a_line(place: Place, session: str) -> None:
    with place.open_sink() as sink:
        history: list[Any] = messages("a", "b")
        sink.save(session, history)
        assert sink.flush(session)
        history[0]["content"][0]["text"] = "y" * 100
        compared = sink.compare(session, history)
        assert compared.is_foreign
        assert compared.bytes == sum(map(len, lines_of(history)))
        unfit: list[Any] = [*messages("a"), object()]
        refused = sink.compare(session, unfit)
        assert (refused.refusal or "").startswith("message 1: ")
        sink.forget(session)


def test_what_is_appended_behind_a_bad_list_is_not_kept(place: Place, session: str) -> None:
    with place.open_sink() as sink:
        history: list[Any] = [*messages("a"), {"bad": object()}]
        assert sink.save(session, history, unencodable="refuse").state == "refused"
        for _ in range(2):
            assert sink.append(session, *messages("b"), unencodable="refuse").state == "refused"
        history[1] = messages("good")[0]
        sink.save(session, history)
        sink.append(session, *messages("b"))
        assert sink.flush(session)
        assert b"".join(sink.read(session)) == b"".join(lines_of(messages("a", "good", "b")))


def test_what_is_not_there_is_said(place: Place, session: str) -> None:
    with place.open_sink() as sink:
        assert show(sink.status(session)) == ("history/", session, [], (), 0)
        with pytest.raises(NotFound, match=f"no session {session} in the store"):
            sink.read(session)
        sink.save(session, messages("a"))
        assert sink.flush(session)
        with pytest.raises(NotFound, match="has no branch 000000000009-0123456789abcdef; it has the main log"):
            sink.read(session, branch="000000000009-0123456789abcdef")
        for wrong in ("no/id", ".x"):
            with pytest.raises(Malformed):
                sink.status(wrong)


def test_a_comparison_says_what_a_save_would_hand_over(place: Place, session: str) -> None:
    history = messages("a", "b", "c")
    with place.open_sink() as sink:
        found = sink.compare(session, history)
        assert (found.is_new, found.messages, found.held_messages) == (True, 3, 0)
        sink.save(session, history[:2])
        assert sink.flush(session)
    with place.open_sink() as fresh:
        found = fresh.compare(session, history)
        assert (found.is_new, found.messages, found.held_messages, found.branch) == (False, 1, 2, None)
        fresh.forget(session)
    with place.open_sink() as other:
        assert other.compare(session, messages("z")).is_foreign
        other.forget(session)


def test_a_deleted_session_is_told_as_deleted_and_takes_nothing(place: Place, session: str) -> None:
    with place.open_sink() as sink:
        sink.save(session, messages("a"))
        assert sink.flush(session)
        handle = sink.pointer(session)
        place.delete(session)
        sink.save(session, messages("a", "b"))
        assert sink.resolve(handle) == Fault("no_match")
        assert sink.status(session).logs == ()
        assert session not in [each.session for each in sink.list_sessions().sessions]
        assert sink.flush(session, 20).state == "deleted"
        assert sink.save(session, messages("a", "b", "c")).state == "refused"


def test_filters_stand_before_the_archive(place: Place, session: str) -> None:
    def redact(line: bytes) -> bytes:
        return line.replace(b"hunter2", b"[redacted]")

    for end in (1, 2):
        with place.open_sink(filters=[redact]) as sink:
            assert sink.save(session, messages("hunter2", "b")[:end]).branch is None
            assert sink.flush(session)
    with place.open_sink() as fresh:
        assert read(fresh, session) == lines_of(messages("[redacted]", "b"))


def test_awaitable_calls_keep_their_order(place: Place, session: str) -> None:
    history = messages(*map(str, range(20)))

    async def run() -> None:
        async with place.open_sink() as sink:
            saves = [sink.asave(session, history[: end + 1]) for end in range(10)]
            appends = [sink.aappend(session, each) for each in history[10:]]
            receipts = await asyncio.gather(*saves, *appends)
            assert {receipt.state for receipt in receipts} == {"enqueued"}
            assert await sink.aflush(session)
            pointer = await asyncio.to_thread(sink.pointer, session)
            assert await sink.aresolve(pointer) == b"".join(lines_of(history))

    asyncio.run(run())


def test_without_a_broker_saves_say_so_and_reads_raise(place: Place, session: str) -> None:
    with place.without_broker() as sink:
        receipt = sink.save(session, messages("a"))
        assert (receipt.state, receipt.messages) == ("unreachable", 0)
        assert str(receipt.reason).startswith("the broker is away")
        assert sink.flush(session, 0.5).state == "unreachable"
        with pytest.raises(Unavailable):
            sink.status(session)
        answer = sink.resolve(PointerHandle("b", "k"))
        assert isinstance(answer, Fault)
        assert answer.kind == "backend_error"


def test_without_workers_saves_wait_and_questions_are_not_answered(place: Place, session: str) -> None:
    with place.without_workers() as sink:
        assert sink.save(session, messages("a")).state == "enqueued"
        assert sink.flush(session, 1).state == "no_worker"
        with pytest.raises(NoAnswer, match=r"no worker answered within 0\.\d+ s"):
            sink.list_sessions(timeout_seconds=0.2)
        with pytest.raises(NoAnswer):
            sink.pointer(session, timeout_seconds=0.2)
        answer = sink.resolve(PointerHandle("b", "k"), timeout_seconds=0.2)
        assert isinstance(answer, Fault)
        assert answer.kind == "backend_error"


def test_without_a_store_saves_wait_and_reads_fail(place: Place, session: str) -> None:
    with place.without_store(session, messages("a")) as sink:
        handle = PointerHandle("b", f"history/{session}/history.jsonl")
        assert sink.append(session, message("b")).state == "enqueued"
        assert sink.flush(session, 6).state == "no_store"
        with pytest.raises(WorkerFailed, match="the worker failed with Away"):
            sink.status(session)
        answer = sink.resolve(handle)
        assert isinstance(answer, Fault)


def test_a_history_is_streamed_and_resumed_where_the_store_says_that_it_ends(place: Place) -> None:
    name, lines = f"contract-{next(_names)}", [b'{"n":%d}' % number for number in range(6)]
    with place.open_sink() as sink:
        first = sink.extend(name, iter(lines[:3]), LogEnd())
        wait_until(lambda: len(sink.outcomes(first.task_ids)) == 1)
    with place.open_sink() as sink:
        end = sink.resume(name)
        assert end == first.end == sink.measure(lines[:3])
        second = sink.extend(name, lines[3:], end)
        wait_until(lambda: len(sink.outcomes(second.task_ids)) == 1)
        edited = [*lines[:2], b"edited"]
        receipt = sink.extend(name, edited, LogEnd(branch=sink.measure(edited).as_branch))
        wait_until(lambda: len(sink.outcomes(receipt.task_ids)) == 1)
        assert sink.resume(name, branch="latest") == receipt.end
        places = [sink.measure(edited[:count]) for count in (1, 2, 3)]
        told = sink.status(name, known=places)
        assert [log.common for log in told.logs] == [places[1].bytes, places[2].bytes]
        assert b"".join(sink.read(name)) == b"".join(line + b"\n" for line in lines)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)
