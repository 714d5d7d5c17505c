"""The archive in memory keeps the rules of the real one, and makes the trouble that it is told to make."""

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from history_sink import (
    ConfigurationError,
    Fault,
    Faulted,
    HistorySink,
    NoAnswer,
    PointerHandle,
    Receipt,
    Unavailable,
    WorkerFailed,
)
from history_sink.protocol.chain import START, shorten, walk
from history_sink.testing import MemoryArchive, MemorySink
from history_sink.testing.line_log import LineLog, Run
from logbook import Logbook, upload_of
from plain_store import message, messages
from protocol.model_store import ModelStore

README = (Path(__file__).parents[1] / "README.md").read_text()
LETTERS = st.sampled_from([b'{"m":"a"}\n', b'{"m":"b"}\n', b'{"longer":"c"}\n'])
HISTORIES = st.lists(LETTERS, min_size=1, max_size=6)


@st.composite
def saves(draw: st.DrawFn) -> list[tuple[list[bytes], int]]:
    """Histories, each with the number of its first messages that a save does not carry; some parted from others."""
    found: list[tuple[list[bytes], int]] = []
    for _ in range(draw(st.integers(1, 7))):
        trunk = draw(st.sampled_from([[], *(history for history, _ in found)]))
        history = [*trunk[: draw(st.integers(0, len(trunk)))], *draw(HISTORIES)]
        found.append((history, draw(st.integers(0, len(history) - 1))))
    return found


def part_at_a_place(run: Run, other: Run) -> bool:
    """Whether `other` begins inside `run`, or where it does, and goes on otherwise."""
    points = [run.start, *walk(run.start, run.lines)]
    if other.start not in points:
        return False
    if other.start == run.start:
        return other != run
    rest = run.lines[points.index(other.start) :]
    return any(mine != theirs for mine, theirs in zip(rest, other.lines, strict=False))


@given(saves())
def test_it_places_lines_as_the_workers_archive_does(made: list[tuple[list[bytes], int]]) -> None:
    store, log = ModelStore(), LineLog()
    book = Logbook(store.perform, lambda: store.now)
    for history, first in made:
        upload = upload_of(history, first, len(history))
        run = Run(upload.start, upload.lines)
        if any(part_at_a_place(run, other) or part_at_a_place(other, run) for other in log.waiting):
            continue  # which of two that wait for one place keeps it is the store's to say
        real, ours = book.save(history, first, len(history)), log.take(run)
        # A worker says `stored` of what another save's lines cover, where it has put it again.
        both_hold_it = {ours.outcome, real.outcome} <= {"stored", "duplicate"}
        assert both_hold_it or (ours.outcome, ours.parted) == (real.outcome, real.parted)
        assert real.key == book.log.root + (ours.stray or "history.jsonl")
        book.compact()  # workers take in lazily what has waited inside another save's lines
        assume(len(log.waiting) < 2)  # in which order those part that have waited side by side is the store's to say
    status = book.survey(made[-1][0])
    asked = [(point.offset, shorten(point.chain)) for point in walk(START, made[-1][0])]
    told = status.logs[0] if status.logs else None
    assert log.points.end.offset == (told.bytes if told else 0)
    assert log.find_common(asked) == (told.common if told else 0)
    assert (b"".join(log.lines) or Fault("no_match")) == book.read()
    assert status.pending == len(log.waiting)
    assert sorted(stray.key for stray in status.strays) == sorted(book.log.root + stray.name for stray in log.strays)
    for stray in log.strays:
        body = log.read_stray(stray.name)
        assert body is None or body == book.read(key=book.log.root + stray.name)


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


def test_what_is_saved_is_archived_when_save_returns(sink: MemorySink) -> None:
    assert sink.save("s", messages("a", "b")).state == "enqueued"
    sink.append("s", b"no JSON")
    assert sink.archive.messages("s") == [*messages("a", "b"), b"no JSON"]
    assert b"".join(sink.archive.lines("s")) == b"".join(sink.read("s"))
    assert sink.archive.sessions() == ["s"]
    assert sink.archive.lines("never") == []


def test_its_keys_have_the_bucket_and_prefix_that_it_is_given() -> None:
    with MemorySink(MemoryArchive("b", "team/p")) as sink:
        sink.save("s", messages("a"))
        assert sink.pointer("s") == PointerHandle("b", "team/p/s/history.jsonl")
        assert sink.resolve(sink.pointer("s")) == b"".join(sink.read("s"))
    with pytest.raises(ConfigurationError):
        MemoryArchive(prefix="/p")


def test_a_sink_of_another_process_shares_the_archive(sink: MemorySink) -> None:
    sink.save("s", messages("a"))
    other = MemorySink(sink.archive)
    assert other.save("s", messages("a")).state == "unchanged"
    assert MemorySink().archive.sessions() == []


