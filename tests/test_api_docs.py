"""docs/api.md: it names all that is public, with each state, and its examples print what it says that they print."""

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args

import pytest

import history_sink
from history_sink import HistorySink
from history_sink.protocol.outcome import FlushState, OutcomeKind, ReceiptState
from history_sink.protocol.pointer import FaultKind
from history_sink.testing import MemoryArchive, MemorySink
from stack.stack import producer_environment
from stack.worker import Worker

TEXT = (Path(__file__).parents[1] / "docs" / "api.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
CODE = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`\n]+)`", TEXT))))
METHODS = {
    name: member
    for kind in reversed(HistorySink.__mro__)
    for name, member in vars(kind).items()
    if not name.startswith("_") and callable(getattr(HistorySink, name)) and not name.endswith("_fork")
}


def table_under(heading: str) -> list[str]:
    """What the first column of the section's table has in code."""
    section = re.split(r"^#+ ", TEXT.partition(f"# {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^\| `([a-z_]+)` \|", section, re.MULTILINE)


def write_call(name: str, method: Callable[..., Any]) -> str:
    """As the page has it: parameters and defaults, without types."""
    plain = [
        ("*" if each.kind is each.VAR_POSITIONAL else "")
        + each.name
        + ("" if each.default is each.empty else f"={each.default!r}")
        for each in [*inspect.signature(method).parameters.values()][1:]
    ]
    return f"{name}({', '.join(plain)})"


def test_the_examples_print_what_stands_beside_them(environment: Mapping[str, str], worker: Worker) -> None:
    del worker  # it answers
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(BLOCKS)],
        env={**os.environ, **producer_environment(environment)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = re.findall(r"^ *print\(.*\)  # (.*)$", "\n".join(BLOCKS), re.MULTILINE)
    assert done.stdout.splitlines() == expected
    assert "\n".join(BLOCKS).count("print(") == len(expected)


@pytest.mark.parametrize("name", history_sink.__all__)
def test_each_public_name_is_told_of_with_its_fields(name: str) -> None:
    assert name in CODE
    value = getattr(history_sink, name)
    if inspect.isclass(value) and is_dataclass(value):
        assert {field.name for field in fields(value)} <= CODE


@pytest.mark.parametrize("name", METHODS)
def test_each_call_is_told_of_with_its_parameters(name: str) -> None:
    method = inspect.unwrap(getattr(METHODS[name], "__func__", METHODS[name]))
    owner = "HistorySink" if name == "from_env" else "sink"
    assert f"`{owner}.{write_call(name, method)}`" in TEXT.replace("`await ", "`")


def test_each_call_of_the_archive_in_memory_is_told_of_with_its_parameters() -> None:
    assert f"`{write_call('MemorySink', MemorySink.__init__)}`" in TEXT
    assert f"`{write_call('MemoryArchive', MemoryArchive.__init__)}`" in TEXT
    for name, member in vars(MemoryArchive).items():
        if not name.startswith("_"):
            told = write_call(name, member) if callable(member) else name
            assert f"`archive.{told}`" in TEXT


def test_the_constructor_is_told_of_with_its_parameters() -> None:
    assert f"`{write_call('HistorySink', HistorySink.__init__)}`" in TEXT


@pytest.mark.parametrize(
    ("heading", "states"),
    [
        ("Receipt states", ReceiptState),
        ("Flush states", FlushState),
        ("Outcomes", OutcomeKind),
        ("Faults", FaultKind),
    ],
)
def test_each_state_has_its_row(heading: str, states: Any) -> None:
    assert sorted(table_under(heading)) == sorted(get_args(states))


def test_each_error_has_its_row() -> None:
    section = TEXT.partition("## Errors\n")[2]
    for name in history_sink.__all__:
        value = getattr(history_sink, name)
        if inspect.isclass(value) and issubclass(value, Exception) and value is not history_sink.HistorySinkError:
            assert f"\n| `{name}` |" in section, name
