"""What `make test-quick` runs starts no server, by fixture or by itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kinds import is_quick
from stack.processes import Process
from stack.redis import RedisServer

PROGRAM = """
from pathlib import Path
from stack.processes import Process
Process("the child's", ["true"], log_path=Path("log")).launch()
"""


def test_a_quick_test_cannot_start_a_server(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    assert is_quick(request.node)
    assert request.node.get_closest_marker("quick")
    with pytest.raises(RuntimeError, match="mark it `servers`"):
        RedisServer(tmp_path).start()
    assert not (tmp_path / "log").exists()


def test_nor_can_a_program_that_it_starts(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", PROGRAM]
    ended = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 1
    assert "the child's: a quick test starts no server" in ended.stderr


def test_who_asks_for_a_server_is_not_quick(request: pytest.FixtureRequest, redis_server: RedisServer) -> None:
    assert redis_server.process.is_running
    assert not is_quick(request.node)


@pytest.mark.servers
def test_who_is_marked_may_start_one(tmp_path: Path) -> None:
    process = Process("it", ["true"], log_path=tmp_path / "log")
    process.launch()
    assert process.wait(timeout_seconds=20) == 0
