"""The commands that plug agents in, where a new user has no home, no rights, no worker, or names what is not there."""

import os
import sys
from pathlib import Path

import pytest

from command import Command, Ended
from forked_command import ForkedCommand
from stack.redis import RedisServer

BROKER_URL = "CODETETHER_HISTORY_BROKER_URL"
AWAY = {BROKER_URL: "redis://127.0.0.1:1/0"}
SESSION = "aaaaaaaa-1111-4222-8333-aaaaaaaaaaaa"

HOMELESS = ["agents", "watch --once", "watch --print-unit launchd", "restore x --into pi", "prune --verified"]

NO_HOME = """
import pathlib

def home():
    raise RuntimeError("Could not determine home directory.")

pathlib.Path.home = home
"""


def is_one_line(ended: Ended) -> bool:
    """Whether it says in a line what is wrong, below click's usage at most."""
    return "Traceback" not in ended.err and ended.err.count("Error: ") == 1 and ended.err.rstrip().count("\nError") <= 1


@pytest.mark.parametrize("words", HOMELESS)
def test_a_user_without_a_home_is_told_so(words: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_HOME)
    ended = Command({**AWAY, "PYTHONPATH": str(tmp_path)})(*words.split())
    assert ended.status == 2, ended.err
    assert is_one_line(ended)
    assert "HOME" in ended.err


@pytest.mark.parametrize("words", ["watch --once", "watch"])
def test_a_state_that_cannot_be_written_is_named(words: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = ForkedCommand({**AWAY, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "file")})(*words.split())
    assert ended.status == 1
    assert is_one_line(ended)
    assert str(tmp_path / "file") in ended.err
    assert "--state" in ended.err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("agents cursor", "'cursor'"),
        ("watch --agent cursor", "'cursor'"),
        ("restore x --into cursor", "'cursor'"),
        ("prune --verified cursor", "'cursor'"),
        ("prune", "--verified"),
        (f"restore claude.{SESSION} --into codex", "--into claude"),
        ("restore x --into claude --project /not/there", "/not/there"),
        ("redact /not/there", "/not/there"),
        ("keys rotate /not/there", "/not/there"),
    ],
)
def test_what_is_not_there_is_named_before_anybody_is_asked(words: str, named: str, tmp_path: Path) -> None:
    ended = ForkedCommand({**AWAY, "HOME": str(tmp_path)})(*words.split())
    assert ended.status in (1, 2)
    assert is_one_line(ended), ended.err
    assert named in ended.err
    assert not [*tmp_path.iterdir()]


def test_a_session_without_a_name_is_none(tmp_path: Path) -> None:
    ended = ForkedCommand({**AWAY, "HOME": str(tmp_path)})("restore", "", "--into", "claude")
    assert (ended.status, "SESSION is empty" in ended.err) == (2, True)


@pytest.mark.parametrize(
    "words",
    ["agents", "watch --once", "restore x --into claude", "prune --verified", "export x out", "recall x", "list"],
)
def test_a_broker_that_is_away_is_named(words: str, tmp_path: Path) -> None:
    put_old_session(tmp_path)
    ended = ForkedCommand({**AWAY, "HOME": str(tmp_path)})(*words.split())
    assert ended.status == 4
    assert is_one_line(ended), ended.err
    assert "broker" in ended.err
    assert (tmp_path / ".claude" / "projects" / "-w" / f"{SESSION}.jsonl").read_text() == "{}\n"


@pytest.mark.parametrize("words", ["agents", "restore x --into claude", "prune --verified", "export x out", "recall x"])
def test_a_worker_that_does_not_answer_is_named(words: str, redis_server: RedisServer, tmp_path: Path) -> None:
    put_old_session(tmp_path)
    command = ForkedCommand({BROKER_URL: redis_server.new_database(), "HOME": str(tmp_path)})
    ended = command(*words.split(), "--timeout", "1")
    assert ended.status == 4
    assert is_one_line(ended), ended.err
    assert "no worker answered" in ended.err
    assert "?." not in ended.err


@pytest.mark.parametrize(
    ("module", "words", "extra"),
    [
        ("watchfiles", "watch", "watch"),
        ("mcp", "mcp", "mcp"),
        ("starlette", "view", "web"),
        ("uvicorn", "view", "web"),
        ("redact_secret", f"redact {sys.executable}", "redact"),
    ],
)
def test_a_missing_extra_is_named(module: str, words: str, extra: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules[{module!r}] = None\n")
    ended = Command({**AWAY, "PYTHONPATH": str(tmp_path)})(*words.split())
    assert ended.status in (1, 2)
    assert is_one_line(ended), ended.err
    assert f"history-sink[{extra}]" in ended.err


def put_old_session(home: Path) -> None:
    folder = home / ".claude" / "projects" / "-w"
    folder.mkdir(parents=True)
    path = folder / f"{SESSION}.jsonl"
    path.write_text("{}\n")
    os.utime(path, (1, 1))
