"""`make demo`: it shows what it says, notices when something does not hold, and leaves nothing behind."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from history_sink.protocol.lines import encode_line
from stack.demo.transcript import BUNDLED, name_session, read_lines
from stack.go_programs import MINIO

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def built() -> None:
    """The first build of MinIO is not the demo's time."""
    MINIO.ensure()


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """A transcript of another agent, whose name is no session id and whose last line has no newline."""
    path = tmp_path / "my session (ø).jsonl"
    path.write_bytes(b'{"type":"user"}\r\n\n{"b" : 1.50, "a":"\xc3\xa6"}\n{"type":"last"}')
    return path


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where the demo puts its temporary files."""
    made = tmp_path / "temporary"
    made.mkdir()
    return made


def environment(directory: Path) -> Mapping[str, str]:
    return {**os.environ, "TMPDIR": str(directory)}


def run_demo(directory: Path, *arguments: str, code: str = "") -> subprocess.CompletedProcess[str]:
    """As `make demo </dev/null`; with `code`, that is run before it in the same process."""
    start = ["-c", f"{code}\nimport sys; from stack.demo.__main__ import main; sys.exit(main())"]
    return subprocess.run(
        [sys.executable, *(start if code else ["-m", "stack.demo"]), *arguments],
        cwd=ROOT,
        env=environment(directory),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def processes_with(text: str) -> list[str]:
    """Command lines, or environments, of processes that mention `text`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            seen = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:  # it has just ended
            continue
        if text.encode() in seen:
            found.append(entry.name)
    return found


@pytest.mark.servers
def test_the_demo_shows_what_it_promises_and_leaves_nothing_behind(directory: Path) -> None:
    done = run_demo(directory)
    assert done.returncode == 0, done.stderr + done.stdout
    text = done.stdout
    assert "kill -9 to worker-1" in text
    assert "history/transcript/history.jsonl" in text
    hashes = [line.split()[-1] for line in text.splitlines() if "sha256" in line]
    assert hashes[0::2] == hashes[1::2]
    assert len(hashes) == 6
    assert '"byte_range": [' in text
    for kind in ("no_match", "denied", "backend_error"):
        assert f'{{"kind": "{kind}"' in text
    assert "history/transcript/branches/" in text
    assert "http://127.0.0.1:" in text
    assert "history_sink.upload_history" in text
    assert "/beside?other_branch=" in text
    assert "docs/view-branches.png" in text
    assert ("side-by-side.png" in text) == (shutil.which("chromium") is not None)
    assert "\x1b" not in text
    headings = re.findall(r"^ ?\d\. .*$", re.sub(r":\d+", ":PORT", text), re.MULTILINE)
    assert len(headings) == 9
    readme = re.sub(r":\d+", ":PORT", (ROOT / "README.md").read_text())
    assert [heading for heading in headings if heading not in readme] == []
    assert not list(directory.iterdir())
    assert not processes_with(str(directory))


@pytest.mark.servers
def test_the_demo_takes_the_transcript_of_any_agent(directory: Path, short: Path) -> None:
    done = run_demo(directory, str(short))
    assert done.returncode == 0, done.stderr + done.stdout
    assert "history/my-session----/history.jsonl" in done.stdout


@pytest.mark.parametrize("content", [None, b""])
def test_no_messages_are_no_demo(directory: Path, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "empty.jsonl"
    if content is not None:
        path.write_bytes(content)
    done = run_demo(directory, str(path))
    assert done.returncode == 1
    assert str(path) in done.stderr


@pytest.mark.servers
def test_the_demo_fails_when_what_it_claims_does_not_hold(directory: Path, short: Path) -> None:
    # The killed worker's messages come back after ten minutes; the demo waits five seconds for the next to arrive.
    code = """
from stack.demo import scene, story
scene.VISIBILITY_SECONDS = 600
story.STUCK_SECONDS = 5
"""
    done = run_demo(directory, str(short), code=code)
    assert done.returncode == 1
    assert "does not hold" in done.stderr
    assert "All of it holds" not in done.stdout
    assert not list(directory.iterdir())


@pytest.mark.servers
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_demo_and_all_that_it_started(directory: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-u", "-m", "stack.demo"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(directory), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "of" in line and "messages saved" in line:
                break
        demo.send_signal(number)
        rest, _ = demo.communicate(timeout=60)
    assert demo.returncode == 128 + number
    assert "All of it holds" not in rest
    assert not list(directory.iterdir())
    assert not processes_with(str(directory))


@pytest.mark.servers
def test_the_demo_stays_up_on_a_terminal_until_ctrl_c(directory: Path, short: Path) -> None:
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "stack.demo", str(short)]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(directory), stdin=theirs, stdout=theirs, stderr=theirs
    ) as demo:
        os.close(theirs)
        shown, deadline = b"", time.monotonic() + 100
        while b"until Ctrl-C" not in shown:
            assert time.monotonic() < deadline, shown
            try:
                shown += os.read(ours, 65536)
            except OSError:  # it has ended
                break
        assert b"until Ctrl-C" in shown, shown
        assert demo.poll() is None
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 0
    os.close(ours)
    assert not list(directory.iterdir())


def test_the_bundled_transcript_has_all_that_a_transcript_can_have() -> None:
    lines = read_lines(BUNDLED)
    messages = [json.loads(line) for line in lines]
    parts = [part for message in messages for part in message["content"]]
    assert len(lines) > 300
    assert {message["role"] for message in messages} == {"system", "developer", "user", "assistant", "tool"}
    assert {part["type"] for part in parts} == {"text", "image", "file", "tool_call", "tool_result", "thinking"}
    assert max(map(len, lines)) > 300_000
    assert sum(map(len, lines)) < 1_000_000
    assert any(not line.isascii() for line in lines)
    assert [encode_line(message).data for message in messages] == lines


@pytest.mark.parametrize(
    ("stem", "session"), [("a b", "a-b"), ("..x", "x"), ("…", "-"), ("", "demo"), ("a" * 300, "a" * 200)]
)
def test_any_file_name_gives_a_session_id(stem: str, session: str) -> None:
    assert name_session(stem) == session
