"""The watch over files that are no agent's doing, or a strange one's: nothing twice, nothing lost, and no hang."""

import errno
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from agent_writers import ClaudeCode, Codetether, Gemini, OpenCode, settle
from history_sink import LogEnd, Message, Receipt, SessionId
from history_sink_agents.formats.folders import open_regular
from history_sink_agents.watch import backlog, carry, follow, runner, watch
from history_sink_agents.watch.sources import look_at
from watched_home import CountingSink, WatchedHome, wait_until


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WatchedHome:
    monkeypatch.setattr(watch, "_FIND_SECONDS", 0.2)
    for module in (carry, runner, watch):
        monkeypatch.setattr(module, "QUIET_SECONDS", 0.1)
    return WatchedHome(tmp_path)


def name_of(claude: ClaudeCode) -> str:
    return f"claude.{claude.session}"


def put_pipe(path: Path) -> None:
    os.mkfifo(path)


def put_socket(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)  # the whole path may be too long for a socket
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def put_folder(path: Path) -> None:
    path.mkdir()


def put_link(path: Path) -> None:
    secret = path.with_name("secret.txt")
    secret.write_text('{"cwd":"canary","sessionId":"canary"}\n' * 9)
    path.symlink_to(secret)


PUTS = [put_pipe, put_socket, put_folder, put_link]


@pytest.mark.parametrize("put", PUTS)
def test_what_has_a_sessions_name_and_is_no_file_is_passed_over(
    place: WatchedHome, put: Callable[[Path], None]
) -> None:
    odd, other = Gemini(place.home), ClaudeCode(place.home, 2)
    odd.path.unlink()
    put(odd.path)
    other.talk(0, 3)
    assert place.watch_once() == 3
    assert place.archive.sessions() == [name_of(other), f"{name_of(other)}.manifest"]


@pytest.mark.parametrize("put", PUTS)
def test_what_takes_a_files_place_while_the_watch_runs_is_passed_over(
    place: WatchedHome, put: Callable[[Path], None]
) -> None:
    claude, other = ClaudeCode(place.home), ClaudeCode(place.home, 2)
    claude.talk(0, 3)
    body = claude.path.read_bytes()
    with place.watching():
        wait_until(lambda: place.has(body))
        descriptors = len(os.listdir("/proc/self/fd"))
        for number in range(9):
            claude.path.unlink()
            put(claude.path)
            other.talk(number, number + 1)
            wait_until(lambda: place.has(other.path.read_bytes()))
            if claude.path.is_dir() and not claude.path.is_symlink():
                claude.path.rmdir()
            else:
                claude.path.unlink()
            claude.append(body)
        claude.talk(3, 6)
        wait_until(lambda: place.has(claude.path.read_bytes()))
        assert len(os.listdir("/proc/self/fd")) <= descriptors + 2
    assert len(place.sent) == 15
    assert not any("cannot be read" in said or "canary" in said for said in place.said), place.said


