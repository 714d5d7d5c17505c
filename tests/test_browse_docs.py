"""What docs/browse.md shows is run, and prints what stands beside it."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from history_sink_agents import browse, render

PAGE = (Path(__file__).parents[1] / "docs" / "browse.md").read_text()
SHOWN = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(("code", "printed"), SHOWN)
def test_an_example_prints_what_stands_below_it(code: str, printed: str) -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, {})
    assert out.getvalue() == printed


def test_there_are_examples_and_all_names_of_the_room_are_told() -> None:
    assert SHOWN
    told = set(re.findall(r"`(\w+)", PAGE))
    assert {*render.__all__, *browse.__all__} - {"Who", "PartKind", "Shape"} <= told
