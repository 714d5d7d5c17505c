"""`restore --into`: sessions back into the agent that wrote them, whole or not at all."""

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agent_homes import (
    A,
    B,
    C,
    add_events,
    add_session,
    archive_home,
    created,
    message,
    open_opencode,
    put,
    put_text,
    text,
)
from command import Command
from history_sink import HistorySink, LogStatus, Mismatch
from history_sink.testing import MemorySink
from history_sink_agents.formats.manifest import make_line
from history_sink_agents.formats.names import name_manifest
from history_sink_agents.restore import command
from history_sink_agents.restore.archive import SinkArchive
from history_sink_agents.restored import recall
from history_sink_agents.sealing import Sealing, read_keyring
from stack.stack import producer_environment
from stack.worker import Worker

Restore = Callable[..., Result]


@pytest.fixture
def sink() -> Iterator[MemorySink]:
    with MemorySink() as sink:
        yield sink


@pytest.fixture
def restore(sink: MemorySink, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Restore:
    """The command, on the archive in memory, in an empty folder."""

    @contextmanager
    def open_reader() -> Iterator[HistorySink]:
        with MemorySink(sink.archive) as own:
            yield own

    monkeypatch.setattr(command, "open_reader", open_reader)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return lambda *words: CliRunner().invoke(command.into, [str(word) for word in words])


def age(home: Path, seconds: float = 3600) -> None:
    """As if nobody had written there for so long."""
    for path in home.rglob("*"):
        os.utime(path, (time.time() - seconds,) * 2)


def read_tree(home: Path) -> dict[str, bytes]:
    return {str(path.relative_to(home)): path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file()}


def make_claude(home: Path) -> dict[str, bytes]:
    folder = f"projects/-w-proj/{A}"
    put(home, f"{folder}.jsonl", {"type": "mode"}, {"sessionId": A, "cwd": "/w/proj"}, {"text": "日本"})
    put(home, f"{folder}/subagents/agent-a1.jsonl", {"n": 1})
    put_text(home, f"{folder}/subagents/agent-a1.meta.json", '{"toolUseId":"x"}')
    put_text(home, f"{folder}/tool-results/out.txt", "no newline at the end\r\n\nhere")
    put_text(home, f"{folder}/tool-results/empty.txt", "")
    return read_tree(home)


def test_a_session_of_claude_code_comes_back_with_all_its_files(
    sink: MemorySink, restore: Restore, tmp_path: Path
) -> None:
    tree = make_claude(tmp_path / "old")
    archive_home(sink, "claude", tmp_path / "old")
    done = restore(A, "--into", "claude", "--home", tmp_path / "new")
    assert done.exit_code == 0, done.output
    assert read_tree(tmp_path / "new") == tree
    files = [path for path in (tmp_path / "new").rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert all(time.time() - path.stat().st_mtime < 60 for path in files)
    assert f"to go on: claude -r {A}" in done.stderr
    notes = recall(tmp_path / "state" / "history-sink")
    main = notes[str(tmp_path / "new" / "projects" / "-w-proj" / f"{A}.jsonl")]
    assert (main.session, main.branch, main.size_bytes) == (
        f"claude.{A}",
        None,
        len(tree[f"projects/-w-proj/{A}.jsonl"]),
    )


def test_a_second_time_all_is_there_and_nothing_is_written(sink: MemorySink, restore: Restore, tmp_path: Path) -> None:
    make_claude(tmp_path / "old")
    archive_home(sink, "claude", tmp_path / "old")
    age(tmp_path / "old")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "old").rglob("*")}
    done = restore(f"claude.{A}", "--into", "claude", "--home", tmp_path / "old")
    assert done.exit_code == 0, done.output
    assert done.stdout.count("there  ") == 5
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "old").rglob("*")} == before


def test_a_second_time_all_of_a_sealed_session_is_there_too(
    sink: MemorySink, restore: Restore, masters: Path, tmp_path: Path
) -> None:
    make_claude(tmp_path / "old")
    with MemorySink(sink.archive, filters=[Sealing(read_keyring(), tmp_path / "state")]) as sealing:
        archive_home(sealing, "claude", tmp_path / "old")
    home = tmp_path / "new"
    for word in ("write", "there"):
        done = restore(A, "--into", "claude", "--home", home)
        assert done.exit_code == 0, done.output
        assert {line.split()[0] for line in done.stdout.splitlines()} == {word}
        assert read_tree(home) == read_tree(tmp_path / "old")
    main = home / "projects" / "-w-proj" / f"{A}.jsonl"
    main.write_bytes(main.read_bytes().replace(b"{", b" ", 1))
    age(home)
    done = restore(A, "--into", "claude", "--home", home)
    assert (done.exit_code, "other bytes" in done.stderr) == (1, True)


