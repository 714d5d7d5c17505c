"""Where agents keep their sessions, and which files those are. One module an agent; none of them knows a sink."""

from collections.abc import Mapping

from history_sink_agents.formats.claude import CLAUDE
from history_sink_agents.formats.codex import CODEX
from history_sink_agents.formats.format import Format, Found, Kind, Unreadable
from history_sink_agents.formats.gemini import GEMINI
from history_sink_agents.formats.opencode import OPENCODE
from history_sink_agents.formats.others import CODETETHER, COPILOT, PI, QWEN

__all__ = ["FORMATS", "Format", "Found", "Kind", "Unreadable"]

FORMATS: Mapping[str, Format] = {
    each.name: each for each in (CLAUDE, CODEX, GEMINI, OPENCODE, COPILOT, QWEN, PI, CODETETHER)
}
"""The agents that can be archived, by their names."""
