"""examples/: each runs on the real stack as it stands there, and what it archives comes back."""

import ast
import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from history_sink import HistorySink
from history_sink.protocol.lines import encode_line
from stack.stack import producer_environment
from stack.worker import Worker

FOLDER = Path(__file__).parents[1] / "examples"
README = (FOLDER / "README.md").read_text()


@pytest.fixture
def sink(environment: Mapping[str, str], worker: Worker) -> Iterator[HistorySink]:
    del worker  # it answers
    with HistorySink.from_env(environment) as sink:
        yield sink


def run(environment: Mapping[str, str], name: str, *arguments: str, typed: str = "") -> list[str]:
    """The lines that it prints. It is told of the broker and nothing else."""
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"{name}.py"), *arguments],
        input=typed,
        env={**os.environ, **producer_environment(environment)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def block(language: str) -> str:
    return README.partition(f"```{language}\n")[2].partition("```")[0]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_without_its_arguments_says_how_it_is_run(path: Path) -> None:
    assert f"`python examples/{path.name}" in README or f"python examples/{path.name} my-session`" in README
    if path.stem == "read_side":
        return  # it has a use without any
    ended = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert f"python examples/{path.name} " in ended.stderr
    assert "Traceback" not in ended.stderr


def read_messages(sink: HistorySink, session: str) -> list[Any]:
    return [json.loads(line) for line in b"".join(sink.read(session)).splitlines()]


def test_an_agent_loop_sends_each_turn_once(environment: Mapping[str, str], sink: HistorySink) -> None:
    printed = run(environment, "agent_loop", "loop", typed="Hvad er klokken?\nTak\n")
    assert [line.partition(",")[0] for line in printed[:2]] == ["enqueued: 2 messages"] * 2
    assert printed[2:] == ["the store has all of it"]
    assert [each["role"] for each in read_messages(sink, "loop")] == ["user", "assistant"] * 2


def test_agents_share_an_event_loop_and_a_sink(environment: Mapping[str, str], sink: HistorySink) -> None:
    printed = run(environment, "asyncio_agents", "first", "second", "third")
    assert sorted(printed) == ["first: stored", "second: stored", "third: stored"]
    assert [len(read_messages(sink, session)) for session in ("first", "second", "third")] == [6, 6, 6]


def test_a_session_goes_on_in_a_new_process(environment: Mapping[str, str], sink: HistorySink) -> None:
    ends = ["2 messages were sent", "flush: stored"]
    assert run(environment, "resume", "resumed", "What time is it?") == ["0 messages came back", *ends]
    assert run(environment, "resume", "resumed", "And now?") == ["2 messages came back", *ends]
    (log,) = sink.status("resumed").logs
    assert (log.branch, log.messages) == (None, 4)


def test_a_client_without_the_library_saves_with_one_push(
    environment: Mapping[str, str], worker: Worker, sink: HistorySink, tmp_path: Path
) -> None:
    messages = [{"role": "user", "content": "«naïve» 半"}, {"role": "assistant", "content": "😀"}]
    (tmp_path / "messages.json").write_text(json.dumps(messages))
    (printed,) = run(environment, "plain_redis", "theirs", str(tmp_path / "messages.json"))
    record = ast.literal_eval(printed)
    assert (record["status"], record["result"]["outcome"], record["result"]["messages"]) == ("SUCCESS", "stored", 2)
    assert b"".join(sink.read("theirs")) == b"".join(encode_line(message).data for message in messages)
    assert "theirs" in worker.process.log()
    assert "naïve" not in worker.process.log()


def test_the_reading_side_lists_addresses_and_reads(environment: Mapping[str, str], sink: HistorySink) -> None:
    lines = [encode_line({"role": "user", "content": f"{number} æ"}).data for number in range(3)]
    sink.save("read", lines)
    assert sink.flush("read")
    size_bytes = sum(map(len, lines))
    assert f"read: 3 messages, {size_bytes} bytes, 0 branches" in run(environment, "read_side")
    printed = run(environment, "read_side", "read")
    assert printed[0] == f"main log: 3 messages, {size_bytes} bytes"
    assert f"'byte_range': [0, {len(lines[0] + lines[1])}]" in printed[1]
    assert [f"{line}\n".encode() for line in printed[2:4]] == lines[:2]
    assert printed[4:] == [f"read: {size_bytes} bytes"]


def test_the_message_for_other_languages_is_the_one_that_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    tried = json.loads(import_module("plain_redis").make_message("TASK_ID", "SESSION", []))
    tried["body"], tried["properties"]["delivery_tag"] = "BASE64 OF THE BODY", "TAG"
    assert json.loads(block("json")) == tried
    for name in re.findall(r'"([a-z_-]+)":', json.dumps(tried)):
        assert f'"{name}":' in block("js")


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_the_lines_in_javascript_push_that_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With a stand-in for npm's redis that prints what it is to push."""
    (tmp_path / "node_modules" / "redis").mkdir(parents=True)
    (tmp_path / "node_modules" / "redis" / "package.json").write_text('{"type":"module","main":"index.js"}')
    (tmp_path / "node_modules" / "redis" / "index.js").write_text(
        "const client = {connect: async () => client, close: async () => {},"
        " lPush: async (...pushed) => console.log(JSON.stringify(pushed))};"
        " export const createClient = () => client;"
    )
    (tmp_path / "save.mjs").write_text(block("js"))
    done = subprocess.run(["node", "save.mjs"], cwd=tmp_path, capture_output=True, text=True, check=True)
    queue, text = json.loads(done.stdout)
    told = json.loads(text)
    monkeypatch.syspath_prepend(FOLDER)
    messages = [{"role": "user", "content": "What time is it?"}]
    tried = json.loads(import_module("plain_redis").make_message(told["headers"]["id"], "my-session", messages))
    tried["properties"]["delivery_tag"] = told["properties"]["delivery_tag"]
    assert json.loads(base64.b64decode(told.pop("body"))) == json.loads(base64.b64decode(tried.pop("body")))
    assert (queue, told) == ("history.upload", tried)


def test_each_example_is_short_told_of_and_run_here() -> None:
    here = Path(__file__).read_text()
    for path in FOLDER.glob("*.py"):
        assert f'run(environment, "{path.stem}"' in here, path.name
        assert f"]({path.name})" in README, path.name
        assert 15 <= len(path.read_text().splitlines()) <= 45, path.name
