"""A forked process is to a test what one is that was started anew."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from forked_process import ForkedProcess
from stack.processes import NotReady, Process, wait_until

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc"),
]
REPOSITORY = Path(__file__).parents[1]
SHOWN = """
import json, os, signal, sys, threading
print(json.dumps({
    "argv": sys.argv, "path": sys.path, "name": __name__, "environment": dict(os.environ), "directory": os.getcwd(),
    "leads": (os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()), "threads": threading.active_count(),
    "files": sorted(os.listdir("/proc/self/fd"), key=int), "input": sys.stdin.read(),
    "signals": [str(signal.getsignal(number)).partition(" at ")[0] for number in sorted(signal.valid_signals())],
    "masked": list(signal.pthread_sigmask(signal.SIG_BLOCK, [])), "mask": os.umask(0o22),
}))
sys.exit(7)
"""


def start(kind: type[Process], directory: Path, program: str, *arguments: str) -> Process:
    (directory / "shown.py").write_text(program)
    environment = {**os.environ, "PYTHONPATH": str(directory), "ONLY": "its own"}
    command = [sys.executable, "-m", "shown", *arguments]
    process = kind("it", command, log_path=directory / "log", environment=environment, directory=Path("/"))
    process.launch()
    return process


def show(kind: type[Process], directory: Path) -> dict[str, Any]:
    directory.mkdir(exist_ok=True)
    process = start(kind, directory, SHOWN, "--first", "second")
    assert process.wait(timeout_seconds=30) == 7
    return dict(json.loads(process.log()))


def test_it_finds_what_a_new_one_finds(tmp_path: Path) -> None:
    assert show(ForkedProcess, tmp_path) == show(Process, tmp_path)


def is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_it_can_be_paused_stopped_and_killed_with_all_that_it_has_started(tmp_path: Path) -> None:
    process = start(ForkedProcess, tmp_path, "import os, time; os.fork(); print('up', flush=True); time.sleep(60)")
    wait_until(lambda: process.log().count("up") == 2, timeout_seconds=20, what="both")
    process.pause()
    with pytest.raises(NotReady):
        process.wait(timeout_seconds=0.1)
    process.stop()
    assert process.exit_status == -signal.SIGTERM
    assert not process.is_running
    wait_until(lambda: is_gone(process.pid), timeout_seconds=20, what="the other to be gone")
    process.launch()
    assert process.is_running
    process.kill()
    assert process.exit_status == -signal.SIGKILL


def test_it_dies_with_a_test_run_that_was_killed(tmp_path: Path) -> None:
    program = f"""
import sys, time
sys.path.append("tests/support")
from pathlib import Path
from forked_process import ForkedProcess
process = ForkedProcess("it", [sys.executable, "-m", "http.server", "0"], log_path=Path({str(tmp_path / "log")!r}))
process.launch()
print(process.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], cwd=REPOSITORY, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = Path("/proc", parent.stdout.readline().decode().strip())
        assert child.is_dir()
        parent.kill()
        wait_until(lambda: not child.is_dir(), timeout_seconds=20, what="the child to die as well")


def test_each_has_random_numbers_of_its_own(tmp_path: Path) -> None:
    found = set()
    for _ in range(2):
        process = start(ForkedProcess, tmp_path, "import random; print(random.random())")
        assert process.wait(timeout_seconds=30) == 0
        found.add(process.log())
    assert len(found) == 2
