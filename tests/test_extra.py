"""Without the extra `worker`: the library works, and the worker's commands say in a line what they lack."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

EXTRA = ("boto3", "botocore", "prometheus_client", "structlog")
PROGRAMS = Path(sys.executable).parent
COMMANDS = [
    "history-sink-worker",
    "history-sink-worker --help",
    "history-sink-worker doctor",
    "history-sink-worker health",
    "python -m history_sink_worker.cli.main tidy",
    "history-sink-worker run -P threads --concurrency 8",
    "celery -A history_sink_worker worker -P threads --concurrency 8",
    "celery -A history_sink_worker flower",
    "celery -A history_sink_worker inspect ping",
]


@pytest.fixture
def without_extra(tmp_path: Path) -> Mapping[str, str]:
    """The environment of a Python that finds none of the extra's packages."""
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({EXTRA!r}))\n")
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def run(command: str, environment: Mapping[str, str], programs: Path = PROGRAMS) -> subprocess.CompletedProcess[str]:
    program, *arguments = command.split()
    return subprocess.run(
        [programs / program, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def expect_a_line(ended: subprocess.CompletedProcess[str]) -> None:
    assert ended.returncode == 1
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("history-sink-worker: not installed: boto3")
    assert "pip install 'history-sink[worker]'" in line


@pytest.mark.parametrize("command", COMMANDS)
def test_without_the_extra_the_workers_commands_say_so_in_one_line(
    command: str, without_extra: Mapping[str, str]
) -> None:
    expect_a_line(run(command, without_extra))


def test_without_the_extra_the_librarys_command_works(without_extra: Mapping[str, str]) -> None:
    ended = run("history-sink --help", without_extra)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_with_the_extra_all_commands_are_listed() -> None:
    ended = run("history-sink-worker --help", os.environ)
    assert ended.returncode == 0
    for name in ("acl", "audit", "dead", "delete", "doctor", "health", "policy", "prune", "tidy", "verify"):
        assert f"\n  {name} " in ended.stdout


@pytest.mark.parametrize("command", ["history-sink", "history-sink-worker"])
def test_what_a_command_does_is_told_in_the_list_whole(command: str) -> None:
    assert "..." not in run(f"{command} --help", os.environ).stdout.partition("Commands:")[2]
