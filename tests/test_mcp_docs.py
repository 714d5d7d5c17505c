"""docs/mcp.md: it tells of each tool with what that takes, and of each fault that it names."""

import re
from pathlib import Path

from history_sink_agents.mcp_server import resources
from history_sink_agents.mcp_server.tools import TOOLS

TEXT = (Path(__file__).parents[1] / "docs" / "mcp.md").read_text()


def test_each_tool_has_its_row_with_all_that_it_takes() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \| .* \|$", TEXT, re.MULTILINE))
    assert rows.keys() == TOOLS.keys()
    for name, tool in TOOLS.items():
        told = set(re.findall(r"`(\w+)`", rows[name])) - {"list", "show"}
        assert told == tool.arguments.model_fields.keys()


def test_resources_are_named_as_they_are() -> None:
    assert f"`{resources.LogName('<session>').uri}`" in TEXT
    assert f"`{resources.LogName('<session>', '<branch>').uri}`" in TEXT
    assert f"up to {resources.MOST_BYTES // 2**20} MiB" in TEXT
