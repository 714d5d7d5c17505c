"""`make test-release`: wheel and sdist into dist/, checked, installed into an empty environment, and tested there.

What was tested is what lies in dist/ afterwards. It is published by hand: CONTRIBUTING.md says how.
"""

import argparse
import re
import shutil
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

from stack.install import EXTRAS, run

_ROOT = Path(__file__).parents[1]
_DIST = _ROOT / "dist"
_ROOTS = (_ROOT / "producer", _ROOT / "worker", _ROOT / "agents")
_CONSTRAINTS = ("--constraint", str(_ROOT / "constraints.txt"))
_WHERE = """
import sys, history_sink, history_sink_worker
sys.exit(not all(module.__file__.startswith(sys.prefix) for module in (history_sink, history_sink_worker)))
"""
_BUILD = "wheel and sdist, in dist/"


def main() -> int:
    """0 if it may be published but for what is said to be left; else the status of what failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="the Python that the wheel is tested with")
    options = parser.parse_args()
    version = read_version()
    print(f"Building and testing history-sink {version}: about three minutes", flush=True)
    with tempfile.TemporaryDirectory(prefix="history-sink-release-") as place:
        for what, command in steps(version, options.python, Path(place)):
            if status := run(what, command):
                return status
            if what == _BUILD and (difference := compare_files(wheel_of(version))):
                print(f"the wheel does not hold what the tree does: {', '.join(sorted(difference))}", file=sys.stderr)
                return 1
    for fault in faults_of((_ROOT / "CHANGELOG.md").read_text(), version):
        print(f"Before it is published: {fault}")
    return 0


def steps(version: str, python: str, place: Path) -> Iterator[tuple[str, list[str]]]:
    """What is run, with the name of each step."""
    shutil.rmtree(_DIST, ignore_errors=True)
    install = ["-m", "pip", "--disable-pip-version-check", "install"]
    its = str(place / "bin" / "python")
    yield "the tools", [sys.executable, *install, *_CONSTRAINTS, "--group", "release"]
    yield _BUILD, [sys.executable, "-m", "build", "--outdir", str(_DIST), str(_ROOT)]  # the wheel from the sdist
    yield "their metadata", [sys.executable, "-m", "twine", "check", "--strict", *map(str, sorted(_DIST.iterdir()))]
    yield f"an environment of {python}", [python, "-m", "venv", str(place)]
    yield "pip", [its, *install, "pip>=25.1"]
    wheel = f"{wheel_of(version)}[{EXTRAS}]"
    yield "the wheel, and what the tests need", [its, *install, *_CONSTRAINTS, "--group", "dev", wheel]
    yield "it is the wheel that is imported", [its, "-c", _WHERE]
    yield (
        "the quick tests",
        [its, "-m", "pytest", "--quiet", "--numprocesses", "2", "--dist", "loadfile", "-m", "quick"],
    )


def read_version() -> str:
    """The version has one place, pyproject.toml; programs ask the installed metadata."""
    version: str = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]["version"]
    return version


def wheel_of(version: str) -> Path:
    """Where the wheel is built."""
    return _DIST / f"history_sink-{version}-py3-none-any.whl"


def compare_files(wheel: Path) -> set[str]:
    """Files of the packages that are in the tree or in the wheel only."""
    tree = {
        str(path.relative_to(root))
        for root in _ROOTS
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.parent.name.endswith(".egg-info")
    }
    with zipfile.ZipFile(wheel) as archive:
        built = {name for name in archive.namelist() if ".dist-info/" not in name}
    return tree ^ built


def faults_of(changelog: str, version: str) -> list[str]:
    """Why the changelog is not yet that of a published `version`."""
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    titles = [section.partition("\n")[0] for section in sections]
    faults = []
    if titles[0] == "Unreleased" and sections[0].partition("\n")[2].strip():
        faults.append("CHANGELOG.md: what is unreleased goes into the version's section")
    newest = next((title for title in titles if title != "Unreleased"), "")
    if not newest.startswith(f"[{version}] - "):
        faults.append(f"CHANGELOG.md: the newest section is {newest!r}, not that of {version}")
    elif not re.fullmatch(r"\d{4}-\d\d-\d\d", newest.partition(" - ")[2]):
        faults.append(f"CHANGELOG.md: the section of {version} has no date")
    return faults


if __name__ == "__main__":
    sys.exit(main())
