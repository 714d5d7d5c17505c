"""The watch's pure parts, each against what it must mean: looks, lines, places, the backlog."""

import os
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from history_sink import Listing, LogEnd
from history_sink.testing import MemorySink
from history_sink_agents.formats import Found
from history_sink_agents.formats.folders import open_regular
from history_sink_agents.watch import attach as attaching
from history_sink_agents.watch import sources, torn
from history_sink_agents.watch.attach import attach
from history_sink_agents.watch.backlog import Backlog, Job
from history_sink_agents.watch.look import Look, Mark, decide, decide_whole
from history_sink_agents.watch.manifests import Manifests
from history_sink_agents.watch.newcomers import ASKED_FIRST, LASTING_SECONDS, Newcomers
from history_sink_agents.watch.runner import back_off
from history_sink_agents.watch.sources import Batch, FileSource, LineSource, LineTooLong

MARK = Mark(1, 2, 100, 5, 100, "head", "tail", LogEnd(3, 100, "ab" * 32))
SAME = Look(1, 2, 100, 5, 0, "head", "tail")


@pytest.mark.parametrize(
    ("mark", "look", "step"),
    [
        (None, SAME, ("attach", "new")),
        (MARK, SAME, ("nothing", "unchanged")),
        (MARK, replace(SAME, mtime_ns=9), ("attach", "touched")),
        (MARK, replace(SAME, ctime_ns=9), ("nothing", "unchanged")),
        (MARK, replace(SAME, ctime_ns=9, tail="other"), ("attach", "rewritten")),
        (MARK, replace(SAME, size_bytes=101, mtime_ns=9), ("append", "grown")),
        (MARK, replace(SAME, inode=3), ("attach", "replaced")),
        (MARK, replace(SAME, device=3), ("attach", "replaced")),
        (MARK, replace(SAME, size_bytes=99, head=None, tail=None), ("attach", "shrunk")),
        (MARK, replace(SAME, size_bytes=200, head="of another file with the inode"), ("attach", "rewritten")),
        (MARK, replace(SAME, size_bytes=200, tail="other"), ("attach", "rewritten")),
        (MARK, replace(SAME, tail="other"), ("attach", "rewritten")),
        (replace(MARK, end=None), SAME, ("nothing", "unchanged")),
        (replace(MARK, end=None), replace(SAME, size_bytes=200), ("attach", "grown")),
        (replace(MARK, position=90), replace(SAME, mtime_ns=5), ("append", "grown")),
    ],
)
def test_what_a_look_means(mark: Mark | None, look: Look, step: tuple[str, str]) -> None:
    assert decide(mark, look) == step


def test_each_change_of_a_whole_file_is_a_version() -> None:
    assert decide_whole(None, SAME).action == "attach"
    assert decide_whole(MARK, SAME).action == "nothing"
    assert decide_whole(MARK, replace(SAME, mtime_ns=6)).action == "attach"


def read_all(body: bytes, start: int = 0, *, is_whole: bool = False) -> list[Batch]:
    return [*FileSource(BytesIO(body), len(body), is_whole=is_whole).read(start)]


@settings(max_examples=60)
@given(
    st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line), max_size=20),
    st.binary(max_size=20).filter(lambda line: b"\n" not in line),
    st.integers(1, 64),
    st.data(),
)
def test_lines_come_whole_whatever_the_pieces(lines: list[bytes], torn: bytes, size: int, data: st.DataObject) -> None:
    body = b"".join(line + b"\n" for line in lines)
    ends = [0, *(at + 1 for at, byte in enumerate(body) if byte == 0x0A)]
    start = data.draw(st.sampled_from(ends))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "BATCH_BYTES", size)
        patch.setattr(sources, "LONG_BYTES", size)
        batches = read_all(body + torn, start)
        whole = read_all(body + torn, start, is_whole=True)
    assert b"".join(line for batch in batches for line in batch.lines) == body[start:]
    assert [stop for batch in batches for stop in batch.stops] == [end for end in ends if end > start]
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for batch in batches for line in batch.lines)
    assert b"".join(line for batch in whole for line in batch.lines) == (body + torn)[start:]


def test_a_line_that_is_too_long_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "LINE_BYTES", 100)
    monkeypatch.setattr(sources, "BATCH_BYTES", 50)
    body = b"short\n" + b"x" * 100 + b"\n"
    found: list[bytes] = []
    with pytest.raises(LineTooLong, match="byte 6"):
        found.extend(line for batch in FileSource(BytesIO(body), len(body)).read(0) for line in batch.lines)
    assert found == [b"short\n"]
    assert len(read_all(b"x" * 99 + b"\n")) == 1