def test_another_project_has_another_folder(sink: MemorySink, restore: Restore, tmp_path: Path) -> None:
    tree = make_claude(tmp_path / "old")
    archive_home(sink, "claude", tmp_path / "old")
    project = tmp_path / "other.dir" / "pröj"
    project.mkdir(parents=True)
    done = restore(A, "--into", "claude", "--home", tmp_path / "new", "--project", project)
    assert done.exit_code == 0, done.output
    slug = "".join(each if each.isascii() and each.isalnum() else "-" for each in str(project.resolve()))
    assert read_tree(tmp_path / "new") == {path.replace("-w-proj", slug): body for path, body in tree.items()}


def test_a_session_of_two_machines_goes_to_one_folder(sink: MemorySink, restore: Restore, tmp_path: Path) -> None:
    make_claude(tmp_path / "old")
    archive_home(sink, "claude", tmp_path / "old")
    main = put(tmp_path / "other", f"projects/-elsewhere/{A}.jsonl", {"type": "mode"})
    main.write_bytes((tmp_path / "old" / "projects" / "-w-proj" / f"{A}.jsonl").read_bytes() + b'{"n":9}\n')
    time.sleep(0.01)  # another time of writing
    with MemorySink(sink.archive) as second:
        archive_home(second, "claude", tmp_path / "other")
    done = restore(A, "--into", "claude", "--home", tmp_path / "new")
    assert done.exit_code == 0, done.output
    assert {path.split("/")[1] for path in read_tree(tmp_path / "new")} == {"-elsewhere"}
    assert read_tree(tmp_path / "new")[f"projects/-elsewhere/{A}.jsonl"] == main.read_bytes()
    age(tmp_path / "new")
    project = tmp_path / "third"
    project.mkdir()
    done = restore(A, "--into", "claude", "--home", tmp_path / "new", "--project", project)
    assert "is the same session, and stays" in done.stderr


def test_as_new_it_has_another_id_and_the_same_bytes(sink: MemorySink, restore: Restore, tmp_path: Path) -> None:
    tree = make_claude(tmp_path / "old")
    archive_home(sink, "claude", tmp_path / "old")
    done = restore(A, "--into", "claude", "--home", tmp_path / "old", "--as-new")
    assert done.exit_code == 0, done.output
    new = done.stderr.partition("claude -r ")[2].split()[0]
    after = read_tree(tmp_path / "old")
    assert {path: after.pop(path) for path in tree} == tree
    assert after == {path.replace(A, new): body for path, body in tree.items()}
    put(tmp_path / "pi", f"sessions/--w--/2026_{B}.jsonl", {"n": 1})
    archive_home(sink, "pi", tmp_path / "pi")
    refused = restore(B, "--into", "pi", "--home", tmp_path / "pi", "--as-new")
    assert (refused.exit_code, "under a new id" in refused.stderr) == (1, True)


