"""Claude Code's lines, and those of agents that wrap a message in the same way (qwen-code, pi)."""

from collections.abc import Mapping
from typing import Any

from history_sink_agents.render import plain
from history_sink_agents.render.parts import read_parts
from history_sink_agents.render.turns import Draft, Shape
from history_sink_agents.render.values import find_time, pick_dict, pick_text

_TITLES = {"summary": "summary", "custom-title": "customTitle", "agent-name": "agentName"}
_OWN = {"sessionId", "leafUuid", "isSnapshotUpdate", "parentUuid"}


def read(record: Mapping[str, Any]) -> Draft | None:
    """A line with a message inside, or one of the agent's own; or None."""
    kind = pick_text(record, "type")
    shape: Shape = "claude-code" if record.keys() & _OWN else "plain"
    message = pick_dict(record, "message")
    if message is not None and (draft := plain.read(message)):
        at = find_time(record, message)
        marks = [name for name in ("isSidechain", "isMeta", "isCompactSummary") if record.get(name) is True]
        note = " ".join([draft.note, *marks]).strip()
        return draft._replace(shape=shape, at=at, note=note)
    if not kind or shape != "claude-code" or "$set" in record:
        return None
    text = pick_text(record, _TITLES.get(kind, "content"))
    if text and kind in (*_TITLES, "system"):
        note = f"{kind} {pick_text(record, 'subtype')}".strip()
        return Draft("system", read_parts(text), shape, find_time(record), note)
    return None