def test_of_a_line_that_has_no_end_yet_only_what_is_new_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = list[int]()

    def count(file: BinaryIO, start: int, size: int) -> bytes:
        read.append(size)
        return sources.read_at(file, start, size)

    monkeypatch.setattr(torn, "read_at", count)
    path, lines = tmp_path / "file.jsonl", torn.TornLines()
    found = Found("claude", tmp_path, path.name, "claude.file", "lines")
    mark = replace(MARK, position=3)

    def has_ended(body: bytes) -> bool:
        read.clear()
        path.write_bytes(body)
        with path.open("rb") as file:
            return lines.has_ended(found, file, mark, sources.look_at(file, 3))

    assert not has_ended(b"{}\n" + b"x" * 10_000)
    assert not has_ended(b"{}\n" + b"x" * 10_007)
    assert read == [7]
    assert has_ended(b"{}\n" + b"y\n" + b"y" * 10_007)  # another one, in its place
    assert not has_ended(b"{}\n" + b"x" * 10_000)
    assert has_ended(b"{}\n" + b"x" * 10_000 + b"\n")
    assert read == [1]
    monkeypatch.setattr(sources, "LINE_BYTES", 20_000)
    monkeypatch.setattr(torn, "LINE_BYTES", 20_000)
    for _ in range(2):
        with pytest.raises(LineTooLong, match="byte 3"):
            has_ended(b"{}\n" + b"x" * 30_000)
    assert read == []


def test_positions_of_made_lines_count_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "BATCH_BYTES", 9)
    lines = [b"%d\n" % number for number in range(10)]
    batches = [*source_of(lines).read(3)]
    assert [line for batch in batches for line in batch.lines] == lines[3:]
    assert [stop for batch in batches for stop in batch.stops] == [*range(4, 11)]
    assert len(batches) > 1


def source_of(lines: list[bytes]) -> LineSource:
    return LineSource(lambda skip: iter(lines[skip:]))


ALPHABET = [b"a\n", b"b\n", b"c\n"]
HISTORIES = st.lists(st.lists(st.sampled_from(ALPHABET), min_size=1, max_size=8), max_size=4)


@settings(max_examples=60)
@given(HISTORIES, st.lists(st.sampled_from(ALPHABET), min_size=1, max_size=9), st.sampled_from([3, 4, 2048]))
def test_a_file_goes_on_where_the_archive_has_it_and_nothing_is_sent_twice(
    before: list[list[bytes]], lines: list[bytes], asked: int
) -> None:
    """Each generation is archived in turn, by the place that `attach` finds; then all are there, and nothing beside."""
    with pytest.MonkeyPatch.context() as patch, MemorySink() as sink:
        patch.setattr(attaching, "ASKED_PLACES", asked)
        for history in [*before, lines, lines]:
            source = source_of(history)
            place = attach(sink, "s", source, 1.0)
            rest = [] if place.is_inside else history[place.position :]
            sink.extend("s", rest, place.end)
        status = sink.status("s")
        logs = [sink.archive.lines("s", log.branch) for log in status.logs]
        assert not status.strays
        assert not status.pending
        for history in [*before, lines]:
            assert any(log[: len(history)] == history for log in logs)
        assert rest == []  # of the last one, which was there already
        assert all(log in [*before, lines] for log in logs)


def test_a_file_of_many_lines_is_placed_with_few_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attaching, "ASKED_PLACES", 16)
    lines = [b"%d\n" % number for number in range(3000)]
    with MemorySink() as sink:
        sink.save("s", lines)
        edited = [*lines[:2345], b"edited\n", *lines[2346:]]
        questions = []
        ask = sink.status

        def count(*args: object, **options: object) -> object:
            questions.append(1)
            return ask(*args, **options)  # type: ignore[arg-type]  # as given

        monkeypatch.setattr(sink, "status", count)
        place = attach(sink, "s", source_of(edited), 1.0)
        assert place.position == 0
        assert place.end.branch == sink.measure(edited[:2346]).as_branch
        assert len(questions) < 8


def test_a_mark_that_the_store_is_ahead_of_is_caught_up_with() -> None:
    lines = [b"%d\n" % number for number in range(9)]
    with MemorySink() as sink:
        sink.save("s", lines[:6])
        start = attaching.Place(3, sink.measure(lines[:3]))
        place = attach(sink, "s", source_of(lines), 1.0, start)
        assert (place.position, place.end) == (6, sink.resume("s"))
        wrong = attaching.Place(3, sink.measure([b"x"]))
        assert attach(sink, "s", source_of(lines), 1.0, wrong) == place


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def make_job(name: str, mtime: int, inode: int = 1) -> Job:
    found = Found("claude", Path("/h"), name, f"claude.{name}", "lines")
    return Job(found, mtime, None, (1, inode))


