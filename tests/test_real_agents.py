"""Real agents go on with sessions that were archived, lost, and restored into another home and another project.

`make test-agents` runs these, as root: it installs the programs from npm, and they run in a network of their own, where
a scripted model answers them. What the model was asked shows whether an agent still has its old turns.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from command import Command, Ended
from history_sink import HistorySink
from sink_places import WORKER_COMMAND
from stack.agents import drivers, programs
from stack.agents.drivers import Driver
from stack.agents.network import AgentNetwork
from stack.agents.script import write_script
from stack.processes import wait_until
from stack.stack import producer_environment
from stack.worker import Worker

pytestmark = [pytest.mark.agents, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentNetwork]:
    network = AgentNetwork(tmp_path_factory.mktemp("model"))
    network.start()
    yield network
    network.stop()


class Lab:
    """An old home and an old project, a new home and a new project, and the archive between them."""

    def __init__(self, network: AgentNetwork, environment: Mapping[str, str], folder: Path) -> None:
        self.network = network
        self.home, self.project = folder / "old-home", folder / "work" / "old-project"
        self.new_home, self.new_project = folder / "new.home", folder / "else" / "new_project"
        for project in (self.project, self.new_project):
            project.mkdir(parents=True)
            subprocess.run(["git", "init", "-q", str(project)], check=True, timeout=30)
        self.new_home.mkdir()
        self._variables = producer_environment(environment)

    def archive(self, agent: str, **variables: str) -> None:
        """All that there is of an agent, by the watch; and then the old home is lost."""
        check(self._run(self.home, **variables)("watch", "--once", "--agent", agent))
        shutil.rmtree(self.home)

    def archive_again(self, agent: str, session: str) -> None:
        """What has been written in the new home goes on with the logs that there are."""
        with HistorySink.from_env(self._variables) as sink:
            before = sink.status(session)
            check(self._run(self.new_home)("watch", "--once", "--agent", agent))
            after = sink.status(session)
        assert [log.branch for log in after.logs] == [None]
        assert after.logs[0].bytes > before.logs[0].bytes

    def delete(self, environment: Mapping[str, str], session: str) -> None:
        command = [str(WORKER_COMMAND), "delete", session, "--yes"]
        subprocess.run(command, env={**os.environ, **environment}, check=True, timeout=60)

    def restore(self, session: str, agent: str, *words: str) -> Ended:
        """Into the new home, for the new project."""
        return self._run(self.new_home)("restore", session, "--into", agent, "--project", self.new_project, *words)

    def _run(self, home: Path, **variables: str) -> Command:
        return Command({**self._variables, "HOME": str(home), "XDG_STATE_HOME": str(home / "state"), **variables})

    def ask_old(self, driver: Driver, prompt: str, *words: str) -> str:
        return driver.ask(self.network, self.home, self.project, prompt, words)

    def ask_new(self, driver: Driver, prompt: str, *words: str) -> str:
        return driver.ask(self.network, self.new_home, self.new_project, prompt, words)

    def seen(self, prompt: str) -> str:
        """The last request with that prompt in it, as text."""
        requests = [json.dumps(each, ensure_ascii=False) for each in self.network.read_requests()]
        return [each for each in requests if prompt in each][-1]


@pytest.fixture
def lab(network: AgentNetwork, worker: Worker, environment: Mapping[str, str], tmp_path: Path) -> Lab:
    del worker
    return Lab(network, environment, tmp_path)


def check(done: Ended) -> None:
    assert done.status == 0, done.err


SHELL = ("Bash", {"command": "echo said-by-a-tool", "description": "x"})
BIG = ("Bash", {"command": "head -c 3000000 /dev/zero | tr '\\0' x | fold -w 100", "description": "x"})


def test_claude_code(lab: Lab) -> None:
    told = json.loads(lab.ask_old(drivers.CLAUDE, write_script("step one", SHELL)).splitlines()[-1])
    session = told["session_id"]
    sub = write_script("work of a subagent", SHELL)
    agent = ("Agent", {"description": "sub", "prompt": sub, "subagent_type": "general-purpose"})
    lab.ask_old(drivers.CLAUDE, write_script("step two", agent), "-r", session)
    lab.ask_old(drivers.CLAUDE, write_script("step three", BIG), "-r", session)
    told = json.loads(
        lab.ask_old(drivers.CLAUDE, write_script("step four"), "-r", session, "--fork-session").splitlines()[-1]
    )
    fork = told["session_id"]
    assert fork != session
    lab.ask_old(drivers.CLAUDE, "/compact", "-r", fork)
    lab.ask_old(drivers.CLAUDE, write_script("step five"), "-r", fork)
    lab.archive("claude")

    check(lab.restore(session, "claude"))
    restored = {path.name for path in (lab.new_home / ".claude").rglob("*") if path.is_file()}
    assert any(name.endswith(".meta.json") for name in restored), restored
    assert any(name.endswith(".txt") for name in restored), restored
    lab.ask_new(drivers.CLAUDE, write_script("gone on here"), "-r", session)
    seen = lab.seen("gone on here")
    assert all(step in seen for step in ("step one", "step two", "step three", "said-by-a-tool"))
    assert "step four" not in seen
    lab.ask_new(drivers.CLAUDE, write_script("by continue"), "-c")
    assert "gone on here" in lab.seen("by continue")
    lab.archive_again("claude", f"claude.{session}")

    check(lab.restore(fork, "claude", "--as-new"))
    (new,) = [
        path.stem
        for path in (lab.new_home / ".claude" / "projects").rglob("*.jsonl")
        if "subagents" not in path.parts and path.stem != session
    ]
    assert new != fork
    lab.ask_new(drivers.CLAUDE, write_script("under a new id"), "-r", new)
    seen = lab.seen("under a new id")
    assert "step five" in seen
    assert "said-by-a-tool" not in seen  # it was compacted away, and stays so


def test_claude_code_at_work(lab: Lab, network: AgentNetwork) -> None:
    told = json.loads(lab.ask_old(drivers.CLAUDE, write_script("step one")).splitlines()[-1])
    session = told["session_id"]
    shutil.copytree(lab.home, lab.new_home, dirs_exist_ok=True)
    lab.archive("claude")
    slow = write_script("slowly", ("!slow", 20))
    words = ("-r", session, *drivers.CLAUDE.words, slow)
    child = drivers.CLAUDE.start(network, lab.new_home, lab.project, *words)
    try:
        signs = lab.new_home / ".claude" / "sessions"
        wait_until(
            lambda: bool([*signs.glob("*.json")]), timeout_seconds=30, what="Claude Code says that it is at work"
        )
        done = lab.restore(session, "claude")
        assert done.status == 1
        assert "at work" in done.err
    finally:
        child.kill()
        child.communicate()


RUN = ("exec", "--json")
CODEX_SHELL = ("exec_command", {"cmd": "echo said-by-a-tool"})


def find_thread(told: str) -> str:
    found = re.search(r'"thread_id":"([0-9a-f-]{36})"', told)
    assert found, told
    return found[1]


def test_codex(lab: Lab, environment: Mapping[str, str]) -> None:
    thread = find_thread(lab.ask_old(drivers.CODEX, write_script("step one", CODEX_SHELL), *RUN))
    lab.ask_old(drivers.CODEX, write_script("step two"), *RUN, "resume", thread)
    fork = find_thread(lab.ask_old(drivers.CODEX, write_script("step three"), *RUN, "fork", thread))
    assert fork != thread
    lab.ask_old(drivers.CODEX, write_script("step four"), *RUN, "resume", thread)
    lab.archive("codex")

    check(lab.restore(fork, "codex"))
    lab.ask_new(drivers.CODEX, write_script("gone on here"), *RUN, "resume", fork)
    seen = lab.seen("gone on here")
    assert all(step in seen for step in ("step one", "step two", "step three"))
    assert "step four" not in seen
    lab.ask_new(drivers.CODEX, write_script("the parent too"), *RUN, "resume", thread)
    assert "step four" in lab.seen("the parent too")
    lab.archive_again("codex", f"codex.{fork}")

    shutil.rmtree(lab.new_home)
    lab.new_home.mkdir()
    lab.delete(environment, f"codex.{thread}")
    done = lab.restore(fork, "codex")
    assert done.status == 1
    assert thread in done.err
    assert not (lab.new_home / ".codex").exists()


def test_codex_at_work(lab: Lab, network: AgentNetwork) -> None:
    thread = find_thread(lab.ask_old(drivers.CODEX, write_script("step one"), *RUN))
    lab.archive("codex")
    check(lab.restore(thread, "codex"))
    slow = write_script("codex goes slowly", ("!slow", 20))
    child = drivers.CODEX.start(network, lab.new_home, lab.new_project, *RUN, "resume", thread, slow)
    try:
        asked = network.requests_path
        wait_until(lambda: "codex goes slowly" in asked.read_text(), timeout_seconds=60, what="Codex asks")
        done = lab.restore(thread, "codex")
        assert done.status == 1
        assert "is held" in done.err
    finally:
        child.kill()
        child.communicate()


def call_server(lab: Lab, *requests: tuple[str, dict[str, Any]], awaited: str = "") -> list[Any]:
    """What Codex's app server answers to these requests; and then wait for a notification."""
    child = drivers.CODEX.start(lab.network, lab.home, lab.project, "app-server", has_input=True)
    assert child.stdin
    assert child.stdout
    answers = []
    try:
        start = (
            "initialize",
            {"clientInfo": {"name": "test", "version": "1"}, "capabilities": {"experimentalApi": True}},
        )
        for number, (method, params) in enumerate([start, *requests]):
            child.stdin.write(json.dumps({"id": number, "method": method, "params": params}) + "\n")
            child.stdin.flush()
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                line = child.stdout.readline()
                answer = json.loads(line) if line.startswith("{") else {}
                if answer.get("id") == number:
                    assert "result" in answer, answer
                    answers.append(answer["result"])
                    break
        while awaited and time.monotonic() < deadline:
            line = child.stdout.readline()
            if line.startswith("{") and json.loads(line).get("method") == awaited:
                awaited = ""
        assert not awaited, f"Codex did not say {awaited}"
    finally:
        child.kill()
        child.communicate()
    return answers[1:]


