"""What is published says what it is. `make test-release` builds it and tests the wheel."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from stack.release import faults_of, read_version

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_version_has_one_place_and_whatever_names_it_agrees() -> None:
    assert version("history-sink") == read_version()  # else: make install
    for path in (ROOT / "compose.yaml", *(ROOT / "deploy" / "kubernetes").glob("*.yaml")):
        named = set(re.findall(r"image: history-sink:(\S+)", path.read_text()))
        assert named <= {read_version()}, path.name


def test_the_changelog_has_a_section_for_the_version() -> None:
    faults = faults_of((ROOT / "CHANGELOG.md").read_text(), read_version())
    assert not [fault for fault in faults if "the newest section" in fault]


@pytest.mark.parametrize(
    ("changelog", "faults"),
    [
        ("# C\n\n## Unreleased\n\n## [1.0.0] - 2026-11-29\n\n- All\n", []),
        ("# C\n\n## [1.0.0] - 2026-11-29\n\n- All\n", []),
        ("# C\n\n## Unreleased\n\n- More\n\n## [1.0.0] - 2026-11-29\n", ["what is unreleased"]),
        ("# C\n\n## [1.0.0] - unreleased\n", ["has no date"]),
        ("# C\n\n## [0.9.0] - 2026-11-29\n", ["the newest section is '[0.9.0] - 2026-11-29'"]),
        ("# C\n\n## Unreleased\n\n- All\n", ["what is unreleased", "the newest section is ''"]),
    ],
)
def test_a_changelog_that_is_not_ready_is_told(changelog: str, faults: list[str]) -> None:
    found = faults_of(changelog, "1.0.0")
    assert len(found) == len(faults)
    for fault, expected in zip(found, faults, strict=True):
        assert expected in fault


def test_the_least_python_is_the_first_that_is_named() -> None:
    named = [each.rpartition(" ")[2] for each in PROJECT["classifiers"] if each.startswith("Programming Language")]
    assert f">={next(each for each in named if '.' in each)}" == PROJECT["requires-python"]


def test_the_long_description_is_the_readme() -> None:
    assert (ROOT / PROJECT["readme"]).read_text().startswith(f"# {PROJECT['name']}\n")
