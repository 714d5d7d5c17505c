"""The real Claude Code, with a scripted model on loopback: it starts `history-sink mcp`, calls a tool, and goes on."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import claude_agent_sdk as sdk
import pytest

from history_sink import HistorySink, Recalled
from scripted_model import ScriptedModel
from stack.processes import wait_until
from stack.stack import producer_environment

CLAUDE = Path(sdk.__file__).parent / "_bundled" / "claude"
COMMAND = str(Path(sys.executable).parent / "history-sink")

pytestmark = [
    pytest.mark.system,  # it starts a program that others make, as root
    pytest.mark.skipif(not CLAUDE.exists(), reason="this platform's wheel of the SDK has no program in it"),
]


def found(sink: HistorySink) -> bool:
    answer = sink.recall("key shed")
    return isinstance(answer, Recalled) and bool(answer.hits)


def run_claude(home: Path, url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "made-up",
        "HTTPS_PROXY": "http://127.0.0.1:9",  # nothing leaves this machine
        "NO_PROXY": "127.0.0.1",
        "IS_SANDBOX": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
    }
    return subprocess.run(
        [str(CLAUDE), *arguments],
        env=environment,
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize(
    ("tool", "asked"), [("list_sessions", {}), ("session_recall", {"query": "the key of the shed"})]
)
def test_claude_code_calls_a_tool_and_gets_its_answer(
    environment: Mapping[str, str],
    worker: object,
    search_worker: object,
    tmp_path: Path,
    tool: str,
    asked: dict[str, Any],
) -> None:
    with HistorySink.from_env(producer_environment(environment)) as sink:
        sink.save("Garden", [{"role": "user", "content": "Where did we put the key of the shed?"}])
        assert sink.flush("Garden")
        wait_until(lambda: found(sink), timeout_seconds=60, what="the index")
    variables = [f"--env={name}={value}" for name, value in producer_environment(environment).items()]
    added = run_claude(
        tmp_path,
        "http://127.0.0.1:9",
        "mcp",
        "add",
        "--scope",
        "user",
        "history-sink",
        *variables,
        "--",
        COMMAND,
        "mcp",
    )
    assert added.returncode == 0, (added.stdout, added.stderr)
    model = ScriptedModel(f"mcp__history-sink__{tool}", asked)
    with model.serve() as url:
        ended = run_claude(tmp_path, url, "-p", "Look it up.", "--allowedTools", f"mcp__history-sink__{tool}")
    assert ended.returncode == 0, (ended.stdout, ended.stderr)
    assert ended.stdout.strip() == "Done."
    (result, *_) = model.results
    assert "Garden" in json.dumps(result)
