"""`make test-oldest`: the oldest versions that pyproject.toml lets in, each part's in an environment of its own.

The library's floors lie lower than the worker's: it is installed beside what an agent needs, and the worker is not.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from stack.install import run

_ROOT = Path(__file__).parents[1]
PARTS = {
    "library": (
        "constraints-oldest.txt",
        (),
        ("contract", "chain", "ledger", "lines", "session", "broker_urls", "imports", "sink", "threads"),
    ),
    "worker": (
        "constraints-oldest-worker.txt",
        ("worker", "flower", "search"),
        (
            *("transport", "transport_worker", "worker_start", "dead", "watch", "s3", "s3_bucket", "probe"),
            *("flush", "asyncio", "restore", "cli", "cli_trouble", "end_to_end"),
        ),
    ),
    "stores": (
        "constraints-oldest-stores.txt",
        ("watch", "claude", "pydantic-ai", "openai-agents"),
        ("store_claude", "store_names", "store_openai_agents", "store_pydantic", "watch_live"),
    ),
}
"""The file with the versions, the extras, and the files or folders of tests that are run on them."""


def main() -> int:
    """The status of the step that failed, else 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="the Python that is used")
    parser.add_argument("parts", nargs="*", choices=(*PARTS, []), help="default: all")
    options = parser.parse_args()
    for part in options.parts or PARTS:
        with tempfile.TemporaryDirectory(prefix="history-sink-oldest-") as place:
            for what, command in _steps(part, options.python, Path(place)):
                if status := run(f"{part}: {what}", command):
                    return status
    return 0


def merge(oldest: Sequence[str], newest: Sequence[str]) -> list[str]:
    """The lines of `oldest`, and those of `newest` that pin something else."""
    names = {_name(line) for line in oldest}
    return [*oldest, *(line for line in newest if _name(line) not in names)]


def _name(line: str) -> str:
    return line.partition("==")[0].lower().replace("_", "-")


def _steps(part: str, python: str, place: Path) -> Iterator[tuple[str, list[str]]]:
    file, extras, tests = PARTS[part]
    oldest, newest = ((_ROOT / name).read_text().splitlines() for name in (file, "constraints.txt"))
    constraints = place / "constraints.txt"
    its = [str(place / "bin" / "python"), "-m"]
    install = [*its, "pip", "--disable-pip-version-check", "install"]
    yield "an environment", [python, "-m", "venv", str(place)]
    yield "pip", [*install, "pip>=25.1"]
    constraints.write_text("\n".join(merge(oldest, newest)))
    more = [] if part == "worker" else ["boto3", "prometheus_client", "structlog"]  # the tests' own set-up wants them
    itself = f"{_ROOT}[{','.join(extras)}]" if extras else str(_ROOT)
    what = ["--constraint", str(constraints), "--group", "dev", "--editable", itself, *more]
    yield "its oldest dependencies", [*install, *what]
    files = [str(locate(name)) for name in tests]
    yield "its tests", [*its, "pytest", "--quiet", "--numprocesses", "2", "--dist", "loadfile", *files]


def locate(name: str) -> Path:
    """The folder of tests of that name, else the file."""
    folder = _ROOT / "tests" / name
    return folder if folder.is_dir() else folder.with_name(f"test_{name}.py")


if __name__ == "__main__":
    sys.exit(main())
