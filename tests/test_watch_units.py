"""What has the system start the watch: the unit and the property list are read, and what they start is started."""

import configparser
import json
import plistlib
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from command import Command
from history_sink_agents.watch.units import ENVIRONMENT, System, write_unit

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
    done = subprocess.run(listed["ProgramArguments"], capture_output=True, check=True, env={"PATH": "/usr/bin:/bin"})
    assert json.loads(done.stdout) == [["watch"], URL]
    assert (listed["RunAtLoad"], listed["KeepAlive"]) == (True, True)


def test_systemds_unit_starts_the_watch(program: Path, tmp_path: Path) -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]  # as its documentation has it
    unit.read_string(write_unit("systemd", program, tmp_path))
    assert shlex.split(unit["Service"]["ExecStart"]) == [str(program), "watch"]
    assert unit["Service"]["EnvironmentFile"] == f"%h/{ENVIRONMENT}"
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
