"""Each block of code that a page shows is run as it stands there, here or by another test, or says here why not."""

import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import claude_agent_sdk
import pytest
import yaml

import history_sink
from agent_homes import A, put
from history_sink import HistorySink
from history_sink.testing import MemorySink
from history_sink_worker.tenancy import find_trespass
from stack.stack import producer_environment
from stack.worker import Worker

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", "examples/README.md"]
PAGES += sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))
BLOCKS: list[tuple[str, str, str]] = [
    (page, language, code)
    for page in PAGES
    for language, code in re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    if language not in ("mermaid", "text")  # what is printed is compared by the tests of what prints it
]

HERE = "test_snippets.py"
OTHERS = {
    ("README.md", "print(sink.save"): "test_readme.py",
    ("README.md", "history-sink view"): "test_view_servers.py",
    ("README.md", "make demo"): "test_demo.py",
    ("README.md", "sink.pointer("): "test_readme.py",
    ("README.md", "def test_my_agent"): "test_memory_archive.py",
    ("README.md", "from openai"): "test_sdk_objects.py",
    ("README.md", "from anthropic"): "test_sdk_objects.py",
    ("README.md", "def redact"): "test_filters.py",
    ("README.md", "send_task"): "test_readme.py",
    ("README.md", "history-sink-worker run"): "test_readme.py",
    ("README.md", "history-sink check"): "test_readme.py",
    ("examples/README.md", "BASE64 OF THE BODY"): "test_examples.py",
    ("examples/README.md", "node:crypto"): "test_examples.py",
    ("docs/api.md", ""): "test_api_docs.py",
    ("docs/browse.md", "context_browse"): "test_browse_docs.py",
    ("docs/browse.md", "write_markdown"): "test_browse_docs.py",
    ("docs/browse.md", "history-sink view"): "test_view_servers.py",
    ("docs/pages.md", ""): "test_pages_docs.py",
    ("docs/recall.md", "history-sink recall"): "test_recall.py",
    ("docs/recall.md", "sink.recall"): "test_recall.py",
    ("docs/redaction.md", "values_file"): "test_redact_command.py",
    ("docs/stores.md", "ClaudeAgentOptions"): "test_store_docs.py",
    ("docs/stores.md", "Runner.run"): "test_store_docs.py",
    ("docs/stores.md", "pydantic_ai"): "test_store_docs.py",
    ("docs/stores.md", "strands"): "test_store_strands.py",
}
NOT_RUN = {
    ("README.md", "pip install history-sink"): "no package index has it; test_wheel.py installs the wheel",
    ("CONTRIBUTING.md", "make install"): "each is what CI or a person starts; test_readme.py finds the targets",
    ("examples/README.md", "make services"): "they run until Ctrl-C; test_ways_in.py starts them",
    ("docs/mcp.md", "pip install"): "no package index has it",
    ("docs/operations.md", "kubectl"): "no cluster; test_deploy.py reads the files",
    ("docs/operations.md", "systemctl"): "no systemd; test_deploy.py reads the units",
    ("docs/performance.md", "make bench"): "minutes, and a machine to itself",
    ("docs/recall.md", "history-sink-worker run"): "as test_recall.py's search worker is started, in another folder",
}
RUN = {
    ("README.md", "claude mcp add"),
    ("docs/agents.md", "history-sink agents"),
    ("docs/browse.md", "history-sink export"),
    ("docs/operations.md", "history-sink-worker doctor"),
    ("docs/redaction.md", "history-sink redact"),
    ("docs/retention.md", "delete monday"),
    ("docs/retention.md", "prune --older-than"),
    ("docs/retention.md", "history-sink-worker verify"),
    ("docs/sealing.md", "history-sink keys make"),
    ("docs/watch.md", "--once --verbose"),
    ("docs/watch.md", "--print-unit"),
}
OWN = {("README.md", "resume=session_id"), ("docs/operations.md", "scrape_configs"), ("docs/tenants.md", "send_task")}
NOT_HERE = re.compile(
    r"pip install|export \w+_BROKER_URL|claude |curl |systemctl |launchctl |history-sink watch( --agent|  +#)"
)
"""What another program does, what a test has done already, and what ends with Ctrl-C only."""


