"""A log's lines as turns: who said what, and when. Pure: nothing here reads a store, a file or a clock."""

from history_sink_agents.render.lines import render, speakers_of
from history_sink_agents.render.links import link
from history_sink_agents.render.markdown import name_turn, write_markdown
from history_sink_agents.render.turns import Part, PartKind, Shape, Turn, Who

VERSION = 2
"""Of what `render` and `write_markdown` make of a line: who keeps that makes it anew when this number changes."""

__all__ = [
    "VERSION",
    "Part",
    "PartKind",
    "Shape",
    "Turn",
    "Who",
    "link",
    "name_turn",
    "render",
    "speakers_of",
    "write_markdown",
]