def test_a_dry_run_tells_all_and_writes_nothing(sink: MemorySink, restore: Restore, tmp_path: Path) -> None:
    make_claude(tmp_path / "old")
    archive_home(sink, "claude", tmp_path / "old")
    done = restore(A, "--into", "claude", "--home", tmp_path / "new", "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert {each["done"] for each in told} == {"would write"}
    assert len(told) == 5
    assert told[-1]["session"] == f"claude.{A}"  # the session's own file comes last
    assert not (tmp_path / "new").exists()
    assert recall(tmp_path / "state" / "history-sink") == {}


def test_a_file_with_other_bytes_is_never_overwritten(sink: MemorySink, restore: Restore, tmp_path: Path) -> None:
    make_claude(tmp_path / "old")
    archive_home(sink, "claude", tmp_path / "old")
    path = put_text(tmp_path / "new", f"projects/-w-proj/{A}/tool-results/out.txt", "mine")
    age(tmp_path / "new")
    done = restore(A, "--into", "claude", "--home", tmp_path / "new")
    assert done.exit_code == 1
    assert str(path) in done.stderr
    assert read_tree(tmp_path / "new") == {str(path.relative_to(tmp_path / "new")): b"mine"}


@pytest.mark.parametrize("count", [0, 1, 4])
def test_a_restore_that_fails_leaves_nothing(
    sink: MemorySink, restore: Restore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    make_claude(tmp_path / "old")
    archive_home(sink, "claude", tmp_path / "old")
    left, link = [count], os.link

    def fail(piece: Path, path: Path) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        link(piece, path)

    monkeypatch.setattr(os, "link", fail)
    assert restore(A, "--into", "claude", "--home", tmp_path / "new").exit_code != 0
    assert read_tree(tmp_path / "new") == {}


def test_what_a_restore_that_was_killed_has_left_goes_with_the_next(
    sink: MemorySink, restore: Restore, tmp_path: Path
) -> None:
    make_claude(tmp_path / "old")
    archive_home(sink, "claude", tmp_path / "old")
    folder = tmp_path / "new" / "projects" / "-w-proj"
    put_text(folder, ".history-sink-old.part", "half")
    age(folder, 2 * 86_400)
    put_text(folder, ".history-sink-young.part", "of a restore that runs")
    assert restore(A, "--into", "claude", "--home", tmp_path / "new").exit_code == 0
    assert [path.name for path in folder.glob(".*")] == [".history-sink-young.part"]


def test_bytes_that_are_not_those_of_the_store_are_not_put_there(
    sink: MemorySink, restore: Restore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_claude(tmp_path / "old")
    archive_home(sink, "claude", tmp_path / "old")

    def read(self: SinkArchive, session: str, log: LogStatus) -> Iterator[bytes]:
        yield b"x" * (log.bytes - 1) + b"\n"

    monkeypatch.setattr(SinkArchive, "_read_pieces", read)
    done = restore(A, "--into", "claude", "--home", tmp_path / "new")
    assert isinstance(done.exception, Mismatch)
    assert read_tree(tmp_path / "new") == {}


def test_nothing_is_written_through_a_link(sink: MemorySink, restore: Restore, tmp_path: Path) -> None:
    make_claude(tmp_path / "old")
    archive_home(sink, "claude", tmp_path / "old")
    (tmp_path / "outside").mkdir()
    (tmp_path / "new" / "projects").mkdir(parents=True)
    (tmp_path / "new" / "projects" / "-w-proj").symlink_to(tmp_path / "outside")
    done = restore(A, "--into", "claude", "--home", tmp_path / "new")
    assert done.exit_code == 1
    assert "is a link" in done.stderr
    assert read_tree(tmp_path / "outside") == {}


@pytest.mark.parametrize(
    "path", ["../../etc/x.jsonl", "settings.json", "projects/../settings.json", ".credentials.json"]
)
def test_a_hostile_manifest_leads_nowhere(sink: MemorySink, restore: Restore, tmp_path: Path, path: str) -> None:
    facts = {"agent": "claude", "session": f"claude.{A}", "path": path, "kind": "lines", "mode": 0o4777}
    sink.append(name_manifest(f"claude.{A}"), make_line(facts))
    sink.save(f"claude.{A}", [{"evil": True}])
    done = restore(A, "--into", "claude", "--home", tmp_path / "new")
    assert done.exit_code in (1, 3)
    assert read_tree(tmp_path) == {}


def test_a_part_that_the_archive_lacks_is_named(sink: MemorySink, restore: Restore, tmp_path: Path) -> None:
    make_claude(tmp_path / "old")
    found = archive_home(sink, "claude", tmp_path / "old")
    (part,) = [each.session for each in found if each.relative.endswith("agent-a1.jsonl")]
    sink.archive.delete(part)
    done = restore(A, "--into", "claude", "--home", tmp_path / "new")
    assert (done.exit_code, read_tree(tmp_path / "state")) == (1, {})
    assert part in done.stderr
    assert not (tmp_path / "new").exists()
    assert restore(A, "--into", "claude", "--home", tmp_path / "new", "--partial").exit_code == 0
    assert len(read_tree(tmp_path / "new")) == 4


def test_a_manifest_of_several_writers_is_read_whole(sink: MemorySink, restore: Restore, tmp_path: Path) -> None:
    path = put(tmp_path / "old", f"session-state/{A}/events.jsonl", {"n": 1})
    with MemorySink(sink.archive) as first, MemorySink(sink.archive) as second:
        archive_home(first, "copilot", tmp_path / "old")
        put_text(tmp_path / "old", f"session-state/{A}/workspace.yaml", "cwd: /w\n")
        path.unlink()
        archive_home(second, "copilot", tmp_path / "old")
    assert restore(A, "--into", "copilot", "--home", tmp_path / "new").exit_code == 0
    assert len(read_tree(tmp_path / "new")) == 2


def test_a_session_and_a_file_may_be_called_like_the_option() -> None:
    ended = Command()("restore", "--", "--into", "--into=claude")
    assert (ended.status, "BROKER_URL" in ended.err) == (2, True)  # it came as far as to ask for the archive


def test_without_a_place_both_kinds_are_named() -> None:
    ended = Command()("restore", A)
    assert (ended.status, "Missing argument 'FILE | --into AGENT'" in ended.err) == (2, True)


def test_what_is_not_there_is_said(restore: Restore, tmp_path: Path) -> None:
    done = restore(A, "--into", "claude", "--home", tmp_path / "new")
    assert done.exit_code == 3
    assert f"no manifest claude.{A}.manifest" in done.stderr


def test_the_agent_that_wrote_a_session_is_named_where_another_is_meant(
    sink: MemorySink, restore: Restore, tmp_path: Path
) -> None:
    make_claude(tmp_path / "old")
    archive_home(sink, "claude", tmp_path / "old")
    done = restore(A, "--into", "pi", "--home", tmp_path / "new")
    assert (done.exit_code, "--into claude" in done.stderr) == (3, True), done.stderr
    done = restore(f"claude.{A}", "--into", "pi", "--home", tmp_path / "new")
    assert (done.exit_code, "--into claude" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize("agent", ["claude", "opencode"])
def test_a_branch_that_is_not_there_is_no_main_log(
    sink: MemorySink, restore: Restore, tmp_path: Path, agent: str
) -> None:
    session = A if agent == "claude" else "ses_1"
    if agent == "claude":
        make_claude(tmp_path / "old")
    else:
        with closing(open_opencode(tmp_path / "old")) as database:
            add_session(database, session)
            add_events(database, session, [created(session)])
    archive_home(sink, agent, tmp_path / "old")
    done = restore(session, "--into", agent, "--home", tmp_path / "new", "--branch", "000000000009-00112233445566aa")
    assert (done.exit_code, "has no branch 0000" in done.stderr) == (3, True), done.output
    assert not (tmp_path / "new").exists()


def test_a_session_at_work_is_left_alone(sink: MemorySink, restore: Restore, tmp_path: Path) -> None:
    home = tmp_path / "old"
    make_claude(home)
    archive_home(sink, "claude", home)
    assert restore(A, "--into", "claude", "--home", home).exit_code == 0  # all is there
    part = home / "projects" / "-w-proj" / A / "tool-results" / "out.txt"
    for spoil in (part.unlink, lambda: part.write_text("other bytes")):
        spoil()
        done = restore(A, "--into", "claude", "--home", home)
        assert done.exit_code == 1
        assert "s ago" in done.stderr
    part.unlink()
    age(home, -3600)  # by another clock
    assert restore(A, "--into", "claude", "--home", home).exit_code == 0
    part.unlink()
    age(home)
    put(home, f"sessions/{os.getpid()}.json", {"sessionId": A, "pid": os.getpid()})
    done = restore(A, "--into", "claude", "--home", home)
    assert done.exit_code == 1
    assert str(os.getpid()) in done.stderr
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    put(home, f"sessions/{os.getpid()}.json", {"sessionId": A, "pid": gone.pid})
    assert restore(A, "--into", "claude", "--home", home).exit_code == 0


def test_what_a_restore_has_written_itself_is_no_sign_of_an_agent(
    sink: MemorySink, restore: Restore, tmp_path: Path
) -> None:
    make_claude(tmp_path / "old")
    archive_home(sink, "claude", tmp_path / "old")
    home = tmp_path / "new"
    part = home / "projects" / "-w-proj" / A / "tool-results" / "out.txt"
    assert restore(A, "--into", "claude", "--home", home).exit_code == 0
    part.unlink()
    assert restore(A, "--into", "claude", "--home", home).exit_code == 0
    assert restore(A, "--into", "claude", "--home", home, "--project", tmp_path).exit_code == 0
    part.unlink()
    with (home / "projects" / "-w-proj" / f"{A}.jsonl").open("ab") as file:
        file.write(b"{}\n")  # the agent goes on with it
    done = restore(A, "--into", "claude", "--home", home)
    assert (done.exit_code, "may be at work" in done.stderr) == (1, True)


def test_a_restore_needs_no_notes(
    sink: MemorySink, restore: Restore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_claude(tmp_path / "old")
    archive_home(sink, "claude", tmp_path / "old")
    (tmp_path / "no-folder").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "no-folder"))
    done = restore(A, "--into", "claude", "--home", tmp_path / "new")
    assert done.exit_code == 0, done.output
    assert read_tree(tmp_path / "new") == read_tree(tmp_path / "old")


DAY = "sessions/2026/11/29/rollout-2026-11-29T01-49-17-"


def meta(thread: str, **more: Any) -> dict[str, Any]:
    return {"type": "session_meta", "payload": {"id": thread, "cwd": "/w/proj", **more}}


def make_codex(home: Path) -> dict[str, bytes]:
    """A thread, rewound once, whose second file a fork stands on."""
    first = put(home, f"{DAY}{A}.jsonl", meta(A), {"n": 1}, {"n": 2})
    base = {"thread_id": A, "end_ordinal_exclusive": 2, "end_byte_offset": first.stat().st_size - 8}
    second = put(home, f"{DAY}{A}_{C}.jsonl", meta(A, history_base=base), {"n": 3}, {"n": 4}, {"n": 5}, {"n": 6})
    base = {"thread_id": A, "end_ordinal_exclusive": 4, "end_byte_offset": second.stat().st_size}
    put(home, f"{DAY}{B}.jsonl", meta(B, history_base=base), {"n": 4})
    return read_tree(home)


def test_a_fork_of_codex_comes_with_what_it_stands_on(sink: MemorySink, restore: Restore, tmp_path: Path) -> None:
    tree = make_codex(tmp_path / "old")
    archive_home(sink, "codex", tmp_path / "old")
    done = restore(B, "--into", "codex", "--home", tmp_path / "new")
    assert done.exit_code == 0, done.output
    assert read_tree(tmp_path / "new") == tree
    done = restore(A, "--into", "codex", "--home", tmp_path / "alone")
    assert done.exit_code == 0, done.output
    assert {*read_tree(tmp_path / "alone")} == {f"{DAY}{A}.jsonl", f"{DAY}{A}_{C}.jsonl"}


def test_a_parent_that_has_grown_here_is_left_as_it_is(sink: MemorySink, restore: Restore, tmp_path: Path) -> None:
    tree = make_codex(tmp_path / "old")
    archive_home(sink, "codex", tmp_path / "old")
    (tmp_path / "old" / f"{DAY}{B}.jsonl").unlink()
    parent = tmp_path / "old" / f"{DAY}{A}_{C}.jsonl"
    parent.write_bytes(parent.read_bytes() + b'{"n":7}\n{"torn')
    age(tmp_path / "old")
    done = restore(B, "--into", "codex", "--home", tmp_path / "old")
    assert done.exit_code == 0, done.output
    name = f"{DAY}{A}_{C}.jsonl"
    assert read_tree(tmp_path / "old") == {**tree, name: tree[name] + b'{"n":7}\n{"torn'}


@pytest.mark.parametrize("asked", [A, B])
def test_a_thread_without_one_of_its_files_is_refused(
    sink: MemorySink, restore: Restore, tmp_path: Path, asked: str
) -> None:
    make_codex(tmp_path / "old")
    archive_home(sink, "codex", tmp_path / "old")
    sink.archive.delete(f"codex.{A}.{C}")
    for options in ((), ("--partial",)):
        done = restore(asked, "--into", "codex", "--home", tmp_path / "new", *options)
        assert done.exit_code == 1
        assert f"codex.{A}.{C}" in done.stderr
    assert not (tmp_path / "new").exists()


def test_a_fork_whose_parent_was_never_archived_or_is_too_short_is_refused(
    sink: MemorySink, restore: Restore, tmp_path: Path
) -> None:
    make_codex(tmp_path / "old")
    for path in (tmp_path / "old").rglob(f"*{A}*"):
        path.unlink()
    archive_home(sink, "codex", tmp_path / "old")
    done = restore(B, "--into", "codex", "--home", tmp_path / "new")
    assert done.exit_code == 1
    assert f"of codex.{A}" in done.stderr
    assert "none of it" in done.stderr
    put(tmp_path / "old", f"{DAY}{A}.jsonl", meta(A))
    archive_home(sink, "codex", tmp_path / "old")
    done = restore(B, "--into", "codex", "--home", tmp_path / "new")
    assert done.exit_code == 1
    assert "the archive has" in done.stderr
    assert not (tmp_path / "new").exists()


def test_a_lock_of_codex_is_seen_while_it_is_held(sink: MemorySink, restore: Restore, tmp_path: Path) -> None:
    make_codex(tmp_path / "old")
    archive_home(sink, "codex", tmp_path / "old")
    lock = put_text(tmp_path / "new", f"thread-writer-locks/{A}.lock", "")
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = restore(B, "--into", "codex", "--home", tmp_path / "new")  # its parent is at work
        assert done.exit_code == 1
        assert "is held" in done.stderr
    assert restore(B, "--into", "codex", "--home", tmp_path / "new").exit_code == 0


def test_an_archived_thread_goes_where_codex_resumes_it(sink: MemorySink, restore: Restore, tmp_path: Path) -> None:
    name = f"rollout-2026-11-28T01-49-17-{A}.jsonl"
    put(tmp_path / "old", f"archived_sessions/{name}", meta(A), {"n": 1})
    archive_home(sink, "codex", tmp_path / "old")
    assert restore(A, "--into", "codex", "--home", tmp_path / "new").exit_code == 0
    assert [*read_tree(tmp_path / "new")] == [f"sessions/2026/11/28/{name}"]
    (note,) = recall(tmp_path / "state" / "history-sink").values()
    assert note.session == f"codex.{A}.archived"


def test_gemini_goes_to_the_folder_that_the_project_has_claimed(
    sink: MemorySink, restore: Restore, tmp_path: Path
) -> None:
    chat = f"session-2026-11-29T01-59-{A[:8]}.jsonl"
    put(tmp_path / "old", f"tmp/proj/chats/{chat}", {"sessionId": A}, {"n": 1})
    put_text(tmp_path / "old", f"tmp/proj/tool-outputs/session-{A}/out.txt", "x")
    archive_home(sink, "gemini", tmp_path / "old")
    project = (tmp_path / "Other_Proj").resolve()
    project.mkdir()
    done = restore(A, "--into", "gemini", "--home", tmp_path / "new", "--project", project)
    assert done.exit_code == 0, done.output
    assert {*read_tree(tmp_path / "new")} == {
        f"tmp/other-proj/chats/{chat}",
        f"tmp/other-proj/tool-outputs/session-{A}/out.txt",
    }
    assert "sessionRetention" in done.stderr
    put_text(tmp_path / "claimed", "tmp/other-proj/.project_root", "/somebody/else")
    done = restore(A, "--into", "gemini", "--home", tmp_path / "claimed", "--project", project)
    assert done.exit_code == 1
    assert "/somebody/else" in done.stderr
    put_text(tmp_path / "claimed", "tmp/other-proj-1/.project_root", str(project))
    assert restore(A, "--into", "gemini", "--home", tmp_path / "claimed", "--project", project).exit_code == 0
    assert (tmp_path / "claimed" / "tmp" / "other-proj-1" / "chats" / chat).exists()


def test_qwen_resumes_elsewhere_only_with_another_first_line(
    sink: MemorySink, restore: Restore, tmp_path: Path
) -> None:
    put(tmp_path / "old", f"projects/-w-proj/chats/{A}.jsonl", {"cwd": "/w/proj", "é": "é"}, {"cwd": "/w/proj"})
    archive_home(sink, "qwen", tmp_path / "old")
    project = (tmp_path / "other").resolve()
    project.mkdir()
    done = restore(A, "--into", "qwen", "--home", tmp_path / "new", "--project", project)
    assert done.exit_code == 1
    assert "--rewrite-cwd" in done.stderr
    assert not (tmp_path / "new").exists()
    for word in ("write", "there"):
        done = restore(A, "--into", "qwen", "--home", tmp_path / "new", "--project", project, "--rewrite-cwd")
        assert done.exit_code == 0, done.output
        assert done.stdout.split()[0] == word
    (body,) = read_tree(tmp_path / "new").values()
    assert [json.loads(line) for line in body.splitlines()] == [{"cwd": str(project), "é": "é"}, {"cwd": "/w/proj"}]
    assert restore(A, "--into", "qwen", "--home", tmp_path / "same").exit_code == 0


@pytest.mark.parametrize(
    ("agent", "old", "new"),
    [
        ("pi", f"sessions/--w-proj--/2026_{A}.jsonl", f"sessions/--{{pi}}--/2026_{A}.jsonl"),
        ("copilot", f"session-state/{A}/events.jsonl", f"session-state/{A}/events.jsonl"),
        ("codetether", f"sessions/{A}.json", f"sessions/{A}.json"),
    ],
)
def test_the_others_come_back_as_they_were(
    sink: MemorySink, restore: Restore, tmp_path: Path, agent: str, old: str, new: str
) -> None:
    path = put(tmp_path / "old", old, {"cwd": "/w/proj"}, {"n": 1})
    archive_home(sink, agent, tmp_path / "old")
    project = (tmp_path / "a-b").resolve()
    project.mkdir()
    done = restore(A, "--into", agent, "--home", tmp_path / "new", "--project", project)
    assert done.exit_code == 0, done.output
    slug = str(project).strip("/").replace("/", "-")
    assert read_tree(tmp_path / "new") == {new.format(pi=slug): path.read_bytes()}


def test_an_id_with_other_characters_is_found_by_itself(sink: MemorySink, restore: Restore, tmp_path: Path) -> None:
    path = put(tmp_path / "old", "projects/-w/a session, of 2.0.jsonl", {"n": 1})
    archive_home(sink, "claude", tmp_path / "old")
    assert restore("a session, of 2.0", "--into", "claude", "--home", tmp_path / "new").exit_code == 0
    assert [*read_tree(tmp_path / "new").values()] == [path.read_bytes()]


def test_codetether_has_a_home_in_each_project(
    sink: MemorySink, restore: Restore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CODETETHER_DATA_DIR", raising=False)
    put(tmp_path / "old", f"sessions/{A}.json", {"id": A}, end="")
    archive_home(sink, "codetether", tmp_path / "old")
    project = tmp_path / "repository" / "below"
    project.mkdir(parents=True)
    (tmp_path / "repository" / ".git").mkdir()
    assert restore(A, "--into", "codetether", "--project", project).exit_code == 0
    assert read_tree(tmp_path / "repository") == {f".codetether-agent/sessions/{A}.json": b'{"id":"%s"}' % A.encode()}


def test_codetethers_document_names_another_directory_only_if_asked(
    sink: MemorySink, restore: Restore, tmp_path: Path
) -> None:
    said = 'say "metadata":{"directory":"/not/this"}'
    document = {
        "id": A,
        "title": said,
        "metadata": {"directory": '/w/"é'},
        "messages": [{"metadata": {"directory": 1}}],
    }
    path = put(tmp_path / "old", f"sessions/{A}.json", document, end="")
    put(tmp_path / "old", f"threads/{A}.jsonl", {"kind": "turn.started"})
    (found, *_) = archive_home(sink, "codetether", tmp_path / "old")
    (entry, *_) = sink.archive.messages(name_manifest(found.session))
    assert entry["cwd"] == '/w/"é'
    project = (tmp_path / "other \\1é").resolve()
    project.mkdir()
    done = restore(A, "--into", "codetether", "--home", tmp_path / "as-it-was", "--project", project)
    assert "--rewrite-cwd" in done.stderr
    assert (tmp_path / "as-it-was" / "sessions" / f"{A}.json").read_bytes() == path.read_bytes()
    for word in ("write", "there"):
        words = ("--home", tmp_path / "new", "--project", project, "--rewrite-cwd")
        done = restore(A, "--into", "codetether", *words)
        assert (done.exit_code, done.stdout.split()[0]) == (0, word), done.output
    written = json.loads((tmp_path / "new" / "sessions" / f"{A}.json").read_text())
    assert written == {**document, "metadata": {"directory": str(project)}}
    assert (tmp_path / "new" / "threads" / f"{A}.jsonl").read_text() == '{"kind":"turn.started"}\n'


def test_a_lock_of_copilot_names_a_process(sink: MemorySink, restore: Restore, tmp_path: Path) -> None:
    put(tmp_path / "old", f"session-state/{A}/events.jsonl", {"type": "session.start"})
    archive_home(sink, "copilot", tmp_path / "old")
    put_text(tmp_path / "new", f"session-state/{A}/inuse.{os.getpid()}.lock", "")
    assert restore(A, "--into", "copilot", "--home", tmp_path / "new").exit_code == 1


def test_of_several_versions_the_last_is_taken_and_told(sink: MemorySink, restore: Restore, tmp_path: Path) -> None:
    first = put(tmp_path / "old", f"sessions/--w--/2026_{A}.jsonl", {"n": 1}, {"n": 2}).read_bytes()
    archive_home(sink, "pi", tmp_path / "old")
    second = put(tmp_path / "old", f"sessions/--w--/2026_{A}.jsonl", {"n": 1}, {"n": 3}).read_bytes()
    time.sleep(0.01)  # another time of writing
    archive_home(sink, "pi", tmp_path / "old")
    done = restore(A, "--into", "pi", "--home", tmp_path / "last")
    assert "2 versions" in done.stderr
    assert [*read_tree(tmp_path / "last").values()] == [second]
    assert restore(A, "--into", "pi", "--home", tmp_path / "main", "--main").exit_code == 0
    assert [*read_tree(tmp_path / "main").values()] == [first]


def test_opencode_gets_a_document_to_import(sink: MemorySink, restore: Restore, tmp_path: Path) -> None:
    with closing(open_opencode(tmp_path / "old")) as database:
        add_session(database, "ses_1")
        add_events(database, "ses_1", [created("ses_1"), message("ses_1", "msg_1"), text("ses_1", "msg_1", "first")])
        add_events(database, "ses_1", [message("ses_1", "msg_2"), text("ses_1", "msg_2", "undone")])
        add_events(database, "ses_1", [("message.removed", {"sessionID": "ses_1", "messageID": "msg_2"})])
        add_events(database, "ses_1", [message("ses_1", "msg_3", "assistant"), text("ses_1", "msg_3", "old")])
        add_events(database, "ses_1", [text("ses_1", "msg_3", "new")])
        archive_home(sink, "opencode", tmp_path / "old")
    done = restore("ses_1", "--into", "opencode", "--dry-run")
    assert (done.exit_code, [*Path().iterdir()]) == (0, []), done.output
    done = restore("ses_1", "--into", "opencode")
    assert done.exit_code == 0, done.output
    document = json.loads(Path("opencode.ses_1.json").read_bytes())
    assert document["info"]["id"] == "ses_1"
    told = [(each["info"]["id"], [part["text"] for part in each["parts"]]) for each in document["messages"]]
    assert told == [("msg_1", ["first"]), ("msg_3", ["new"])]
    assert "opencode import" in done.stdout
    assert restore("ses_1", "--into", "opencode").exit_code == 1


def test_through_real_servers_into_another_home(worker: Worker, environment: Mapping[str, str], tmp_path: Path) -> None:
    del worker
    make_codex(tmp_path / "old")
    token = os.urandom(12).hex()
    put(tmp_path / "old", f"{DAY}{B.replace('b', 'd')}.jsonl", {"text": token})
    tree = read_tree(tmp_path / "old")
    own = producer_environment(environment)
    with HistorySink.from_env(own) as sink:
        archive_home(sink, "codex", tmp_path / "old")
    home = {"HOME": str(tmp_path), "CODEX_HOME": str(tmp_path / "new")}
    command = Command({**own, **home, "MADE_UP_TOKEN": token, "CODETETHER_HISTORY_FILTERS": "redact"})
    for session in (B, B.replace("b", "d")):  # what is restored goes through no filter
        done = command("restore", session, "--into", "codex")
        assert done.status == 0, done.err
    assert read_tree(tmp_path / "new") == tree
