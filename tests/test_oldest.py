"""What pyproject.toml says is old enough is what `make test-oldest` tries."""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest

from stack.oldest import PARTS, locate, merge

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def floors(requirements: Iterable[str]) -> dict[str, str]:
    """By name; later ones replace earlier ones, as a higher floor does."""
    found = (re.fullmatch(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", each) for each in requirements)
    return {match[1]: match[2] for match in found if match}


def pins(file: str) -> dict[str, str]:
    lines = (line.partition("==") for line in (ROOT / file).read_text().splitlines() if "==" in line)
    return {name: version for name, _, version in lines}


def same(version: str) -> list[int]:
    numbers = [int(part) for part in version.split(".")]
    while numbers[-1] == 0:
        numbers.pop()
    return numbers


@pytest.mark.parametrize("part", PARTS)
def test_each_floor_is_tried(part: str) -> None:
    file, extras, _ = PARTS[part]
    optional = {"worker", "watch", "claude", "pydantic-ai", "openai-agents"}.intersection(extras)
    own = [each for extra in optional for each in PROJECT["optional-dependencies"][extra]]
    tried = pins(file)
    lowest = floors(own if part == "stores" else PROJECT["dependencies"] + own)
    assert len(lowest) >= 4
    assert {name: same(version) for name, version in lowest.items()} == {name: same(tried[name]) for name in lowest}


@pytest.mark.parametrize("part", PARTS)
def test_each_file_that_is_run_on_them_is_there(part: str) -> None:
    assert [name for name in PARTS[part][2] if not locate(name).exists()] == []


def test_an_oldest_version_stands_in_place_of_the_newest() -> None:
    assert merge(["# old", "a_b==1"], ["# new", "A-b==2", "c==3"]) == ["# old", "a_b==1", "# new", "c==3"]