def test_codex_rewound(lab: Lab) -> None:
    thread = find_thread(lab.ask_old(drivers.CODEX, write_script("step one", CODEX_SHELL), *RUN))
    lab.ask_old(drivers.CODEX, write_script("step two"), *RUN, "resume", thread)
    (read,) = call_server(lab, ("thread/read", {"threadId": thread, "includeTurns": True}))
    turns = [turn["id"] for turn in read["thread"]["turns"]]
    assert len(turns) == 2
    call_server(
        lab, ("thread/resume", {"threadId": thread}), ("thread/revert", {"threadId": thread, "beforeTurnId": turns[1]})
    )
    lab.ask_old(drivers.CODEX, write_script("another second step"), *RUN, "resume", thread)
    assert "step two" not in lab.seen("another second step")
    files = sorted((path.name for path in (lab.home / ".codex" / "sessions").rglob("*.jsonl")), key=len)
    assert len(files) == 2, files
    lab.archive("codex")
    check(lab.restore(thread, "codex"))
    lab.ask_new(drivers.CODEX, write_script("gone on here"), *RUN, "resume", thread)
    seen = lab.seen("gone on here")
    assert "another second step" in seen
    assert "step one" in seen
    assert "step two" not in seen
    lab.archive_again("codex", f"codex.{thread}." + files[-1].rpartition("_")[2].removesuffix(".jsonl"))