@pytest.mark.parametrize("put", PUTS)
def test_what_takes_a_files_place_before_it_is_opened_does_no_harm(
    place: WatchedHome, put: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    claude, other = ClaudeCode(place.home), ClaudeCode(place.home, 2)
    claude.talk(0, 3)
    other.talk(0, 3)
    begin = open_regular

    def swap_and_open(name: str) -> Any:
        if name == str(claude.path) and claude.path.is_file() and not claude.path.is_symlink():
            claude.path.unlink()
            put(claude.path)
        return begin(name)

    for module in (backlog, runner):
        monkeypatch.setattr(module, "open_regular", swap_and_open)
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        place.make_program().run_once()
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 1
    assert place.archive.sessions() == [name_of(other), f"{name_of(other)}.manifest"]


def test_a_file_that_vanishes_before_it_is_opened_is_no_problem(
    place: WatchedHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    claude = ClaudeCode(place.home)
    claude.talk(0, 3)
    begin = open_regular

    def lose_and_open(name: str) -> Any:
        os.unlink(name)
        return begin(name)

    monkeypatch.setattr(backlog, "open_regular", lose_and_open)
    assert place.watch_once() == 0


@pytest.mark.parametrize("put", [put_pipe, put_link])
def test_the_head_of_what_has_become_no_file_is_not_read(
    place: WatchedHome, put: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest names the cwd, out of the first lines: a pipe would be waited for, and a link leads elsewhere."""
    claude = ClaudeCode(place.home)
    claude.talk(0, 3)
    begin = look_at

    def swap_and_look(*arguments: Any) -> Any:
        if claude.path.is_file() and not claude.path.is_symlink():
            claude.path.unlink()
            put(claude.path)
        return begin(*arguments)

    monkeypatch.setattr(carry, "look_at", swap_and_look)
    thread = threading.Thread(target=place.watch_once, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert len(place.sent) == 3
    (told,) = place.archive.messages(f"{name_of(claude)}.manifest")
    assert told["cwd"] is None


@pytest.mark.parametrize("keeps_head", [True, False])
def test_a_file_that_is_rewritten_in_place_while_it_is_sent_is_a_new_generation(
    place: WatchedHome, keeps_head: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    claude = ClaudeCode(place.home)
    claude.talk(0, 30, "x" * 50_000)
    before = claude.path.read_bytes()
    after = before[:200_000] + before[200_000:].replace(b"x", b"y") if keeps_head else before.replace(b"x", b"y")
    after += b"{}\n" * 3
    rewritten: list[int] = []

    def extend(self: CountingSink, session: SessionId, messages: Iterable[Message], end: LogEnd, *rest: Any) -> Receipt:
        if str(session) == name_of(claude) and end.bytes and not rewritten:
            rewritten.append(end.bytes)
            with claude.path.open("r+b") as file:
                file.truncate(0)
                file.write(after)
        return begin(self, session, messages, end, *rest)

    begin = CountingSink.extend
    monkeypatch.setattr(CountingSink, "extend", extend)
    place.make_program().run_once()
    assert rewritten
    place.watch_once()
    assert claude.path.read_bytes() == after
    assert place.has(after)
    assert place.watch_once() == 0
    assert place.count_beside() == 0


def test_a_file_that_is_cut_while_it_is_sent_and_grows_again_is_whole(
    place: WatchedHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    claude = ClaudeCode(place.home)
    claude.talk(0, 30, "x" * 50_000)
    cut: list[int] = []

    def extend(self: CountingSink, session: SessionId, messages: Iterable[Message], end: LogEnd, *rest: Any) -> Receipt:
        if str(session) == name_of(claude) and end.bytes and not cut:
            cut.append(end.bytes)
            os.truncate(claude.path, 100_000)
        return begin(self, session, messages, end, *rest)

    begin = CountingSink.extend
    monkeypatch.setattr(CountingSink, "extend", extend)
    place.make_program().run_once()
    assert cut
    claude.heal()
    claude.talk(90, 130, "z" * 50_000)
    place.watch_once()
    assert place.has(claude.path.read_bytes())
    assert place.watch_once() == 0


def test_a_rename_over_a_file_while_the_watch_runs_is_a_new_generation(place: WatchedHome) -> None:
    claude = ClaudeCode(place.home)
    claude.talk(0, 9)
    bodies = [claude.path.read_bytes()]
    with place.watching():
        wait_until(lambda: place.has(bodies[0]))
        for word in (b"verba", b"words", b"mots!"):
            beside = claude.path.with_name("beside")
            beside.write_bytes(bodies[0].replace(b"words", word))
            beside.rename(claude.path)
            bodies.append(claude.path.read_bytes())
            wait_until(lambda: place.has(claude.path.read_bytes()))
            if word == b"words":
                claude.talk(9, 10)
                wait_until(lambda: place.has(claude.path.read_bytes()))
    assert all(any(log.startswith(body) for log in place.logs(name_of(claude))) for body in bodies)
    assert len(place.sent) == 9 + 9 + 1 + 9
    assert place.watch_once() == 0


def test_truncated_and_grown_to_the_same_size_while_the_watch_runs(place: WatchedHome) -> None:
    claude = ClaudeCode(place.home)
    claude.talk(0, 999)
    body = claude.path.read_bytes()
    with place.watching():
        wait_until(lambda: place.has(body))
        other = body[:20_000] + body[20_000:30_000].replace(b"words", b"verba") + body[30_000:]
        with claude.path.open("r+b") as file:
            file.truncate(0)
            file.write(other)
        wait_until(lambda: place.has(other))
    assert place.logs(name_of(claude)) == [body, other]
    assert place.watch_once() == 0


def test_hard_links_are_streams_of_their_own(place: WatchedHome) -> None:
    one, two = ClaudeCode(place.home), ClaudeCode(place.home, 2)
    one.talk(0, 3)
    os.link(one.path, two.path)
    assert place.watch_once() == 6
    two.talk(3, 5)
    assert place.watch_once() == 4
    assert place.logs(name_of(one)) == place.logs(name_of(two)) == [one.path.read_bytes()]
    one.path.unlink()
    two.talk(5, 6)
    assert place.watch_once() == 1


def test_names_that_differ_in_case_alone_are_sessions_of_their_own(place: WatchedHome) -> None:
    claude = ClaudeCode(place.home)
    claude.folder.mkdir(parents=True, exist_ok=True)
    for name in ("abc", "ABC", "aBc"):
        (claude.folder / f"{name}.jsonl").write_bytes(b'{"n":"%s"}\n' % name.encode())
    place.watch_once()
    for name in ("abc", "ABC", "aBc"):
        assert place.logs(f"claude.{name}") == [b'{"n":"%s"}\n' % name.encode()]


def test_holes_are_archived_as_the_zeros_that_they_read_as(place: WatchedHome) -> None:
    claude = ClaudeCode(place.home)
    claude.talk(0, 2)
    size = claude.path.stat().st_size
    os.truncate(claude.path, size + 5_000_000)
    claude.heal()
    claude.talk(2, 4)
    assert place.watch_once() == 5
    assert place.logs(name_of(claude)) == [claude.path.read_bytes()]


def test_a_hole_of_a_terabyte_is_named_and_not_read(place: WatchedHome) -> None:
    claude = ClaudeCode(place.home)
    claude.talk(0, 2)
    os.truncate(claude.path, 10**12)
    assert place.make_program().run_once() == 1
    assert any("the line at byte" in said for said in place.said)
    assert len(place.sent) == 2


def test_a_clock_that_was_set_back_loses_nothing(place: WatchedHome) -> None:
    claude, document = ClaudeCode(place.home), Codetether(place.home)
    claude.talk(0, 3)
    document.save("one")
    for path in (claude.path, document.path):
        settle(path, -1e6)
    place.watch_once()
    claude.talk(3, 5)
    settle(claude.path, 2e6)
    document.save("two")
    settle(document.path, 2e6)
    place.watch_once()
    assert place.logs(name_of(claude)) == [claude.path.read_bytes()]
    assert place.has(document.path.read_bytes() + b"\n")
    claude.talk(5, 6)
    os.utime(claude.path, (0, -5))  # before 1970
    assert place.watch_once() == 1


def test_thousands_of_files_that_come_at_once_are_archived(place: WatchedHome) -> None:
    files = [ClaudeCode(place.home, number) for number in range(1, 2_001)]
    files[0].talk(0, 1)
    with place.watching():
        wait_until(lambda: len(place.sent) == 1)
        for file in files[1:]:
            file.talk(0, 1)
        wait_until(lambda: len(place.sent) == len(files), 60)
        files[7].talk(1, 2)
        wait_until(lambda: place.has(files[7].path.read_bytes()))
    assert len(place.sent) == len(files) + 1


def test_a_name_that_is_no_text_disturbs_nobody_for_long(place: WatchedHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library that hears of changes ends at such a name."""
    monkeypatch.setattr(follow, "AGAIN_SECONDS", 0.2)
    monkeypatch.setattr(watch, "RECONCILE_SECONDS", 1.0)  # what happened meanwhile is found by a look
    claude = ClaudeCode(place.home)
    claude.talk(0, 1)
    odd = os.fsencode(claude.folder) + b"/\xff\xfe.jsonl"
    with place.watching():
        wait_until(lambda: place.has(claude.path.read_bytes()))
        for number in range(1, 4):
            with open(odd, "ab") as file:
                file.write(b"{}\n")
            claude.talk(number, number + 1)
            wait_until(lambda: place.has(claude.path.read_bytes()))
    assert len(place.sent) == 4


def test_folders_within_folders_without_end_end_nothing(place: WatchedHome) -> None:
    claude = ClaudeCode(place.home)
    claude.talk(0, 2)
    here = os.getcwd()
    os.chdir(claude.folder)
    try:
        for _ in range(1_500):
            os.mkdir("d")
            os.chdir("d")
    finally:
        os.chdir(here)
    try:
        assert place.watch_once() == 2
    finally:
        subprocess.run(["rm", "-rf", str(claude.folder / "d")], check=True)  # `rmtree` calls itself for each


def test_a_home_that_may_not_be_looked_at_for_a_while_is_archived_when_it_may(
    place: WatchedHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As below a folder without permission, or on a mount whose server is gone."""
    claude, other = ClaudeCode(place.home), Gemini(place.home)
    claude.talk(0, 2)
    begin = os.stat

    def refuse(path: Any, *arguments: Any, **options: Any) -> os.stat_result:
        if is_refused and isinstance(path, (str, Path)) and f"{path}/".startswith(f"{place.home}/.gemini/"):
            raise PermissionError(13, "Permission denied", str(path))
        return begin(path, *arguments, **options)

    is_refused = True
    monkeypatch.setattr(os, "stat", refuse)
    assert place.watch_once() == 2
    is_refused = False
    assert place.watch_once() == 1
    assert place.has(other.path.read_bytes())


def test_a_state_of_an_older_version_is_begun_anew(place: WatchedHome) -> None:
    claude = ClaudeCode(place.home)
    claude.talk(0, 3)
    place.state.mkdir(parents=True)
    with sqlite3.connect(place.state / "watch.sqlite") as database:
        database.execute("CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT)")
        database.execute("INSERT INTO facts VALUES ('version', '0')")
        database.execute("CREATE TABLE marks (path TEXT PRIMARY KEY, offset INT)")
    database.close()
    assert place.watch_once() == 3
    assert place.watch_once() == 0
    with sqlite3.connect(place.state / "watch.sqlite") as database:
        assert database.execute("SELECT count(*) FROM marks").fetchall() == [(1,)]
    database.close()
    assert not any("cannot be kept" in said for said in place.said), place.said


def test_a_mark_of_an_older_version_is_no_mark(place: WatchedHome) -> None:
    claude = ClaudeCode(place.home)
    claude.talk(0, 3)
    place.watch_once()
    for change in ({"device": "x"}, {"position": 2**70}, {"end": {"bytes": 5}}, {"head": None}, {"more": 1}):
        with sqlite3.connect(place.state / "watch.sqlite") as database:
            (told,) = database.execute("SELECT mark FROM marks").fetchone()
            database.execute("UPDATE marks SET mark = ?", (json.dumps({**json.loads(told), **change}),))
        database.close()
        assert place.watch_once() == 0
        claude.talk(3, 4)
        assert place.watch_once() == 1
    assert place.logs(name_of(claude)) == [claude.path.read_bytes()]


@pytest.mark.parametrize("name", ["watch.sqlite", "watch.sqlite-wal"])
def test_where_the_state_is_a_folder_all_is_compared_with_the_store(place: WatchedHome, name: str) -> None:
    claude = ClaudeCode(place.home)
    claude.talk(0, 3)
    (place.state / name).mkdir(parents=True)
    assert place.watch_once() == 3
    assert place.watch_once() == 0


@pytest.mark.parametrize(("names", "number"), [(("sqlite",), errno.ENOSPC), (("sqlite", "lock"), errno.EROFS)])
def test_a_state_that_may_not_be_opened_is_done_without(
    place: WatchedHome, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], number: int
) -> None:
    """As on a disk without inodes, or on one that has become read-only."""
    claude = ClaudeCode(place.home)
    place.watch_once()
    (place.state / "watch.sqlite").unlink()
    claude.talk(0, 3)
    begin = os.open

    def refuse(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & os.O_CREAT and str(path).endswith(names):
            raise OSError(number, os.strerror(number), str(path))
        return begin(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    assert place.watch_once() == 3
    assert place.watch_once() == 0
    assert any("compared with the store" in said for said in place.said)


def test_a_home_on_another_file_system_is_followed(place: WatchedHome) -> None:
    elsewhere = Path(f"/var/tmp/watched-{os.getpid()}")
    elsewhere.mkdir()
    try:
        if elsewhere.stat().st_dev == place.home.stat().st_dev:
            pytest.skip("there is no other file system")
        (place.home / ".claude").symlink_to(elsewhere)
        claude = ClaudeCode(place.home)
        claude.talk(0, 3)
        with place.watching():
            wait_until(lambda: place.has(claude.path.read_bytes()))
            (place.home / ".claude").unlink()
            shutil.copytree(elsewhere, place.home / ".claude")  # back here: other devices, other inodes
            claude.talk(3, 5)
            wait_until(lambda: place.has(claude.path.read_bytes()))
    finally:
        shutil.rmtree(elsewhere)
    assert len(place.sent) == 5
    assert place.count_beside() == 0


def test_half_a_document_is_looked_at_less_and_less_often(place: WatchedHome, monkeypatch: pytest.MonkeyPatch) -> None:
    document = Codetether(place.home)
    document.path.write_text('{"messages": ["ha')
    settle(document.path)
    looks: list[Any] = []
    begin = carry._is_document

    def count(*arguments: Any) -> bool:
        looks.append(arguments)
        return begin(*arguments)

    monkeypatch.setattr(carry, "_is_document", count)
    with place.watching():
        threading.Event().wait(2.0)
        assert 2 <= len(looks) <= 8
        document.save("whole")
        wait_until(lambda: place.has(document.path.read_bytes() + b"\n"))


@pytest.mark.parametrize("forgets", [False, True])
def test_a_database_that_was_set_back_and_went_another_way_is_a_new_generation(
    place: WatchedHome, forgets: bool
) -> None:
    """As from a backup. It has fewer events than were archived, and some of them are others."""
    code = OpenCode(place.home)
    code.begin("ses_1")
    for number in range(1, 5):
        code.say("ses_1", f"msg_{number}")
    place.watch_once()
    (before,) = place.logs("opencode.ses_1")
    code.database.execute("DELETE FROM event WHERE seq > 1")
    assert place.watch_once() == 0
    code.say("ses_1", "msg_other")
    if forgets:
        place.forget()
    place.watch_once()
    lines = before.splitlines(keepends=True)
    log, branch = place.logs("opencode.ses_1")
    assert log == before
    assert branch.splitlines(keepends=True)[:2] == lines[:2]
    assert b"msg_other" in branch.splitlines()[2]
    code.delete("ses_1")
    assert place.watch_once() == 0
    assert place.logs("opencode.ses_1") == [log, branch]


def test_a_pipe_in_a_databases_place_is_not_waited_for(place: WatchedHome) -> None:
    code, claude = OpenCode(place.home), ClaudeCode(place.home)
    code.begin("ses_1")
    claude.talk(0, 1)
    body = code.database.serialize()
    with place.watching():
        wait_until(lambda: len(place.sent) == 2)
        code.database.close()
        for path in code.path.parent.glob("opencode.db*"):
            path.unlink()
        os.mkfifo(code.path)
        claude.talk(1, 2)
        wait_until(lambda: len(place.sent) == 3)
        time.sleep(1.0)  # the pipe is looked at
        claude.talk(2, 3)
        wait_until(lambda: len(place.sent) == 4)
        code.path.unlink()
        code.path.write_bytes(body)
        code.database = sqlite3.connect(code.path, isolation_level=None)
        code.say("ses_1", "msg_1")
        wait_until(lambda: len(place.archive.lines("opencode.ses_1")) == 2)
