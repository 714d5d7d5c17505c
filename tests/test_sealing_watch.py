"""A watched session goes through redaction and sealing, and comes back into its agent: by the commands, on servers."""

import json
from collections.abc import Mapping
from pathlib import Path

from bench.planted_secrets import Mint
from command import Command
from stack.stack import producer_environment
from stack.worker import Worker

SESSION = "5ea1ed00-1111-4222-8333-444444444444"


def write_session(home: Path, count: int, token: str) -> Path:
    """As Claude Code lays one out."""
    path = home / ".claude" / "projects" / "-work" / f"{SESSION}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    envelope = {"type": "user", "sessionId": SESSION, "cwd": "/work"}
    messages = [{"role": "user", "content": f"{number} {token}"} for number in range(count)]
    lines = [{**envelope, "uuid": f"u{number}", "message": each} for number, each in enumerate(messages)]
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    return path


def test_a_watched_session_is_redacted_sealed_and_restored(
    environment: Mapping[str, str], worker: Worker, tmp_path: Path
) -> None:
    del worker  # it answers
    home, other, masters, token = tmp_path / "home", tmp_path / "other", tmp_path / "masters", Mint(1).checked("ghp_")
    variables = {"HOME": str(home), "XDG_STATE_HOME": str(tmp_path / "state"), **producer_environment(environment)}
    assert Command(variables)("keys", "make", masters).status == 0
    variables |= {"CODETETHER_HISTORY_SEAL_MASTER_FILE": str(masters), "CODETETHER_HISTORY_FILTERS": "redact,seal"}
    for count, state in ((3, "state"), (5, "state"), (6, "lost")):
        path = write_session(home, count, token)
        done = Command({**variables, "XDG_STATE_HOME": str(tmp_path / state)})("watch", "--once")
        assert done.status == 0, done.err
    plain = Command({**variables, "CODETETHER_HISTORY_FILTERS": ""})
    stored = {name: plain("resolve", "--stored", name).out for name in (f"claude.{SESSION}",)}
    assert all(body and token.encode() not in body and b"/work" not in body for body in stored.values())
    assert plain("resolve", f"claude.{SESSION}").out == path.read_bytes().replace(
        token.encode(), b"[REDACTED:github_token]"
    )
    assert b"branch" not in plain("status", f"claude.{SESSION}").out
    other.mkdir()
    restored = Command({**variables, "HOME": str(other)})("restore", f"claude.{SESSION}", "--into", "claude")
    assert restored.status == 0, restored.err
    back = next((other / ".claude").rglob(f"{SESSION}.jsonl"))
    assert back.read_text() == path.read_text().replace(token, "[REDACTED:github_token]")