def test_codex_compacted(lab: Lab) -> None:
    thread = find_thread(lab.ask_old(drivers.CODEX, write_script("step one", CODEX_SHELL), *RUN))
    compact = ("thread/compact/start", {"threadId": thread})
    call_server(lab, ("thread/resume", {"threadId": thread}), compact, awaited="turn/completed")
    lab.ask_old(drivers.CODEX, write_script("step two"), *RUN, "resume", thread)
    assert '"type":"compacted"' in next((lab.home / ".codex" / "sessions").rglob("*.jsonl")).read_text()
    lab.archive("codex")
    check(lab.restore(thread, "codex"))
    lab.ask_new(drivers.CODEX, write_script("gone on here"), *RUN, "resume", thread)
    seen = lab.seen("gone on here")
    assert "step two" in seen
    assert "function_call_output" not in seen  # it was compacted away, and stays so
    lab.archive_again("codex", f"codex.{thread}")


def test_gemini_cli(lab: Lab) -> None:
    tool = ("run_shell_command", {"command": "echo said-by-a-tool", "description": "x"})
    lab.ask_old(drivers.GEMINI, write_script("step one", tool))
    (chat,) = (lab.home / ".gemini" / "tmp").rglob("session-*.jsonl")
    session = json.loads(chat.read_text().splitlines()[0])["sessionId"]
    lab.ask_old(drivers.GEMINI, write_script("step two"), "--resume", session)
    lab.archive("gemini")
    done = lab.restore(session, "gemini")
    check(done)
    assert "sessionRetention" in done.err
    lab.ask_new(drivers.GEMINI, write_script("gone on here"), "--resume", session)
    seen = lab.seen("gone on here")
    assert "step one" in seen
    assert "step two" in seen


