"""The wheel, as pip installs it for somebody who has no clone."""

import inspect
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import history_sink
import history_sink.testing
from test_extra import COMMANDS, expect_a_line, run

ROOT = Path(__file__).parents[1]
USER = Path(__file__).parent / "support" / "library_user.py"
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "producer", "worker", "agents")

pytestmark = pytest.mark.system  # it asks the package registry


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: a build leaves things beside its sources."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, source / name)
    pip(Path(sys.executable), "wheel", "--no-deps", "--wheel-dir", str(built), str(source))
    (found,) = built.iterdir()
    return found


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment in which the wheel is installed without an extra."""
    place = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True, timeout=60)
    pip(place / "bin" / "python", "install", "--constraint", str(ROOT / "constraints.txt"), str(wheel))
    return place / "bin"


@pytest.fixture(scope="module")
def environment(programs: Path) -> Mapping[str, str]:
    return {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}


def pip(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr


def test_the_wheel_without_the_extra_says_what_its_workers_lack(programs: Path, environment: Mapping[str, str]) -> None:
    assert not list(programs.parent.glob("lib/*/site-packages/boto3"))
    for command in (each for each in COMMANDS if not each.endswith("flower")):  # Celery does not know that one then
        expect_a_line(run(command, environment, programs))


def test_the_wheel_without_the_extra_is_the_whole_library(programs: Path, environment: Mapping[str, str]) -> None:
    assert run("history-sink --version", environment, programs).stdout.startswith("history-sink, version ")
    ended = run(
        "history-sink check", {**environment, "CODETETHER_HISTORY_BROKER_URL": "redis://127.0.0.1:1/0"}, programs
    )
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr
    (marker,) = programs.parent.glob("lib/*/site-packages/history_sink/py.typed")
    assert marker.exists()


def check_types(programs: Path, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a type checker of ours beside the wheel's environment, out of the sight of this repository."""
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=115, check=False
    )


def test_mypy_sees_the_wheels_types_by_its_strict_rules(programs: Path, tmp_path: Path) -> None:
    shutil.copy(USER, tmp_path)
    done = check_types(programs, tmp_path, "mypy", "--strict", "--python-executable", f"{programs}/python", USER.name)
    assert done.returncode == 0, done.stdout + done.stderr


def test_pyright_sees_the_wheels_types_by_its_strict_rules(programs: Path, tmp_path: Path) -> None:
    (tmp_path / USER.name).write_text(f"# pyright: strict\n{USER.read_text()}")
    done = check_types(programs, tmp_path, "pyright", "--pythonpath", f"{programs}/python", USER.name)
    assert done.returncode == 0, done.stdout + done.stderr


def test_pyright_knows_the_type_of_all_that_is_public(programs: Path, tmp_path: Path) -> None:
    done = check_types(
        programs, tmp_path, "pyright", "--verifytypes", "history_sink", "--ignoreexternal", "--outputjson"
    )
    symbols = json.loads(done.stdout)["typeCompleteness"]["symbols"]
    public = {f"history_sink.{name}" for name in history_sink.__all__}
    values = [getattr(home, name) for home in (history_sink, history_sink.testing) for name in home.__all__]
    classes = [each for each in values if inspect.isclass(each)]
    kinds = {kind for each in classes for kind in each.__mro__ if kind.__module__.startswith("history_sink")}
    inner = tuple(f"{each.__module__}.{each.__qualname__}" for each in kinds)
    told = {
        symbol["name"]: symbol["isTypeKnown"] and not symbol["isTypeAmbiguous"]
        for symbol in symbols
        if symbol["name"] in public or symbol["name"].startswith(tuple(f"{name}." for name in inner))
    }
    assert public <= told.keys()
    assert {"history_sink.sink_writes.SinkWrites.save", "history_sink.testing.MemorySink.archive"} <= told.keys()
    assert "history_sink.sink_reads.SinkReads.read" in told
    assert [name for name, is_known in told.items() if not is_known] == []
