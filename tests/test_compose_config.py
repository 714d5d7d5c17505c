"""What the real Docker Compose makes of compose.yaml and of what may be laid over it. No engine is asked."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from compose_file import COMPOSE_TEXT, REFERENCE, ROOT, USERS_TEXT, load
from stack.go_programs import DOCKER_COMPOSE

pytestmark = pytest.mark.system  # Docker Compose is built for these tests alone

TEXTS = {"compose.yaml": COMPOSE_TEXT, "deploy/compose.acl.yaml": USERS_TEXT}
STACKS = {"plain": ["compose.yaml"], "with users": ["compose.yaml", "deploy/compose.acl.yaml"]}


def required(files: list[str]) -> dict[str, str]:
    """A value for each variable that the files name."""
    return {
        found["name"]: f"of{number}" for file in files for number, found in enumerate(REFERENCE.finditer(TEXTS[file]))
    }


EACH_MISSING = [(stack, name) for stack, files in STACKS.items() for name in required(files)]


@pytest.fixture(scope="module")
def docker_compose() -> Path:
    return DOCKER_COMPOSE.ensure()


def config(program: Path, files: list[str], values: Mapping[str, str], place: Path) -> subprocess.CompletedProcess[str]:
    """`docker compose config`, with nothing but these values: no .env of this clone, no variable of ours."""
    (place / "env").write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    chosen = [word for file in files for word in ("--file", str(ROOT / file))]
    command = [str(program), *chosen, "--env-file", str(place / "env"), "config", "--format", "json"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(place)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_each_overlay_is_tried() -> None:
    overlays = {str(path.relative_to(ROOT)) for path in (ROOT / "deploy").glob("compose*")}
    assert {*TEXTS} == {"compose.yaml", *overlays}


@pytest.mark.parametrize("stack", STACKS)
def test_compose_reads_them_as_our_tests_do(docker_compose: Path, stack: str, tmp_path: Path) -> None:
    files = STACKS[stack]
    values = required(files)
    done = config(docker_compose, files, values, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    read = json.loads(done.stdout)
    ours = load(values, *(TEXTS[file] for file in files[1:]))
    assert {*read["services"]} == {*ours["services"]}
    for name, service in ours["services"].items():
        assert pick(read["services"][name]) == pick(service), name
    assert read["configs"]["redis"]["content"] == ours["configs"]["redis"]["content"]


def pick(service: Mapping[str, Any]) -> dict[str, Any]:
    """What of a service is written alike in the file and in what Compose makes of it."""
    plain = {
        name: service.get(name) for name in ("command", "environment", "image", "restart", "read_only", "cap_drop")
    }
    return {**plain, "configs": {each["target"] for each in service.get("configs", [])}}


@pytest.mark.parametrize(("stack", "missing"), EACH_MISSING)
@pytest.mark.parametrize("how", ["unset", "empty"])
def test_a_variable_that_is_missing_is_named(
    docker_compose: Path, stack: str, missing: str, how: str, tmp_path: Path
) -> None:
    values = required(STACKS[stack])
    values = {**values, missing: ""} if how == "empty" else {name: values[name] for name in values if name != missing}
    done = config(docker_compose, STACKS[stack], values, tmp_path)
    assert done.returncode != 0
    assert done.stdout == ""
    assert f"required variable {missing} is missing a value: set it in .env" in done.stderr