def test_pi(lab: Lab) -> None:
    lab.ask_old(drivers.PI, write_script("step one", ("bash", {"command": "echo said-by-a-tool"})))
    lab.ask_old(drivers.PI, write_script("step two"), "-c")
    (path,) = (lab.home / ".pi" / "agent" / "sessions").rglob("*.jsonl")
    session = json.loads(path.read_text().splitlines()[0])["id"]
    lab.ask_old(drivers.PI, write_script("step three"), "--fork", session)
    (path,) = {*path.parent.iterdir()} - {path}
    fork = json.loads(path.read_text().splitlines()[0])["id"]
    lab.archive("pi")
    check(lab.restore(fork, "pi"))
    lab.ask_new(drivers.PI, write_script("the fork"), "--session", fork)
    assert all(step in lab.seen("the fork") for step in ("step one", "step two", "step three"))
    check(lab.restore(session, "pi"))
    lab.ask_new(drivers.PI, write_script("gone on here"), "--session", session)
    seen = lab.seen("gone on here")
    assert "step one" in seen
    assert "step two" in seen
    assert "step three" not in seen
    lab.ask_new(drivers.PI, write_script("by continue"), "-c")
    assert "gone on here" in lab.seen("by continue")
    lab.archive_again("pi", f"pi.{session}")


def test_copilot_cli(lab: Lab) -> None:
    lab.ask_old(drivers.COPILOT, write_script("step one", ("bash", {"command": "echo hi", "description": "x"})))
    (path,) = (lab.home / ".copilot" / "session-state").rglob("events.jsonl")
    session = path.parent.name
    lab.ask_old(drivers.COPILOT, write_script("step two"), f"--resume={session}")
    lab.archive("copilot")
    check(lab.restore(session, "copilot"))
    lab.ask_new(drivers.COPILOT, write_script("gone on here"), f"--resume={session}")
    seen = lab.seen("gone on here")
    assert "step one" in seen
    assert "step two" in seen
    lab.archive_again("copilot", f"copilot.{session}")


def list_opencode(lab: Lab) -> list[str]:
    """Its sessions, the newest first."""
    listed = drivers.OPENCODE.run(lab.network, lab.home, lab.project, "session", "list", "--format", "json")
    return [each["id"] for each in json.loads(listed[listed.index("[") :])]


def test_opencode(lab: Lab) -> None:
    lab.ask_old(drivers.OPENCODE, write_script("step one", ("bash", {"command": "echo hi", "description": "x"})), "run")
    (session,) = list_opencode(lab)
    lab.ask_old(drivers.OPENCODE, write_script("step two"), "run", "-s", session)
    lab.archive("opencode")
    check(lab.restore(session, "opencode"))
    document = lab.new_project / f"opencode.{session}.json"
    drivers.OPENCODE.run(lab.network, lab.new_home, lab.new_project, "import", str(document))
    lab.ask_new(drivers.OPENCODE, write_script("gone on here"), "run", "-s", session)
    seen = lab.seen("gone on here")
    assert "step one" in seen
    assert "step two" in seen
    shutil.move(lab.new_home, lab.home)  # and once more, with what an import leaves without events
    document.unlink()
    lab.new_home.mkdir()
    lab.archive("opencode")
    check(lab.restore(session, "opencode"))
    drivers.OPENCODE.run(lab.network, lab.new_home, lab.new_project, "import", str(document))
    lab.ask_new(drivers.OPENCODE, write_script("a third home"), "run", "-s", session)
    seen = lab.seen("a third home")
    assert all(step in seen for step in ("step one", "step two", "gone on here"))


PORT = 4096


