"""docs/pages.md: its example prints what it says that it prints, and each call is told of with its parameters."""

import contextlib
import inspect
import io
import re
from pathlib import Path
from typing import Any

import pytest

import history_sink
from history_sink.testing import MemorySink
from history_sink_agents import pages
from history_sink_agents.pages import KINDS, LEVELS, Archive, Pages

TEXT = (Path(__file__).parents[1] / "docs" / "pages.md").read_text()
METHODS = {name: each for name, each in vars(Pages).items() if not name.startswith("_") and inspect.isfunction(each)}


def test_the_example_prints_what_stands_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_sink, "HistorySink", MemorySink)
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(code, {})
    expected = re.findall(r"^print\(.*\)  # (.*)$", code, re.MULTILINE)
    assert said.getvalue().splitlines() == expected
    assert code.count("print(") == len(expected) > 5


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("Pages", Pages.__init__),
        ("Archive", Archive.__init__),
        *((f"pages.{name}", each) for name, each in METHODS.items()),
    ],
)
def test_each_call_is_told_of_with_its_parameters(name: str, call: Any) -> None:
    written = ", ".join(
        ("*" if each.kind is each.VAR_POSITIONAL else "")
        + each.name
        + ("" if each.default is each.empty else f"={getattr(each.default, '__name__', repr(each.default))}")
        for each in [*inspect.signature(call).parameters.values()][1:]
    )
    assert f"`{name}({written})`" in TEXT


def test_each_kind_and_each_level_has_its_row() -> None:
    for name in (*KINDS, *LEVELS):
        assert re.search(rf"^\| `{name}` \| ", TEXT, re.MULTILINE)
    assert len(METHODS) == 12
    assert set(pages.__all__) >= {"Archive", "Pages"}
