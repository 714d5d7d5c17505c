"""The wheel, as pip installs it for somebody who has no clone."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from test_extra import COMMANDS, expect_a_line, run

ROOT = Path(__file__).parents[1]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "producer", "worker")

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