def ask_opencode(lab: Lab, path: str, body: object = None) -> Any:
    """What OpenCode's server answers, which runs."""
    script = (
        "import json, sys, urllib.request as u; url, body = sys.argv[1:];"
        "head = {'content-type': 'application/json'};"
        "print(u.urlopen(u.Request(url, json.loads(body) and body.encode(), head), timeout=60).read().decode())"
    )
    command = [sys.executable, "-c", script, f"http://127.0.0.1:{PORT}{path}", json.dumps(body)]
    child = lab.network.run(command, lab.home, lab.project, {})
    told, _ = child.communicate(timeout=90)
    assert child.returncode == 0, told
    return json.loads(told)


def test_opencode_undone_and_forked(lab: Lab) -> None:
    lab.ask_old(drivers.OPENCODE, write_script("step one"), "run")
    (session,) = list_opencode(lab)
    lab.ask_old(drivers.OPENCODE, write_script("step two"), "run", "-s", session)
    server = drivers.OPENCODE.start(lab.network, lab.home, lab.project, "serve", "--port", str(PORT))
    try:
        assert server.stdout
        read = server.stdout.readline
        wait_until(lambda: "listening" in read(), timeout_seconds=60, what="OpenCode serves")
        asked = [each["info"] for each in ask_opencode(lab, f"/session/{session}/message")]
        last = [info["id"] for info in asked if info["role"] == "user"][-1]
        ask_opencode(lab, f"/session/{session}/revert", {"messageID": last})
    finally:
        server.kill()
        server.communicate()
    lab.ask_old(drivers.OPENCODE, write_script("another second step"), "run", "-s", session)
    lab.ask_old(drivers.OPENCODE, write_script("step three"), "run", "-s", session, "--fork")
    (fork,) = {*list_opencode(lab)} - {session}
    lab.archive("opencode")
    for name, here in ((session, False), (fork, True)):
        check(lab.restore(name, "opencode"))
        document = lab.new_project / f"opencode.{name}.json"
        drivers.OPENCODE.run(lab.network, lab.new_home, lab.new_project, "import", str(document))
        lab.ask_new(drivers.OPENCODE, write_script(f"gone on with {name}"), "run", "-s", name)
        seen = lab.seen(f"gone on with {name}")
        assert "step one" in seen
        assert "another second step" in seen
        assert "step two" not in seen
        assert ("step three" in seen) is here


def test_qwen_code(lab: Lab) -> None:
    tool = ("run_shell_command", {"command": "echo said-by-a-tool", "is_background": False})
    lab.ask_old(drivers.QWEN, write_script("step one", tool))
    (path,) = (lab.home / ".qwen" / "projects").rglob("chats/*.jsonl")
    session = path.stem
    lab.archive("qwen")
    assert lab.restore(session, "qwen").status == 1
    check(lab.restore(session, "qwen", "--rewrite-cwd"))
    lab.ask_new(drivers.QWEN, write_script("gone on here"), "-r", session)
    assert "step one" in lab.seen("gone on here")


@pytest.mark.skipif(not programs.CODETETHER.path.exists(), reason="`make test-agents CODETETHER=1` builds codetether")
def test_codetether(lab: Lab) -> None:
    """Without CODETETHER_DATA_DIR: it keeps its sessions in each repository."""
    lab.ask_old(drivers.CODETETHER, write_script("step one", ("bash", {"command": "echo said-by-a-tool"})), "run")
    data = lab.project / ".codetether-agent"
    (path,) = (data / "sessions").glob("????????-*-????????????.json")
    session = path.stem
    lab.ask_old(drivers.CODETETHER, write_script("step two"), "run", "-s", session)
    lab.archive("codetether", CODETETHER_DATA_DIR=str(data))
    shutil.rmtree(lab.project)
    check(lab.restore(session, "codetether", "--rewrite-cwd"))
    restored = {path.name for path in (lab.new_project / ".codetether-agent").rglob("*.json*")}
    assert restored == {f"{session}.json", f"{session}.jsonl"}
    here = ("bash", {"command": "basename $PWD"})
    lab.ask_new(drivers.CODETETHER, write_script("gone on here", here), "run", "-s", session)
    seen = lab.seen("gone on here")
    assert all(step in seen for step in ("step one", "step two", "said-by-a-tool", "new_project"))
    lab.ask_new(drivers.CODETETHER, write_script("by continue"), "run", "-c")
    assert "gone on here" in lab.seen("by continue")
