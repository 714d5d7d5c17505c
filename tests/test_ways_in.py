"""README's three ways in: the lines for an agent and for an SDK, pasted and run. The third way is in test_readme.py."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import claude_agent_sdk as sdk
import pytest

from history_sink import HistorySink
from stack.stack import producer_environment
from test_readme import block_with

PROGRAMS = Path(sys.executable).parent
CLAUDE = Path(sdk.__file__).parent / "_bundled" / "claude"
SESSION = "0a1b2c3d-0000-4000-8000-00000000abcd"
LINES = [
    {"type": "user", "uuid": "1", "sessionId": SESSION, "message": {"role": "user", "content": "Mend the door"}},
    {"type": "assistant", "uuid": "2", "sessionId": SESSION, "message": {"role": "assistant", "content": "Mended"}},
]


@pytest.mark.skipif(not CLAUDE.exists(), reason="this platform's wheel of the SDK has no program in it")
def test_the_three_lines_for_an_agent_archive_its_sessions_and_give_it_the_archive(
    environment: Mapping[str, str], worker: object, tmp_path: Path
) -> None:
    programs, home = tmp_path / "bin", tmp_path / "home"
    transcript = home / ".claude" / "projects" / "-srv-app" / f"{SESSION}.jsonl"
    transcript.parent.mkdir(parents=True)
    transcript.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    programs.mkdir()
    (programs / "claude").symlink_to(CLAUDE)
    broker = producer_environment(environment)["CODETETHER_HISTORY_BROKER_URL"]
    lines = block_with("sh", "history-sink watch --once").replace("redis://localhost:6379/0", broker)
    assert len(lines.splitlines()) == 3
    system = {"PATH": f"{programs}:{PROGRAMS}:{os.environ['PATH']}", "HOME": str(home), "DISABLE_AUTOUPDATER": "1"}
    ended = subprocess.run(
        ["sh", "-ec", lines], env=system, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert ended.returncode == 0, (ended.stdout, ended.stderr)
    with HistorySink(broker_url=broker) as sink:
        assert b"".join(sink.read(f"claude.{SESSION}")) == transcript.read_bytes()
    configured = json.loads((home / ".claude.json").read_text())["mcpServers"]["history-sink"]
    assert (configured["command"], configured["args"]) == ("history-sink", ["mcp"])


def test_the_three_lines_for_an_sdk_make_options_that_resume(
    environment: Mapping[str, str], worker: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in producer_environment(environment).items():
        monkeypatch.setenv(name, value)
    lines = block_with("python", "stores.claude")
    assert len(lines.splitlines()) == 3
    names: dict[str, Any] = {"ClaudeAgentOptions": sdk.ClaudeAgentOptions, "session_id": SESSION}
    exec(lines, names)
    store, key = names["options"].session_store, cast("sdk.SessionKey", {"project_key": "p", "session_id": SESSION})

    async def mirror() -> object:
        await store.append(key, LINES)
        return await store.load(key)

    assert asyncio.run(mirror()) == LINES
    assert names["options"].resume == SESSION