def test_the_class_stands_in_for_the_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODETETHER_HISTORY_BROKER_URL", "no URL at all")
    made: type[HistorySink] = MemorySink
    with made.from_env(default=str) as sink:
        assert sink.save("s", [{"a": object}]).state == "enqueued"


def test_a_broker_that_is_away_is_told_in_the_receipt_and_the_next_save_carries_it(sink: MemorySink) -> None:
    with sink.archive.broker_away():
        receipt = sink.save("s", messages("a"))
        assert (receipt.state, receipt.reason) == ("unreachable", "the broker is away: as the test has it")
        assert sink.flush("s", 0.1).state == "unreachable"
        with pytest.raises(Unavailable, match="away"):
            sink.status("s")
    assert sink.archive.lines("s") == []
    assert sink.save("s", messages("a")).state == "enqueued"
    assert sink.flush("s")


def test_workers_that_are_away_leave_saves_in_the_queue(sink: MemorySink) -> None:
    with sink.archive.workers_away():
        assert sink.save("s", messages("a")).state == "enqueued"
        assert sink.flush("s", 0.1).state == "no_worker"
        with pytest.raises(NoAnswer):
            sink.list_sessions()
        assert sink.archive.lines("s") == []
    assert sink.archive.messages("s") == messages("a")


def test_a_store_that_is_away_fails_reads_and_saves_wait(sink: MemorySink) -> None:
    sink.save("s", messages("a"))
    pointer = sink.pointer("s")
    with sink.archive.store_away():
        assert sink.save("s", messages("a", "b")).state == "enqueued"
        assert sink.flush("s", 0.1).state == "no_store"
        answer = sink.resolve(pointer)
        assert isinstance(answer, Fault)
        assert answer.kind == "backend_error"
        with pytest.raises(WorkerFailed):
            sink.status("s")
        assert len(sink.archive.lines("s")) == 1
    assert sink.archive.messages("s") == messages("a", "b")


def test_any_fault_is_answered_on_request(sink: MemorySink) -> None:
    sink.save("s", messages("a"))
    began = time.monotonic()
    for fault in (Fault("denied", "not yours"), Fault("refetch"), Fault("backend_error", "a shaky store")):
        with sink.archive.answering(fault):
            assert sink.resolve(sink.pointer("s")) == fault
            with pytest.raises(Faulted) as raised:
                b"".join(sink.read("s"))
            assert raised.value.fault == fault
    assert time.monotonic() - began < 2
    assert sink.resolve(sink.pointer("s")) == b"".join(sink.archive.lines("s"))


def test_what_the_broker_loses_is_handed_over_again(sink: MemorySink) -> None:
    sink.save("s", messages("a"))
    with sink.archive.losing_uploads():
        sink.save("s", messages("a", "b"))
    assert sink.archive.messages("s") == messages("a")
    assert sink.flush("s", 20)
    assert sink.archive.messages("s") == messages("a", "b")


def test_trouble_ends_with_its_block_whatever_happens_in_it(sink: MemorySink) -> None:
    with pytest.raises(KeyError), sink.archive.workers_away(), sink.archive.broker_away():
        raise KeyError
    assert sink.save("s", messages("a")).state == "enqueued"
    assert sink.flush("s")


def test_a_deleted_session_takes_nothing_any_more(sink: MemorySink) -> None:
    sink.save("s", messages("a"))
    sink.archive.delete("s")
    sink.save("s", messages("a", "b"))
    assert sink.status("s").logs == ()
    assert sink.archive.sessions() == []


def test_many_threads_may_use_one_archive() -> None:
    archive, receipts = MemoryArchive(), list[Receipt]()

    def work(name: str) -> None:
        with MemorySink(archive) as sink:
            receipts.extend(sink.append(name, message(str(number))) for number in range(50))
            assert sink.flush(name)

    threads = [threading.Thread(target=work, args=(f"s{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {receipt.state for receipt in receipts} == {"enqueued"}
    assert [len(archive.lines(name)) for name in archive.sessions()] == [50] * 8


def test_it_loads_neither_the_queue_nor_the_worker() -> None:
    program = """
import sys
from history_sink.testing import MemorySink
with MemorySink() as sink:
    sink.save("s", [{"role": "user"}])
    assert sink.flush("s")
print(" ".join({name.partition(".")[0] for name in sys.modules}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    loaded: set[Any] = {*done.stdout.split()}
    assert not loaded & {"celery", "kombu", "redis", "msgpack", "boto3", "history_sink_worker"}


def test_the_readmes_example_holds() -> None:
    shown: dict[str, Any] = {}
    exec(
        next(block for block in README.split("```python\n") if "def test_my_agent" in block).partition("```")[0], shown
    )
    shown["test_my_agent_keeps_its_history"]()


def test_there_is_no_search_worker_in_memory() -> None:
    with MemorySink() as sink:
        sink.save("s", messages("ab"))
        with pytest.raises(NoAnswer):
            sink.recall("message")
        assert sink.flush("s")
