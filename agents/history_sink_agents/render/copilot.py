"""GitHub Copilot CLI's events: ``{type, data, id, timestamp, parentId}``."""

from collections.abc import Mapping
from typing import Any

from history_sink_agents.render.parts import join_result, read_call, read_parts
from history_sink_agents.render.turns import Draft, Part, Who
from history_sink_agents.render.values import find_time, pick_dict, pick_text

_WHO: dict[str, Who] = {"user.message": "user", "assistant.message": "assistant", "system.message": "system"}


def is_event(record: Mapping[str, Any]) -> bool:
    """Whether a record has an event's envelope."""
    return "parentId" in record and isinstance(record.get("data"), dict) and "." in pick_text(record, "type")


def read(record: Mapping[str, Any]) -> Draft | None:
    """A message, a thought or a tool's result; None for other lines, which stay JSON."""
    data = pick_dict(record, "data")
    if data is None or not is_event(record):
        return None
    kind, at = pick_text(record, "type"), find_time(record)
    if kind in _WHO:
        calls = data.get("toolRequests")
        requests = [each for each in calls if isinstance(each, dict)] if isinstance(calls, list) else []
        thought = pick_text(data, "reasoningText")
        parts = (
            *((Part("thinking", thought),) if thought else ()),
            *(read_parts(data.get("content")) if data.get("content") or not requests else ()),
            *(part for each in requests for part in read_call(each)),
        )
        return Draft(_WHO[kind], parts, "copilot", at, "", pick_text(data, "messageId") or None)
    if kind == "assistant.reasoning":
        return Draft("assistant", (Part("thinking", pick_text(data, "content")),), "copilot", at)
    if kind == "tool.execution_complete":
        is_error = data.get("success") is False
        outcome = pick_dict(data, "error" if is_error else "result") or {}
        inner = read_parts(outcome.get("content", outcome.get("message", "")))
        return Draft("tool", join_result(inner, "", pick_text(data, "toolCallId"), is_error), "copilot", at)
    return None
