"""What has the system start the watch: the unit and the property list are read, and what they start is started."""

import configparser
import json
import plistlib
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from command import COMMAND, Command, write
from history_sink_agents.watch.units import ENVIRONMENT, System, write_unit
from stack.processes import wait_until

SHELLS = [("/bin/sh",), ("bash", "--posix")]
URL = "redis://:a&b@archive.example:6379/0"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """In the command's place: tells what it was given."""
    path = tmp_path / "with space" / "history-sink"
    path.parent.mkdir()
    path.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        "print(json.dumps([sys.argv[1:], os.environ.get('CODETETHER_HISTORY_BROKER_URL')]))\n"
    )
    path.chmod(0o755)
    return path


def test_launchd_starts_the_watch_with_the_variables_of_the_file(program: Path, tmp_path: Path) -> None:
    variables = tmp_path / ENVIRONMENT
    variables.parent.mkdir(parents=True)
    variables.write_text(f'CODETETHER_HISTORY_BROKER_URL="{URL}"\n')
    listed = plistlib.loads(write_unit("launchd", program, tmp_path).encode())
    done = subprocess.run(listed["ProgramArguments"], capture_output=True, check=False, env={"PATH": "/usr/bin:/bin"})
    assert json.loads(done.stdout) == [["watch"], URL]
    assert listed["RunAtLoad"]


def start_by_launchd(folder: Path, program: Path, shell: tuple[str, ...] = ("/bin/sh",)) -> "subprocess.Popen[str]":
    """As launchd starts it, without variables, by a shell: on a Mac, /bin/sh is bash."""
    (_, *words) = plistlib.loads(write_unit("launchd", program, folder).encode())["ProgramArguments"]
    return subprocess.Popen([*shell, *words], stderr=subprocess.PIPE, text=True, env={"PATH": "/usr/bin:/bin"})


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("status", "is_started_again"), [(0, True), (1, True), (2, False), (127, False)])
def test_launchd_starts_the_watch_again_but_for_a_wrong_configuration(
    tmp_path: Path, status: int, shell: tuple[str, ...], *, is_started_again: bool
) -> None:
    listed = plistlib.loads(write_unit("launchd", tmp_path / "x", tmp_path).encode())
    assert listed["KeepAlive"] == {"SuccessfulExit": False}  # again where it ends with another status than 0
    program = write_script(tmp_path / "history-sink", f"exit {status}")
    child = start_by_launchd(tmp_path, program, shell)
    _, told = child.communicate(timeout=30)
    assert (child.returncode != 0) == is_started_again
    assert ("launchctl kickstart" in told) == (not is_started_again)


@pytest.mark.parametrize("shell", SHELLS)
def test_launchd_is_told_of_variables_that_no_shell_can_read(tmp_path: Path, shell: tuple[str, ...]) -> None:
    write_script(tmp_path / ENVIRONMENT, "A=(")
    child = start_by_launchd(tmp_path, write_script(tmp_path / "history-sink", "exit 1"), shell)
    _, told = child.communicate(timeout=30)
    assert child.returncode == 0
    assert ENVIRONMENT in told


@pytest.mark.parametrize("shell", SHELLS)
def test_launchd_ends_the_watch(tmp_path: Path, shell: tuple[str, ...]) -> None:
    told = tmp_path / "told"
    program = tmp_path / "history-sink"
    write(
        program,
        f"#!{sys.executable}",
        "import pathlib, signal, sys, time",
        f"told = pathlib.Path({str(told)!r})",
        "def end(*_): told.write_text('ended'); sys.exit(143)",
        "signal.signal(signal.SIGTERM, end)",
        "told.write_text('began')",
        "time.sleep(60)",
    ).chmod(0o755)
    child = start_by_launchd(tmp_path, program, shell)
    wait_until(lambda: told.exists() and told.read_text() == "began", timeout_seconds=30, what="the watch")
    child.terminate()
    child.wait(30)
    assert told.read_text() == "ended"


def write_script(path: Path, *lines: str) -> Path:
    write(path, "#!/bin/sh", *lines)
    path.chmod(0o755)
    return path


def test_without_variables_the_real_command_is_not_started_again(tmp_path: Path) -> None:
    child = start_by_launchd(tmp_path, Path(COMMAND))
    _, told = child.communicate(timeout=60)
    assert child.returncode == 0
    assert "CODETETHER_HISTORY_BROKER_URL is not set" in told


def test_systemds_unit_starts_the_watch(program: Path, tmp_path: Path) -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]  # as its documentation has it
    unit.read_string(write_unit("systemd", program, tmp_path))
    assert shlex.split(unit["Service"]["ExecStart"]) == [str(program), "watch"]
    assert unit["Service"]["EnvironmentFile"] == f"-%h/{ENVIRONMENT}"
    assert unit["Service"]["RestartPreventExitStatus"].split() == ["2", "203"]
    assert unit["Install"]["WantedBy"] == "default.target"
    assert '"/a/100%%/$$x"' in write_unit("systemd", Path("/a/100%/$x"), tmp_path)


@pytest.mark.parametrize("system", ["systemd", "launchd"])
def test_the_command_prints_it_without_any_setting(system: System) -> None:
    ended = Command()("watch", "--print-unit", system)
    assert ended.status == 0
    assert b"watch" in ended.out


def test_the_command_is_light_until_it_is_run() -> None:
    code = "import sys, history_sink_agents.watch.command; print([*sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"watchfiles", "celery", "sqlite3", "history_sink_agents.formats"} & set(eval(done.stdout))