def find_block(page: str, text: str) -> str:
    found = [code for where, _, code in BLOCKS if where == page and text in code]
    assert len(found) == 1, (page, text, len(found))
    return found[0]


def test_each_block_is_run_or_says_why_not() -> None:
    told = {**OTHERS, **NOT_RUN, **dict.fromkeys([*RUN, *OWN], HERE)}
    for page, _, code in BLOCKS:
        assert any(where == page and text in code for where, text in told), (page, code)
    for page, text in told:
        assert any(where == page and text in code for where, _, code in BLOCKS), (page, text)
    assert all((ROOT / "tests" / file).exists() for file in OTHERS.values())


@pytest.mark.parametrize(("page", "language", "code"), BLOCKS, ids=lambda each: each[:30])
def test_each_file_that_a_block_names_is_there(page: str, language: str, code: str) -> None:
    for name in re.findall(r"(?<![\w/~.-])(?:deploy|examples|bench|docs)/[\w./-]*\w", code):
        assert (ROOT / name).exists(), (page, language, name)


@pytest.fixture
def place(environment: Mapping[str, str], worker: Worker, tmp_path: Path) -> dict[str, str]:
    """The variables of a person who has the sessions that the pages name, in a home of their own."""
    del worker  # it answers
    (tmp_path / "my-project").mkdir()
    written = put(tmp_path, f".claude/projects/-w-proj/{A}.jsonl", {"sessionId": A, "cwd": "/w/proj", "type": "user"})
    os.utime(written, (time.time() - 600,) * 2)  # else its agent may be at work on it
    put(tmp_path, ".agent/sessions/SESSION.jsonl", {"role": "user", "content": "Hello"})
    turns = [{"role": "tool" if n % 2 else "user", "content": f"permission denied {n}"} for n in range(8)]
    with HistorySink.from_env(producer_environment(environment)) as sink:
        sink.save("my-session", turns)
        sink.save("monday", turns)
        assert sink.flush("my-session")
        sink.flush("monday")  # not asked: a page's lines delete it
    own = {name: value for name, value in os.environ.items() if not name.startswith(("CODETETHER_", "XDG_", "CLAUDE"))}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**own, **environment, "HOME": str(tmp_path), "PATH": path}


@pytest.mark.parametrize(("page", "text"), sorted(RUN), ids=lambda each: each)
def test_the_lines_run_as_they_stand_there(page: str, text: str, place: Mapping[str, str], tmp_path: Path) -> None:
    if "restore SESSION" in (block := find_block(page, text)):
        run("history-sink watch --once", place, tmp_path)
        block = block.replace(
            "SESSION", re.findall(rb"claude\S*", run("history-sink list", place, tmp_path))[0].decode()
        )
    lines = [line for line in block.splitlines() if not NOT_HERE.match(line)]
    assert lines
    run("\n".join(lines), place, tmp_path)


def run(lines: str, variables: Mapping[str, str], folder: Path) -> bytes:
    done = subprocess.run(
        ["sh", "-e", "-c", lines],
        input=b"y\n",
        cwd=folder,
        env=variables,
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, (lines, done.stdout, done.stderr)
    return done.stdout


def test_the_readmes_lines_for_the_claude_agent_sdk_make_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_sink, "HistorySink", MemorySink)
    names: dict[str, Any] = {"session_id": A, "ClaudeAgentOptions": claude_agent_sdk.ClaudeAgentOptions}
    exec(find_block("README.md", "resume=session_id"), names)
    assert isinstance(names["options"], claude_agent_sdk.ClaudeAgentOptions)
    assert names["options"].resume == A


def test_a_tenants_client_sends_what_its_workers_take() -> None:
    sent: dict[str, Any] = {}

    def send_task(name: str, args: object, queue: str, task_id: str) -> None:
        sent.update(payload=[args, {}, {}], headers={"task": name, "id": task_id}, delivery_info={"routing_key": queue})

    exec(
        find_block("docs/tenants.md", "send_task"),
        {"app": SimpleNamespace(send_task=send_task), "uuid": uuid, "messages": []},
    )
    assert find_trespass(SimpleNamespace(**sent)) is None


def test_the_scrape_configuration_is_one() -> None:
    (job,) = yaml.safe_load(find_block("docs/operations.md", "scrape_configs"))["scrape_configs"]
    assert set(job) == {"job_name", "dns_sd_configs"}
