"""The command `history-sink watch` on the real queue, worker and store: killed at any instant, and through outages.

`HISTORY_SINK_WATCH_KILLS=120` kills it so often, and archives more files at once; `make test-watch` does.
"""

import json
import os
import random
import signal
import subprocess
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from agent_writers import ClaudeCode, Codetether, Codex, Copilot, Gemini, OpenCode, Pi, line_of, settle, uuid_of
from bench.memory import now_megabytes, peak_megabytes
from command import COMMAND, Command
from forked_command import ForkedCommand
from history_sink import HistorySink, Unavailable
from stack.minio import MinioServer
from stack.redis import RedisServer
from stack.stack import producer_environment
from stack.worker import Worker
from store_site import Site
from watched_home import wait_until

KILLS = int(os.environ.get("HISTORY_SINK_WATCH_KILLS", "3"))
FILES = 2_000 if KILLS >= 100 else 60


class Archived:
    """What the archive has, asked of the library."""

    def __init__(self, sink: HistorySink) -> None:
        self.sink = sink

    def logs(self, session: str) -> list[bytes]:
        return [b"".join(self.sink.read(session, branch=log.branch)) for log in self.sink.status(session).logs]

    def has(self, session: str, path: Path) -> bool:
        try:
            return self.logs(session) == [path.read_bytes()]
        except Unavailable:
            return False

    def count_beside(self, session: str) -> int:
        status = self.sink.status(session)
        return len(status.strays) + status.pending


@contextmanager
def launched(command: Command) -> "Iterator[subprocess.Popen[bytes]]":
    watch = command.launch("watch")
    try:
        yield watch
    finally:
        if watch.poll() is None:
            watch.kill()
        watch.communicate(timeout=30)


