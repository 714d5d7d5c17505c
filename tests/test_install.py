"""`make install` tells each step in a line, and all that pip said where it fails."""

import sys

import pytest

from stack.install import run


def test_a_step_that_goes_well_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    program = "print('Collecting one'); print('  Downloading one-1.whl'); print('Collecting two')"
    assert run("the library", [sys.executable, "-c", program]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("  the library: 2 packages, ")
    assert told.out.count("\n") == 1
    assert told.err == ""


def test_what_pip_warns_of_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    program = "print('Collecting one'); print('WARNING: one 1.0 was yanked')"
    assert run("the library", [sys.executable, "-c", program]) == 0
    assert capsys.readouterr().err == "WARNING: one 1.0 was yanked\n"


def test_all_that_pip_said_is_told_where_it_fails(capsys: pytest.CaptureFixture[str]) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-index"]
    assert run("the library", [*pip, "no-such-library"]) == 1
    told = capsys.readouterr()
    assert told.out == "  the library, failed with status 1:\n"
    assert told.err.splitlines()[-2:] == [
        "ERROR: Could not find a version that satisfies the requirement no-such-library (from versions: none)",
        "ERROR: No matching distribution found for no-such-library",
    ]
