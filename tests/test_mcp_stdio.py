"""`history-sink mcp` as an agent's program starts it: a process that is asked over its stdin and stdout."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp_types import TextResourceContents

from history_sink import HistorySink
from stack.stack import producer_environment
from stack.worker import Worker

COMMAND = str(Path(sys.executable).parent / "history-sink")
SAID = {"role": "user", "content": "Where did we put the key of the shed? 日本"}
LINE = json.dumps(SAID, ensure_ascii=False, separators=(",", ":")) + "\n"
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}


@pytest.fixture
def producer(environment: Mapping[str, str], worker: object, tmp_path: Path) -> dict[str, str]:
    with HistorySink.from_env(producer_environment(environment)) as sink:
        sink.save("Garden", [SAID])
        assert sink.flush("Garden")
    return {**os.environ, **producer_environment(environment), "CODETETHER_DATA_DIR": str(tmp_path)}


def ask(environment: Mapping[str, str], mode: Any, work: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
    async def talk() -> None:
        server = StdioServerParameters(command=COMMAND, args=["mcp"], env=dict(environment))
        async with Client(stdio_client(server), mode=mode) as client:
            await work(client)

    asyncio.run(asyncio.wait_for(talk(), 60))


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_tools_and_resources_answer_in_either_protocol(producer: Mapping[str, str], mode: str, tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        listed = (await client.call_tool("list_sessions", {})).structured_content
        assert [each["session"] for each in listed["sessions"]] == ["Garden"]
        (resource,) = (await client.list_resources()).resources
        (content,) = (await client.read_resource(resource.uri)).contents
        assert isinstance(content, TextResourceContents)
        assert content.text == LINE
        key = {"bucket": "no-such-bucket", "key": "history/Garden/history.jsonl"}
        denied = await client.call_tool("resolve_pointer", key)
        assert denied.structured_content["fault"]["kind"] == "denied"
        shown = await client.call_tool("context_browse", {"session": "Garden", "action": "show", "turn": 0})
        assert shown.structured_content["text"] == SAID["content"]
        assert Path(shown.structured_content["path"]).is_relative_to(tmp_path)

    ask(producer, mode, work)


def test_what_was_said_is_found_and_read(producer: Mapping[str, str], search_worker: Worker) -> None:
    async def work(client: Client) -> None:
        deadline = time.monotonic() + 30
        found: dict[str, Any] = {"hits": []}
        while not found["hits"] and time.monotonic() < deadline:
            found = (await client.call_tool("session_recall", {"query": "key shed"})).structured_content
        (hit,) = found["hits"]
        assert (hit["session"], hit["message"], hit["role"]) == ("Garden", 0, "user")
        assert "key of the shed" in hit["excerpt"]
        read = await client.call_tool("resolve_pointer", hit["handle"])
        assert read.structured_content["text"] == LINE
        nothing = await client.call_tool("session_recall", {"query": "zebra"})
        assert nothing.structured_content["hits"] == []
        assert "is_complete" in nothing.structured_content

    ask(producer, "auto", work)


def test_without_a_broker_it_ends_with_the_variables_name() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CODETETHER_")}
    ended = subprocess.run([COMMAND, "mcp"], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode not in (0, 1)
    assert "CODETETHER_HISTORY_BROKER_URL is not set" in ended.stderr
    assert ended.stdout == ""


def start(environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """One that has answered its first request."""
    process = subprocess.Popen(
        [COMMAND, "mcp"],
        env={**environment, "CODETETHER_HISTORY_BROKER_URL": "redis://127.0.0.1:1/0"},  # nobody is asked
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
    process.stdin.flush()
    answer = json.loads(process.stdout.readline())
    assert answer["result"]["serverInfo"]["name"] == "history-sink"
    return process


def test_it_ends_when_its_client_does() -> None:
    process = start(os.environ)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, output, errors) == (0, b"", b"")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_at_a_signal(number: signal.Signals) -> None:
    process = start(os.environ)
    process.send_signal(number)
    begun = time.monotonic()
    assert process.wait(timeout=30) == 128 + number
    assert time.monotonic() - begun < 20
    assert process.communicate(timeout=30) == (b"", b"")


def test_without_its_extra_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['mcp'] = None\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ended = subprocess.run([COMMAND, "mcp"], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.stderr == "Error: mcp needs the extra: pip install 'history-sink[mcp]'\n"
    assert ended.returncode == 1


@pytest.mark.system  # the registry has it
def test_a_client_of_the_older_sdk_is_answered(producer: Mapping[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "older"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
    python = str(folder / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", "mcp>=1.30,<2"], check=True, timeout=110)
    client = str(Path(__file__).parent / "support" / "mcp_1_client.py")
    asked = [python, client, COMMAND]
    ended = subprocess.run(asked, env=producer, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["protocol"] == "2025-11-25"
    assert "session_recall" in told["tools"]
    assert [each["session"] for each in told["sessions"]] == ["Garden"]
    assert (told["fault"], told["text"]) == ("denied", LINE)