@pytest.mark.timeout(60 + 10 * KILLS)
def test_a_watch_that_is_killed_at_any_instant_loses_nothing_and_stores_nothing_twice(
    environment: Mapping[str, str], worker: Worker, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    del worker  # it stores
    chance = random.Random(seed := random.randrange(10**6))
    record_property("seed of the kills", seed)
    variables = producer_environment(environment)
    command = Command({**variables, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")})
    claude, codex, gemini, copilot = ClaudeCode(tmp_path), Codex(tmp_path), Gemini(tmp_path), Copilot(tmp_path)
    code = OpenCode(tmp_path)
    code.begin("ses_1")
    number = 0
    for _ in range(KILLS):
        with launched(command) as watch:
            until = time.monotonic() + chance.uniform(0.2, 1.6)
            while time.monotonic() < until:
                number += 1
                claude.talk(number, number + 1, "x" * chance.choice((9, 9_000, 600_000)))
                codex.write(n=number)
                gemini.talk(number, number + 1)
                copilot.talk(number, number + 1)
                code.say("ses_1", f"msg_{number}")
                time.sleep(chance.uniform(0.0, 0.1))
            claude.append(line_of(last="x" * 3_000_000)[: chance.randrange(3_000_000)])
            watch.send_signal(signal.SIGKILL)
        claude.heal()
        if chance.random() < 0.3:
            for path in (tmp_path / "state" / "history-sink").glob("watch.sqlite*"):
                path.unlink()
    ended = command("watch", "--once")
    assert ended.status == 0, ended.err
    with HistorySink.from_env(variables) as sink:
        archived = Archived(sink)
        sessions = [each.session for each in sink.list_sessions(limit=1000).sessions]
        for path, beginning in (
            (claude.path, f"claude.{claude.session}"),
            (codex.path, f"codex.{codex.thread}"),
            (gemini.path, f"gemini.{gemini.session}."),
            (copilot.path, f"copilot.{copilot.path.parent.name}"),
        ):
            (name,) = [each for each in sessions if each.startswith(beginning) and not each.endswith(".manifest")]
            assert archived.logs(name) == [path.read_bytes()], name
            assert archived.count_beside(name) == 0
        assert len(archived.logs("opencode.ses_1")[0].splitlines()) == number + 1
        manifests = [each for each in sessions if each.endswith(".manifest")]
        assert len(manifests) == 5
        assert all(
            len(set(lines)) == len(lines) for name in manifests for lines in [archived.logs(name)[0].splitlines()]
        )


class Story:
    """What all agents do to their files, each generation of a file noted once an agent has left it as it is."""

    def __init__(self, home: Path) -> None:
        self.claude, self.lost, self.pi = ClaudeCode(home, 501), ClaudeCode(home, 502), Pi(home, 503)
        self.codex, self.packed, self.gemini = Codex(home, 504), Codex(home, 505), Gemini(home, 506)
        self.copilot, self.document, self.code = Copilot(home, 507), Codetether(home, 508), OpenCode(home)
        self.line = line_of(text="x" * 12_000_000)
        self.generations: list[tuple[str, bytes]] = []

    def begin(self) -> None:
        self.claude.talk(0, 9)
        self.claude.append(self.line[:2_000_000])
        self.lost.talk(0, 9)
        self.pi.talk(0, 9)
        self.pi.be_killed()
        self.codex.write(n=1)
        self.copilot.talk(0, 76)
        self.copilot.be_killed()
        self.gemini.talk(0, 9)
        self.document.save("one", "two " * 9)
        settle(self.document.path)
        self.code.begin("ses_9")
        self.code.say("ses_9", "msg_1")
        fork = self.codex.fork(509)
        self.note("codex", self.packed.path, fork.path)

    def go_on(self) -> None:
        self.claude.append(self.line[2_000_000:])
        self.claude.be_killed()
        self.pi.talk(9, 12)  # the first of them is glued
        segment, packed = self.codex.rewind(510), self.packed.pack()
        stray, backup = self.gemini.resume(10_000_000), self.copilot.repair()
        self.copilot.talk(90, 92, "after")
        self.document.save("short")
        for path in (packed, backup, self.document.path):
            settle(path)
        self.code.undo("ses_9", "msg_1")
        take_inode(self.lost.path)
        self.note("codex", segment, self.codex.path, packed)
        self.note("gemini", stray, self.gemini.path)
        self.note("copilot", backup)

    def end(self) -> None:
        self.claude.heal()
        self.claude.talk(9, 12)
        self.codex.archive()
        self.gemini.lose()
        self.gemini.talk(9, 11, "another")
        self.code.delete("ses_9")

    def note(self, agent: str, *paths: Path) -> None:
        self.generations += [(agent, path.read_bytes()) for path in paths]

    def note_all(self) -> None:
        for writer in (self.claude, self.lost):
            self.note("claude", writer.path)
        for agent, path in (("pi", self.pi.path), ("gemini", self.gemini.path), ("copilot", self.copilot.path)):
            self.note(agent, path)
        self.note("codetether", self.document.path)


def take_inode(path: Path) -> None:
    """Another file in the place of one, with its inode, as file systems give numbers anew; else on the same one."""
    inode, size = path.stat().st_ino, path.stat().st_size
    path.unlink()
    body = b"".join(line_of(another=number) for number in range(size // 8))
    path.write_bytes(body)
    if path.stat().st_ino != inode:
        path.write_bytes(body)


def test_each_generation_of_each_agents_files_is_archived_once(
    environment: Mapping[str, str], worker: Worker, tmp_path: Path
) -> None:
    del worker
    variables = producer_environment(environment)
    command = Command({**variables, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")})
    story = Story(tmp_path)
    with HistorySink.from_env(variables) as sink:
        for act in (story.begin, story.go_on, story.end):
            act()
            story.note_all()
            ended = command("watch", "--once")
            assert (ended.status, " 0 problems" in ended.err) == (0, True), ended.err
        for forgets in (False, True):
            if forgets:
                for path in (tmp_path / "state" / "history-sink").glob("watch.sqlite*"):
                    path.unlink()
            assert " 0 with news, 0 bytes archived" in command("watch", "--once").err
        archived = Archived(sink)
        agents = ("claude", "pi", "codex", "gemini", "copilot", "codetether")
        prefixes = [f"{agent}.{uuid_of(501)[:-1]}" for agent in agents] + ["opencode.ses_9"]
        sessions = [each.session for prefix in prefixes for each in sink.list_sessions(prefix=prefix).sessions]
        logs = {session: archived.logs(session) for session in sessions}
        for agent, body in story.generations:
            whole = body if agent == "codetether" else body[: body.rfind(b"\n") + 1]
            mine = [log for session in sessions if session.startswith(f"{agent}.") for log in logs[session]]
            assert any(log.startswith(whole) for log in mine), (agent, len(body))
        events = [json.loads(line)["type"] for line in logs["opencode.ses_9"][0].splitlines()]
        assert events == ["session.created.1", "message.updated.1", "message.removed.1"]
        assert sum(archived.count_beside(session) for session in sessions) == 0


@pytest.mark.skipif(KILLS < 100, reason="takes as long as a server's start; `make test-watch` runs it")
@pytest.mark.parametrize("away", ["store", "queue"])
def test_what_is_away_for_a_while_is_waited_for(
    away: str, own_minio: MinioServer, own_redis: RedisServer, tmp_path: Path, running: ExitStack
) -> None:
    site = Site(own_minio, own_redis, tmp_path)
    running.callback(site.stop)
    site.start_worker()
    variables = producer_environment(site.environment)
    command = Command({**variables, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")})
    claude, server = ClaudeCode(tmp_path), own_minio if away == "store" else own_redis
    claude.talk(0, 3)
    with HistorySink.from_env(variables) as sink, launched(command):
        archived, name = Archived(sink), f"claude.{claude.session}"
        wait_until(lambda: archived.has(name, claude.path))
        server.stop()
        claude.talk(3, 6)
        time.sleep(3.0)
        claude.talk(6, 9)
        server.start()
        wait_until(lambda: archived.has(name, claude.path), 90)
        assert archived.count_beside(name) == 0


def test_where_no_more_state_can_be_written_all_is_archived(
    environment: Mapping[str, str], worker: Worker, tmp_path: Path
) -> None:
    """As on a disk that is full: no file of this process may be longer than a few kilobytes."""
    del worker
    variables = producer_environment(environment)
    command = Command({**variables, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")})
    sessions = [ClaudeCode(tmp_path, number) for number in range(601, 661)]
    with HistorySink.from_env(variables) as sink:
        archived = Archived(sink)
        for count in (5, 9):
            for claude in sessions:
                claude.talk(count - 4, count)
            limited = ["prlimit", "--fsize=16384", COMMAND, "watch", "--once"]
            ended = subprocess.run(limited, env=command.environment, capture_output=True, timeout=100, check=False)
            assert (ended.returncode, b" 0 problems" in ended.stderr) == (0, True), ended.stderr
            assert b"all files are compared with the store" in ended.stderr
            assert all(archived.has(f"claude.{claude.session}", claude.path) for claude in sessions)


@pytest.mark.timeout(120 + FILES)
def test_the_first_archive_of_many_files_takes_little_memory(
    environment: Mapping[str, str], worker: Worker, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    del worker
    variables = producer_environment(environment)
    command = Command({**variables, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")})
    sessions = [ClaudeCode(tmp_path, number) for number in range(10_001, 10_001 + FILES)]
    for number, claude in enumerate(sessions):
        claude.talk(0, 20, "x" * 1000)
        os.utime(claude.path, (number, number))  # the first is archived last
    with HistorySink.from_env(variables) as sink, launched(command) as watch:
        archived, last = Archived(sink), sessions[0]
        wait_until(lambda: archived.has(f"claude.{last.session}", last.path), 20 + FILES)
        peak = peak_megabytes(watch.pid)
    record_property("MB at its peak", peak)
    assert peak < 80


def test_it_ends_cleanly_when_it_is_told_to(environment: Mapping[str, str], worker: Worker, tmp_path: Path) -> None:
    del worker
    ClaudeCode(tmp_path).talk(0, 3)
    variables = producer_environment(environment)
    command = Command({**variables, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")})
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        watch = command.launch("watch")
        assert watch.stderr is not None
        assert b"watching the sessions of claude" in watch.stderr.readline()
        watch.send_signal(number)
        _, said = watch.communicate(timeout=30)
        assert (watch.returncode, b"Traceback" in said) == (status, False), said


def test_without_a_queue_it_says_what_is_missing(tmp_path: Path) -> None:
    command = ForkedCommand({"HOME": str(tmp_path)})
    ended = command("watch", "--once")
    assert (ended.status, "CODETETHER_HISTORY_BROKER_URL is not set" in ended.err) == (2, True)
    ClaudeCode(tmp_path).talk(0, 1)
    away = ForkedCommand({"HOME": str(tmp_path), "CODETETHER_HISTORY_BROKER_URL": "redis://127.0.0.1:1/0"})
    ended = away("watch", "--once")
    assert (ended.status, "is away" in ended.err) == (4, True), ended.err
    assert "tried again" not in ended.err  # it ends
    ended = away("watch", "--once", "--agent", "nobody")
    assert (ended.status, "no agent 'nobody'" in ended.err) == (2, True)


@pytest.mark.parametrize(("image_bytes", "most_megabytes"), [(7_500_000, 28), (23_200_000, 64)])
def test_a_long_line_is_held_once_beside_its_packed_form(
    environment: Mapping[str, str],
    worker: Worker,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    image_bytes: int,
    most_megabytes: float,
) -> None:
    """Lines of 10 and 31 MB. Measured: 18 and 55 MB more, which are the line and its packed form; a copy of either
    would be 7 MB more, or 23.
    """
    del worker
    variables = producer_environment(environment)
    command = Command({**variables, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")})
    claude = ClaudeCode(tmp_path, image_bytes)  # the archive is shared with the tests above
    claude.talk(0, 3)
    with HistorySink.from_env(variables) as sink, launched(command) as watch:
        archived, name = Archived(sink), f"claude.{claude.session}"
        wait_until(lambda: archived.has(name, claude.path))
        before = now_megabytes(watch.pid)
        image = b64encode(random.Random(1).randbytes(image_bytes)).decode()
        claude.append((json.dumps({"type": "user", "text": f"😀 {image}"}, ensure_ascii=False) + "\n").encode())
        wait_until(lambda: archived.has(name, claude.path), 60)
        grown = peak_megabytes(watch.pid) - before
    record_property("MB more at its peak", grown)
    assert grown < most_megabytes