def take_names(backlog: Backlog) -> Iterator[str]:
    while (job := backlog._pop()) is not None:
        yield job.found.relative


def test_the_newest_file_is_first_and_one_of_a_session_at_a_time() -> None:
    backlog = Backlog(clock := Clock())
    for job in (make_job("old", 1), make_job("new", 9), make_job("same.part", 5), make_job("same", 4)):
        assert backlog.add(job)
    assert not backlog.add(make_job("old", 1))
    assert backlog.add(make_job("old", 2, inode=2))  # another file has come in its place
    assert [*take_names(backlog)] == ["new", "same.part", "old"]
    backlog.finish(make_job("same", 0))
    assert [*take_names(backlog)] == ["same"]
    backlog.finish(make_job("old", 0))
    assert [*take_names(backlog)] == ["old"]
    for name in ("new", "same", "old"):
        backlog.finish(make_job(name, 0))
    assert len(backlog) == 0
    backlog.add(make_job("later", 1), 5.0)
    backlog.pause(2.0)
    assert [*take_names(backlog)] == []
    clock.now = 6.0
    assert [*take_names(backlog)] == ["later"]
    backlog.stop()
    assert backlog.take() is None
    assert not backlog.add(make_job("too late", 1))  # so that who adds it closes its file


def test_what_was_written_just_now_goes_first_and_in_turn() -> None:
    now = 1_000_000.0
    backlog = Backlog(Clock(), lambda: now)
    for name, age in (("old", 99), ("older", 100), ("first", 2), ("second", 1), ("same", 3), ("tomorrow", -90_000)):
        assert backlog.add(make_job(name, int((now - age) * 1e9)))
    taken = [job.found.relative for job in iter(backlog.take_fresh, None)]
    assert taken == ["first", "second", "same"]
    backlog.add(make_job("same", int(now * 1e9)))
    assert backlog.take_fresh() is None  # the session is being archived
    backlog.finish(make_job("same", 0))
    assert [*take_names(backlog)] == ["same", "tomorrow", "old", "older"]
    backlog.stop()
    assert backlog.take_fresh() is None


@pytest.mark.parametrize("failures", [5, 1023, 1024, 100_000])
def test_after_an_outage_of_days_the_pause_is_still_the_longest(failures: int) -> None:
    assert [back_off(1.0, number, 30.0) for number in range(4)] == [1.0, 2.0, 4.0, 8.0]
    assert back_off(1.0, failures, 30.0) == 30.0


def test_a_link_in_a_files_place_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("canary")
    link = tmp_path / "link.jsonl"
    link.symlink_to(secret)
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="symbolic"):
        open_regular(link)
    with pytest.raises(OSError, match="not a regular file"):  # and nobody waits for a writer
        open_regular(pipe)


class ListedSink(MemorySink):
    """Counts how often names were asked for."""

    listings = 0

    def list_sessions(self, *args: Any, **options: Any) -> Listing:
        self.listings += 1
        return super().list_sessions(*args, **options)


def test_from_the_twentieth_new_session_on_nobody_asks_about_each() -> None:
    with ListedSink() as sink:
        sink.extend("claude.known", ["{}"], LogEnd())
        asked = Newcomers(sink, 1.0, clock := Clock())
        assert not any(asked.is_new(f"claude.{number}") for number in range(ASKED_FIRST))
        assert all(asked.is_new(f"claude.{number}") for number in range(100, 200))
        assert not asked.is_new("claude.known")
        asked.note("claude.150")
        assert not asked.is_new("claude.150")
        assert sink.listings == 1
        assert not asked.is_new("codex.1")  # of another agent
        clock.now += LASTING_SECONDS + 1
        assert not any(asked.is_new(f"claude.{number}") for number in range(300, 300 + ASKED_FIRST))
        assert sink.listings == 1
        assert asked.is_new("claude.400")
        assert sink.listings == 2


def test_a_manifest_is_told_of_without_a_session_that_stays_in_memory() -> None:
    with MemorySink() as sink:
        manifests = Manifests(sink, Newcomers(sink, 1.0), 1.0)
        for number in range(30):
            manifests.tell(f"claude.{number}", {"path": "made-up"}, "").finish()
            assert len(sink._sessions) == 0
        assert len(sink.list_sessions().sessions) == 30
