"""The watch as it runs: told by the system of what changes, through outages, beside agents that delete."""

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from io import StringIO
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from agent_writers import ClaudeCode, Codetether, Codex, Gemini, OpenCode
from history_sink import LogEnd, Message, ProducerSettings, Receipt, SessionId, Unavailable
from history_sink.testing import MemoryArchive, MemorySink
from history_sink_agents.formats import Found
from history_sink_agents.formats.folders import open_regular
from history_sink_agents.watch import backlog, carry, deliveries, handover, runner, watch
from history_sink_agents.watch.carry import Carried, Carrier
from history_sink_agents.watch.command import _say
from history_sink_agents.watch.deliveries import Unconfirmed
from history_sink_agents.watch.handover import Handover
from history_sink_agents.watch.lock import Taken
from history_sink_agents.watch.program import Program
from history_sink_agents.watch.state import State
from history_sink_agents.watch.teller import LineTeller
from watched_home import WatchedHome, wait_until

Trouble = Callable[[MemoryArchive], AbstractContextManager[None]]
TROUBLES = [MemoryArchive.broker_away, MemoryArchive.workers_away, MemoryArchive.store_away]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WatchedHome:
    monkeypatch.setattr(runner, "_LAST_PAUSE_SECONDS", 0.2)
    monkeypatch.setattr(runner, "_RETRY_SECONDS", 0.2)
    monkeypatch.setattr(deliveries, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(handover, "_RESEND_SECONDS", 0.5)
    monkeypatch.setattr(watch, "_FIND_SECONDS", 0.2)
    for module in (carry, runner, watch):
        monkeypatch.setattr(module, "QUIET_SECONDS", 0.3)
    return WatchedHome(tmp_path)


def is_held(path: Path) -> bool:
    """Whether this process has the file open."""
    return any(os.path.realpath(link) == str(path) for link in Path("/proc/self/fd").iterdir())


def test_a_line_is_archived_soon_after_it_was_written(place: WatchedHome) -> None:
    claude = ClaudeCode(place.home)
    claude.talk(0, 3)
    with place.watching():
        wait_until(lambda: place.has(claude.path.read_bytes()))
        for number in range(3, 6):
            claude.talk(number, number + 1)
            start = time.monotonic()
            wait_until(lambda: place.has(claude.path.read_bytes()))
            assert time.monotonic() - start < 10
    assert len(place.sent) == 6


def test_nothing_is_polled_where_watchfiles_would(place: WatchedHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it would under WSL: of two writes in one second it sees the first, and 10,000 files take 6 % of a core."""
    monkeypatch.setenv("WATCHFILES_FORCE_POLLING", "1")
    claude = ClaudeCode(place.home)
    claude.talk(0, 1)
    with place.watching():
        wait_until(lambda: place.has(claude.path.read_bytes()))
        time.sleep(0.5)  # the system is asked
        for number in range(1, 4):
            claude.talk(number, number + 1)
            wait_until(lambda: place.has(claude.path.read_bytes()))


def test_an_agents_folder_may_be_a_link(place: WatchedHome) -> None:
    (place.home / "elsewhere").mkdir()
    (place.home / ".claude").symlink_to(place.home / "elsewhere")
    claude = ClaudeCode(place.home)
    claude.talk(0, 3)
    with place.watching():
        wait_until(lambda: place.has(claude.path.read_bytes()))
        claude.talk(3, 6)
        wait_until(lambda: place.has(claude.path.read_bytes()))
    assert len(place.sent) == 6


def test_files_folders_and_agents_that_come_later_are_found(place: WatchedHome) -> None:
    claude = ClaudeCode(place.home)
    claude.talk(0, 1)
    with place.watching():
        wait_until(lambda: place.has(claude.path.read_bytes()))
        other = ClaudeCode(place.home, 2, "-another-project")
        other.talk(0, 2)
        wait_until(lambda: place.has(other.path.read_bytes()))
        agent = other.call_subagent()
        wait_until(lambda: place.has(agent.path.read_bytes()))
        codex = Codex(place.home)
        wait_until(lambda: place.has(codex.path.read_bytes()))
        codex.write(n=1)
        wait_until(lambda: place.has(codex.path.read_bytes()))
        segment = codex.rewind(4)
        wait_until(lambda: place.has(segment.read_bytes()))


@pytest.mark.parametrize("folder", [".claude", ".claude/projects/-made-up"])
def test_a_folder_that_is_removed_and_made_anew_is_watched_again(place: WatchedHome, folder: str) -> None:
    claude = ClaudeCode(place.home)
    claude.talk(0, 3)
    with place.watching():
        wait_until(lambda: place.has(claude.path.read_bytes()))
        time.sleep(0.5)  # the system is asked
        body = claude.path.read_bytes()
        shutil.rmtree(place.home / folder)
        ClaudeCode(place.home).append(body)
        time.sleep(1.0)
        claude.talk(3, 6)
        wait_until(lambda: place.has(claude.path.read_bytes()), 20)  # long before all files are looked at
    assert len(place.sent) == 6


def test_a_document_is_archived_when_nobody_writes_to_it_any_more(place: WatchedHome) -> None:
    document = Codetether(place.home)
    document.save("one")
    with place.watching():
        wait_until(lambda: place.has(document.path.read_bytes() + b"\n"))
        document.save("one", "two")
        wait_until(lambda: place.has(document.path.read_bytes() + b"\n"))


def test_events_are_archived_as_a_database_gets_them(place: WatchedHome) -> None:
    code = OpenCode(place.home)
    code.begin("ses_1")
    with place.watching():
        wait_until(lambda: len(place.archive.lines("opencode.ses_1")) == 1)
        code.say("ses_1", "msg_1")
        wait_until(lambda: len(place.archive.lines("opencode.ses_1")) == 2)
        code.begin("ses_2")
        wait_until(lambda: len(place.archive.lines("opencode.ses_2")) == 1)
        code.undo("ses_1", "msg_1")
        wait_until(lambda: len(place.archive.lines("opencode.ses_1")) == 3)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_what_is_written_during_an_outage_is_archived_behind_it(place: WatchedHome, trouble: Trouble) -> None:
    claude = ClaudeCode(place.home)
    claude.talk(0, 3)
    with place.watching():
        wait_until(lambda: place.has(claude.path.read_bytes()))
        with trouble(place.archive):
            claude.talk(3, 6)
            other = ClaudeCode(place.home, 2)
            other.talk(0, 4)
            wait_until(lambda: any("nothing is archived now" in said for said in place.said))
        wait_until(lambda: place.has(claude.path.read_bytes()) and place.has(other.path.read_bytes()))
        wait_until(lambda: "the archive is back" in place.said)
    assert place.count_beside() == 0
    assert place.logs(f"claude.{claude.session}") == [claude.path.read_bytes()]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_an_outage_of_days_does_not_fill_the_queue(
    place: WatchedHome, trouble: Trouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_LAST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(runner, "_RETRY_SECONDS", 0.02)
    monkeypatch.setattr(deliveries, "PATIENCE_SECONDS", 0.02)
    monkeypatch.setattr(handover, "_RESEND_SECONDS", 60.0)
    files = [ClaudeCode(place.home, number) for number in range(1, 3)]
    for file in files:
        file.talk(0, 2)

    def is_archived(file: ClaudeCode) -> bool:
        return place.archive.lines(f"claude.{file.session}") == file.path.read_bytes().splitlines(keepends=True)

    with place.watching():
        wait_until(lambda: all(map(is_archived, files)))
        sent = len(place.sent)
        with trouble(place.archive):
            for file in files:
                file.talk(2, 4)
            wait_until(lambda: any("nothing is archived now" in said for said in place.said))
            time.sleep(1.0)  # many tries
            assert len(place.sent) <= sent + 2 * len(files)  # once each
        wait_until(lambda: all(map(is_archived, files)))
    assert all(place.logs(f"claude.{file.session}") == [file.path.read_bytes()] for file in files)


def test_an_outage_of_a_thousand_tries_ends_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_LAST_PAUSE_SECONDS", 0.0)
    tries = []

    class Away(Carrier):
        def carry(self, found: Found, file: BinaryIO | None, give_way: Callable[[], object] = lambda: None) -> Carried:
            tries.append(found)
            if len(tries) < 1100:  # 2.0**1024 is no number
                raise Unavailable("away")
            return Carried("append", "grown", 1)

    path = tmp_path / "file.jsonl"
    path.write_bytes(b"{}\n")
    state = State(tmp_path, "an archive")
    with MemorySink() as sink:
        watching = runner.Runner(lambda _: Away(Handover(sink), state), state, LineTeller(lambda _: None), threads=1)
        watching.start()
        watching.look(Found("claude", path.parent, "file.jsonl", "claude.file", "lines"))
        wait_until(lambda: watching.counts.files == 1)
        watching.stop()
    state.close()


@pytest.mark.parametrize("forgets", [False, True])
def test_large_files_give_way_to_what_is_written_meanwhile(tmp_path: Path, forgets: bool) -> None:
    """By one thread, and two large files: the second comes while the first is sent, the small one while both are.

    `forgets`: both are in the archive, so that they are only read, and nothing of them is sent.
    """
    state, archive, read = State(tmp_path, "an archive"), MemoryArchive(), list[str]()
    lines = b"".join(b'{"n":%d,"text":"%s"}\n' % (number, b"x" * 50_000) for number in range(60))

    class Following(MemorySink):
        """Writes what comes next when it is handed the third batch of a large file."""

        def extend(self, session_id: SessionId, messages: Iterable[Message], after: LogEnd, *rest: Any) -> Receipt:
            self.note(str(session_id))
            return super().extend(session_id, messages, after, *rest)

        def measure(
            self, messages: Iterable[Message], after: LogEnd | None = None, *rest: Any, **options: Any
        ) -> LogEnd:
            self.note(str(options["session_id"]))
            return super().measure(messages, after, *rest, **options)

        def note(self, session: str) -> None:
            read.append(session)
            following = {"claude.one": "two", "claude.two": "small"}.get(session)
            if following and read.count(session) == 3:
                watching.look(write(following, lines if following == "two" else b"{}\n"))

    def write(name: str, body: bytes) -> Found:
        (tmp_path / f"{name}.jsonl").write_bytes(body)
        return Found("claude", tmp_path, f"{name}.jsonl", f"claude.{name}", "lines")

    if forgets:
        with MemorySink(archive) as sink:
            for name in ("one", "two"):
                sink.extend(f"claude.{name}", lines.splitlines(keepends=True), LogEnd())
    with Following(archive) as sink:
        watching = runner.Runner(lambda _: Carrier(Handover(sink), state), state, LineTeller(lambda _: None), threads=1)
        watching.start()
        watching.look(write("one", lines))
        wait_until(lambda: not len(watching.backlog))
        watching.stop()
    state.close()
    others = [name for name in read if name != "claude.small" and not name.endswith(".manifest")]
    assert archive.lines("claude.small") == [b"{}\n"]
    assert archive.lines("claude.one") == archive.lines("claude.two") == lines.splitlines(keepends=True)
    in_hand = 6 if forgets else 1  # lines of the batch that has been read, or the batch
    behind = others[len(others) - others[::-1].index("claude.two") :]
    assert len(behind) > 5 * in_hand  # the first goes on when the second is done
    before = read[: read.index("claude.small")]
    assert before.count("claude.one") <= 2 + in_hand
    assert before.count("claude.two") <= 2 + in_hand


def test_what_the_broker_has_lost_is_sent_again(place: WatchedHome) -> None:
    claude = ClaudeCode(place.home)
    claude.talk(0, 3)
    with place.watching():
        wait_until(lambda: place.has(claude.path.read_bytes()))
        with place.archive.losing_uploads():
            claude.talk(3, 6)
            wait_until(lambda: len(place.sent) > 3)
        wait_until(lambda: place.has(claude.path.read_bytes()))


def test_a_file_that_is_deleted_while_it_waits_is_archived_whole(place: WatchedHome) -> None:
    gemini = Gemini(place.home)
    gemini.talk(0, 3)
    with place.watching():
        wait_until(lambda: place.has(gemini.path.read_bytes()))
        with place.archive.broker_away():
            gemini.talk(3, 9)
            stray = gemini.resume(100_000)
            bodies = [gemini.path.read_bytes(), stray.read_bytes()]
            wait_until(lambda: any("nothing is archived now" in said for said in place.said))
            wait_until(lambda: is_held(stray))
            gemini.lose()
        wait_until(lambda: all(map(place.has, [*bodies, gemini.path.read_bytes()])))
    assert place.count_beside() == 0


def test_a_session_that_an_operator_has_deleted_is_left_alone(place: WatchedHome) -> None:
    claude, other = ClaudeCode(place.home), ClaudeCode(place.home, 2)
    claude.talk(0, 3)
    with place.watching():
        wait_until(lambda: place.has(claude.path.read_bytes()))
        place.archive.delete(f"claude.{claude.session}")
        claude.talk(3, 4)
        wait_until(lambda: any("operator" in said for said in place.said))
        sent = len(place.sent)
        claude.talk(4, 5)
        other.talk(0, 1)
        wait_until(lambda: place.has(other.path.read_bytes()))
        assert len(place.sent) == sent + 1


@pytest.mark.parametrize("trouble", [ValueError("I/O operation on closed file"), BrokenPipeError(), OSError(5, "EIO")])
def test_a_watch_whose_words_nobody_reads_goes_on(
    place: WatchedHome, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    class Gone(StringIO):
        def write(self, text: str) -> int:
            raise trouble

    monkeypatch.setattr(sys, "stderr", Gone())
    program = Program(
        ProducerSettings(place.url), [], {}, place.home, place.state, _say, is_verbose=True, make_sink=place.open_sink
    )
    claude = ClaudeCode(place.home)
    claude.talk(0, 3)
    assert program.run_once() == 0
    assert place.has(claude.path.read_bytes())


def test_a_file_that_may_not_be_read_for_a_while_is_archived_when_it_may(
    place: WatchedHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The superuser may read whatever its permissions say, so it is the opening that fails."""
    claude, other = ClaudeCode(place.home), ClaudeCode(place.home, 2)
    claude.talk(0, 3)
    begin = open_regular

    def refuse(name: str) -> BinaryIO:
        if name == str(claude.path):
            raise PermissionError(13, "Permission denied")
        return begin(name)

    with place.watching():
        wait_until(lambda: place.has(claude.path.read_bytes()))
        with monkeypatch.context() as patch:
            for module in (backlog, runner):
                patch.setattr(module, "open_regular", refuse)
            claude.talk(3, 6)
            other.talk(0, 3)
            wait_until(lambda: any(f"{claude.path}: cannot be read: Permission denied" in said for said in place.said))
            wait_until(lambda: place.has(other.path.read_bytes()))
        claude.talk(6, 7)
        wait_until(lambda: place.has(claude.path.read_bytes()))
    assert len(place.sent) == 10


def test_only_one_watch_runs_at_a_time(place: WatchedHome) -> None:
    with place.watching(), pytest.raises(Taken, match="another watch"):
        place.make_program().run(threading.Event())
    place.watch_once()


def test_two_that_append_to_one_file_are_archived_in_the_files_order(place: WatchedHome) -> None:
    one = ClaudeCode(place.home)
    two = ClaudeCode(place.home)
    with place.watching():
        threads = [
            threading.Thread(target=lambda who=who, name=name: [who.talk(n, n + 1, name) for n in range(50)])
            for who, name in ((one, "one"), (two, "two"))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        wait_until(lambda: place.has(one.path.read_bytes()))
    assert len(place.sent) == 100


def test_a_state_that_cannot_be_kept_loses_nothing(place: WatchedHome, monkeypatch: pytest.MonkeyPatch) -> None:
    claude = ClaudeCode(place.home)
    claude.talk(0, 3)
    place.watch_once()
    (place.state / "watch.sqlite").write_bytes(b"damaged" * 1000)
    assert place.watch_once() == 0
    claude.talk(3, 4)
    from history_sink_agents.watch import state

    begin = state._open

    def open_full(path: Path | None, archive: str) -> object:
        database = begin(path, archive)
        database.execute("PRAGMA query_only = ON")  # as a full disk does, it lets nothing be written
        return database

    monkeypatch.setattr(state, "_open", open_full)
    assert place.watch_once() == 1
    assert place.watch_once() == 0
    assert place.logs(f"claude.{claude.session}") == [claude.path.read_bytes()]


def test_another_queue_is_another_archive(place: WatchedHome) -> None:
    claude = ClaudeCode(place.home)
    claude.talk(0, 3)
    place.watch_once()
    place.archive = MemoryArchive()
    place.url = "redis://another.invalid/0"
    assert place.watch_once() == 3


def test_what_is_confirmed_late_does_not_read_the_file_that_was_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "PATIENCE_SECONDS", 0.05)
    archive, path = MemoryArchive(), tmp_path / "file.jsonl"
    found = Found("claude", path.parent, "file.jsonl", "claude.file", "lines")
    state = State(tmp_path, "an archive")
    path.write_bytes(b"0\n")
    with MemorySink(archive) as sink:
        carrier = Carrier(Handover(sink), state)
        with path.open("rb") as file:
            carrier.carry(found, file)
        path.write_bytes(b"0\n1\n")
        with archive.workers_away(), path.open("rb") as file, pytest.raises((Unavailable, Unconfirmed)):
            carrier.carry(found, file)
        with path.open("rb") as file:
            assert carrier.carry(found, file).action == "append"
    state.close()
    assert archive.lines(found.session) == [b"0\n", b"1\n"]
