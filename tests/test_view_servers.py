"""Files and page on the real stack, by the commands that people type."""

import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.request import HTTPCookieProcessor, OpenerDirector, build_opener

import pytest

from command import Command, objects
from history_sink import HistorySink, Recalled
from stack.stack import producer_environment
from stack.worker import Worker

MESSAGES = [{"role": "user", "content": f"message {number}"} for number in range(150)]


@pytest.fixture(scope="module")
def command(worker: Worker, environment: Mapping[str, str]) -> Command:
    del worker  # it only has to be there
    return Command(producer_environment(environment))


@pytest.fixture(scope="module")
def session(command: Command) -> str:
    with HistorySink.from_env(command.variables) as sink:
        sink.save("-home-me", MESSAGES)
        assert sink.flush("-home-me")
        sink.save("-home-me", [*MESSAGES[:100], {"role": "user", "content": "another way"}])
        assert sink.flush("-home-me")
    return "-home-me"


@contextmanager
def viewing(command: Command) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """The page, and the link that it has printed."""
    with command.launch("view") as process:
        assert process.stdout is not None
        try:
            link = process.stdout.readline().decode().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=\S{20,}", link), process.poll()
            yield link, process
        finally:
            process.kill()


def read(opener: OpenerDirector, url: str) -> str:
    with opener.open(url, timeout=30) as answer:
        return str(answer.read().decode())


def test_a_session_becomes_files_and_then_only_what_is_new(command: Command, session: str, tmp_path: Path) -> None:
    (done,) = objects(command("export", session, tmp_path / "main", "--json"))
    assert (done["turns"], done["written"], done["branch"]) == (150, 150, None)
    assert (tmp_path / "main" / "turn-0149-user.md").read_text() == "message 149"
    again = command("export", session, tmp_path / "main")
    assert "150 turns of -home-me, 0 of them written now" in again.out.decode()
    command("export", session, tmp_path / "branch", "--latest")
    assert (tmp_path / "branch" / "turn-0100-user.md").read_text() == "another way"
    wrong = command("export", session, tmp_path / "main", "--latest")
    assert (wrong.status, "take another folder" in wrong.err) == (1, True)
    none = command("export", "none", tmp_path / "none")
    assert (none.status, none.err) == (3, "Error: no session none in the store\n")
    (tmp_path / "file").write_text("")
    assert command("export", session, tmp_path / "file").status == 2


def test_browse_shows_a_turn_or_a_fault(command: Command, session: str, tmp_path: Path) -> None:
    shown = command("browse", session, "7", "--dir", tmp_path)
    assert (shown.status, shown.out) == (0, b"message 7\n")
    listed = command("browse", session, "--dir", tmp_path).out.decode().splitlines()
    assert listed[7] == str(tmp_path / "turn-0007-user.md")
    none = command("browse", "none", "--dir", tmp_path)
    assert (none.status, none.err) == (3, '{"kind": "no_match"}\n')
    beyond = command("browse", session, "150", "--dir", tmp_path)
    assert (beyond.status, "turns 0 to 149" in beyond.err) == (2, True)


def test_the_page_shows_the_store_and_ends_with_ctrl_c(command: Command, session: str) -> None:
    opener = build_opener(HTTPCookieProcessor(CookieJar()))
    with viewing(command) as (link, process):
        home = link.partition("/?")[0]
        assert f"/s/{session}" in read(opener, link)
        page = read(opener, f"{home}/s/{session}?turn=149")
        assert "message 149" in page
        beside = re.findall(r'href="([^"]*/beside\?[^"]*)"', page)[0].replace("&amp;", "&")
        assert "The first 100 messages are the same" in read(opener, home + beside)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr is not None
        assert process.stderr.read() == b"Interrupted.\n"


def test_grep_finds_what_recall_finds_and_the_page_leads_there(
    command: Command, search_worker: Worker, tmp_path: Path
) -> None:
    del search_worker  # it only has to be there
    call = {"type": "tool_call", "id": "c", "name": "read_file", "arguments": '{"path":"src/harbour_tides.py"}'}
    result = {"type": "tool_result", "tool_call_id": "c", "content": "def nodal_factor(month): ..."}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "Why does K2 come out low at Skagen?"},
        {"role": "assistant", "content": [{"type": "thinking", "text": "An amplitude is missing"}, call]},
        {"role": "tool", "content": [result]},
        {"role": "assistant", "content": "The constituent was never added."},
    ]
    with HistorySink.from_env(command.variables) as sink:
        receipt = sink.save("tides", messages)
        assert sink.flush("tides")
        assert command("export", "tides", tmp_path).status == 0
        for words, turn in (
            ("Skagen", 0),
            ("amplitude", 1),
            ("harbour_tides.py", 1),
            ("nodal_factor", 2),
            ("never", 3),
        ):
            found = sink.recall(words, session="tides", at_least=receipt, timeout_seconds=30)
            assert isinstance(found, Recalled), found
            assert [hit.message for hit in found.hits] == [turn]
            holding = [path.name for path in sorted(tmp_path.glob("turn-*")) if words in path.read_text()]
            assert [name[:9] for name in holding] == [f"turn-{turn:04d}"]
    opener = build_opener(HTTPCookieProcessor(CookieJar()))
    with viewing(command) as (link, _):
        read(opener, link)
        page = read(opener, f"{link.partition('/?')[0]}/search?q=amplitude")
        assert "<mark>amplitude</mark>" in page
        lead = re.findall(r'href="(/s/tides[^"]*)"', page)[0].replace("&amp;", "&")
        assert "An amplitude is missing" in read(opener, link.partition("/?")[0] + lead.partition("#")[0])
