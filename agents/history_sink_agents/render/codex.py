"""Codex's rollout lines: ``{timestamp, type, payload}``, and the bare items of older versions."""

from collections.abc import Mapping
from typing import Any

from history_sink_agents.render import plain
from history_sink_agents.render.parts import read_call, read_part, read_result
from history_sink_agents.render.turns import Draft
from history_sink_agents.render.values import find_time, pick_dict, pick_text

_CALLS = {
    "function_call": "",
    "custom_tool_call": "",
    "local_shell_call": "local_shell",
    "web_search_call": "web_search",
    "tool_search_call": "tool_search",
}


def read(record: Mapping[str, Any]) -> Draft | None:
    """An item of the conversation; or None for other lines, which stay JSON."""
    payload = pick_dict(record, "payload")
    if payload is None:
        return _read_item(record) if pick_text(record, "type") != "message" else None
    if record.get("type") != "response_item":
        return None
    draft = _read_item(payload)
    return draft and draft._replace(at=find_time(record, payload))


def _read_item(item: Mapping[str, Any]) -> Draft | None:
    kind, at = pick_text(item, "type"), find_time(item)
    if kind == "message":
        draft = plain.read(item)
        return draft and draft._replace(shape="codex")
    if kind == "reasoning" and (parts := read_part(dict(item)))[0].kind == "thinking":
        return Draft("assistant", parts, "codex", at)
    if kind in _CALLS:
        fields = item if item.keys() & {"arguments", "input"} else {**item, "arguments": item.get("action", "")}
        return Draft("assistant", read_call(fields, _CALLS[kind]), "codex", at)
    if kind in ("function_call_output", "custom_tool_call_output", "tool_search_output"):
        return Draft("tool", read_result(item), "codex", at)
    return None
