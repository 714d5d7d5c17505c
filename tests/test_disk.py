"""`history-sink agents` and `history-sink prune --verified`: what is on this machine, and what of it may go."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent_homes import A, B, C, add_events, add_session, archive_home, created, open_opencode, put, put_text
from command import Command, objects
from history_sink import HistorySink, Unavailable
from history_sink.testing import MemorySink
from history_sink_agents.disk import prune_command, survey_command
from history_sink_agents.formats.names import name_manifest
from stack.stack import producer_environment
from stack.worker import Worker

Run = Callable[..., Result]
DAYS = 86_400


@pytest.fixture
def sink() -> Iterator[MemorySink]:
    with MemorySink() as sink:
        yield sink


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The user's, with nothing in it."""
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "XDG_DATA_HOME", "GEMINI_CLI_HOME", "CODETETHER_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CODETETHER_HISTORY_BROKER_URL", "redis://in-memory.invalid/0")
    return tmp_path


@pytest.fixture
def run(sink: MemorySink, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A command on the archive in memory."""

    @contextmanager
    def open_reader() -> Iterator[HistorySink]:
        with MemorySink(sink.archive) as own:
            yield own

    commands = {"agents": survey_command.agents_command, "prune": prune_command.prune}
    for module in (survey_command, prune_command):
        monkeypatch.setattr(module, "open_reader", open_reader)
    return lambda name, *words, **more: CliRunner().invoke(commands[name], [str(word) for word in words], **more)


def make_claude(home: Path, session: str = A) -> list[Path]:
    folder = f".claude/projects/-w/{session}"
    return [
        put(home, f"{folder}.jsonl", {"n": 1}, {"n": 2}),
        put(home, f"{folder}/subagents/agent-a.jsonl", {"n": 3}),
        put_text(home, f"{folder}/tool-results/x.txt", "no newline"),
        put_text(home, f"{folder}/tool-results/empty.txt", ""),
    ]


def age(home: Path, days: float = 40) -> None:
    for path in home.rglob("*"):
        os.utime(path, (time.time() - days * DAYS,) * 2)


def test_what_is_here_is_counted_and_how_far_it_is_archived(sink: MemorySink, run: Run, home: Path) -> None:
    make_claude(home)
    archive_home(sink, "claude", home / ".claude")
    main = put(home, f".claude/projects/-w/{A}.jsonl", {"n": 1}, {"n": 2}, {"n": 3})
    size = sum(path.stat().st_size for path in (home / ".claude").rglob("*") if path.is_file())
    done = run("agents", "--json")
    assert done.exit_code == 0, done.output
    (told,) = map(json.loads, done.stdout.splitlines())
    assert (told["agent"], told["sessions"], told["files"], told["behind"]) == ("claude", 1, 4, 1)
    assert (told["bytes"], told["archived_bytes"]) == (size, size - len('{"n":3}\n'))
    done = run("agents", "--files", "--json")
    told = {each["session"]: each for each in map(json.loads, done.stdout.splitlines())}
    assert told[f"claude.{A}"] == {
        "session": f"claude.{A}",
        "path": str(main),
        "bytes": main.stat().st_size,
        "archived_bytes": main.stat().st_size - len('{"n":3}\n'),
    }
    assert "BEHIND" in run("agents").stdout


def test_without_a_broker_only_this_machine_is_looked_at(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CODETETHER_HISTORY_BROKER_URL")
    assert "are here" in run("agents").stderr
    make_claude(home)
    done = run("agents")
    assert (done.exit_code, "was not asked" in done.stderr) == (0, True)
    assert "claude" in done.stdout


def test_where_the_archive_does_not_answer_this_machine_is_shown_all_the_same(
    sink: MemorySink, run: Run, home: Path
) -> None:
    make_claude(home)
    put(home, f".pi/agent/sessions/--w--/2026_{A}.jsonl", {"n": 1})
    with sink.archive.broker_away():
        done = run("agents", "--json")
    told = {each["agent"]: each for each in map(json.loads, done.stdout.splitlines())}
    assert {name: each["archived_bytes"] for name, each in told.items()} == {"claude": None, "pi": None}
    assert (told["claude"]["files"], told["pi"]["files"]) == (4, 1)
    assert isinstance(done.exception, Unavailable)  # which the command tells as all others do


def test_a_database_is_counted_by_its_events_and_one_that_cannot_be_read_is_told(
    sink: MemorySink, run: Run, home: Path
) -> None:
    place = home / ".local" / "share" / "opencode"
    database = open_opencode(place)
    add_session(database, "ses_1")
    add_events(database, "ses_1", [created("ses_1")])
    archive_home(sink, "opencode", place)
    (told,) = map(json.loads, run("agents", "--json").stdout.splitlines())
    assert (told["sessions"], told["behind"], told["archived_bytes"]) == (1, 0, told["bytes"])
    database.execute("DROP TABLE event")
    database.close()
    done = run("agents")
    assert (done.exit_code, "no such table" in done.stderr) == (1, True)


def test_prune_needs_the_word(run: Run, home: Path) -> None:
    make_claude(home)
    age(home)
    assert run("prune", "--yes").exit_code == 2
    assert len([*home.rglob("*.jsonl")]) == 2


def test_an_old_session_that_the_store_holds_goes_and_a_young_one_stays(sink: MemorySink, run: Run, home: Path) -> None:
    old = make_claude(home)
    age(home)
    young = make_claude(home, B)
    os.utime(young[0], (0, 0))  # one old file of a session is not enough
    archive_home(sink, "claude", home / ".claude")
    done = run("prune", "--verified", "--dry-run")
    assert (done.exit_code, "would go" in done.stdout) == (0, True), done.output
    assert run("prune", "--verified", input="n\n").exit_code == 0
    assert all(path.exists() for path in old)
    done = run("prune", "--verified", input="y\n")
    assert done.exit_code == 0, done.output
    assert "Delete 4 files of 1 sessions of claude" in done.stderr
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in young)


def test_a_file_that_was_rewritten_after_it_was_proven_stays_whatever_its_time_and_size(
    sink: MemorySink, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path, *_) = make_claude(home)
    archive_home(sink, "claude", home / ".claude")
    age(home)

    def rewrite_and_agree(*_: object) -> bool:
        told = path.stat()
        change_last(path)
        os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns))
        assert (path.stat().st_size, path.stat().st_mtime_ns) == (told.st_size, told.st_mtime_ns)
        return True

    monkeypatch.setattr(prune_command, "_ask", rewrite_and_agree)
    done = run("prune", "--verified")
    assert (done.exit_code, "has changed meanwhile, and stays" in done.stderr) == (1, True), done.output
    assert path.exists()


def change_last(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3] + b"9}\n")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda sink, paths: change_last(paths[0]), "other bytes"),
        (lambda sink, paths: paths[1].write_text('{"n":3}\n{"torn'), "not all of it"),
        (lambda sink, paths: paths[2].write_text("other text"), "other bytes"),
        (lambda sink, paths: paths[3].write_text("no longer empty"), "not all of it"),
        (lambda sink, paths: sink.archive.delete(f"claude.{A}"), "not all of it"),
        (lambda sink, paths: sink.archive.delete(name_manifest(f"claude.{A}")), "no manifest"),
        (lambda sink, paths: put(paths[0].parent, f"{A}/subagents/agent-new.jsonl", {"n": 1}), "does not name it"),
    ],
)
def test_what_is_not_in_the_store_to_its_last_byte_stays(
    sink: MemorySink, run: Run, home: Path, spoil: Callable[[MemorySink, list[Path]], object], reason: str
) -> None:
    paths = make_claude(home)
    archive_home(sink, "claude", home / ".claude")
    spoil(sink, paths)
    age(home)
    done = run("prune", "--verified", "--yes")
    assert done.exit_code == 1
    assert reason in done.stdout
    assert all(path.exists() for path in paths)


def test_an_older_version_that_lies_in_a_branch_is_held_too(sink: MemorySink, run: Run, home: Path) -> None:
    paths = make_claude(home)
    archive_home(sink, "claude", home / ".claude")
    change_last(paths[0])
    archive_home(sink, "claude", home / ".claude")
    age(home)
    assert run("prune", "--verified", "--yes").exit_code == 0
    assert not paths[0].exists()


def test_a_thread_that_a_younger_fork_stands_on_stays(sink: MemorySink, run: Run, home: Path) -> None:
    def rollout(thread: str, base: str | None) -> Path:
        history = {"history_base": {"thread_id": base, "end_byte_offset": 1}} if base else {}
        name = f".codex/sessions/rollout-2026-11-29T01-49-17-{thread}.jsonl"
        return put(home, name, {"type": "session_meta", "payload": {"id": thread, **history}})

    first, second = rollout(A, None), rollout(B, A)
    age(home)
    third = rollout(C, B)
    archive_home(sink, "codex", home / ".codex")
    assert run("prune", "--verified", "--yes").exit_code == 0
    assert all(path.exists() for path in (first, second, third))
    age(home)
    assert run("prune", "--verified", "--yes").exit_code == 0
    assert not any(path.exists() for path in (first, second, third))


def test_a_session_at_work_and_a_database_are_never_touched(sink: MemorySink, run: Run, home: Path) -> None:
    paths = make_claude(home)
    archive_home(sink, "claude", home / ".claude")
    put(home, ".claude/sessions/1.json", {"sessionId": A, "pid": os.getpid()})
    open_opencode(home / ".local" / "share" / "opencode").close()
    age(home)
    done = run("prune", "--verified", "--yes")
    assert (done.exit_code, "at work" in done.stdout) == (1, True)
    assert all(path.exists() for path in paths)
    assert (home / ".local/share/opencode/opencode.db").exists()
    assert run("prune", "opencode", "--verified").exit_code == 2


def test_a_store_that_is_away_keeps_all_of_it(sink: MemorySink, run: Run, home: Path) -> None:
    paths = make_claude(home)
    archive_home(sink, "claude", home / ".claude")
    age(home)
    with sink.archive.store_away():
        assert run("prune", "--verified", "--yes").exit_code == 1
    assert all(path.exists() for path in paths)


def test_on_real_servers_it_goes_and_comes_back(worker: Worker, environment: Mapping[str, str], home: Path) -> None:
    del worker
    paths = make_claude(home)
    before = {path: path.read_bytes() for path in paths}
    own = producer_environment(environment)
    with HistorySink.from_env(own) as sink:
        archive_home(sink, "claude", home / ".claude")
    age(home)
    command = Command({**own, "HOME": str(home), "XDG_STATE_HOME": str(home / "state")})
    (told,) = objects(command("agents", "--json"))
    assert (told["behind"], told["archived_bytes"]) == (0, told["bytes"])
    done = command("prune", "--verified", "--yes")
    assert done.status == 0, done.err
    assert not any(path.exists() for path in paths)
    assert command("restore", A, "--into", "claude").status == 0
    assert {path: path.read_bytes() for path in paths} == before
