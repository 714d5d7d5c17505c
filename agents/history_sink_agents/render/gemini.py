"""Gemini CLI's records. One is written again, with the same id, each time that it has grown."""

from collections.abc import Mapping
from typing import Any

from history_sink_agents.render.parts import Parts, join_result, read_call, read_parts
from history_sink_agents.render.plain import is_all_results
from history_sink_agents.render.turns import Draft, Part, Who
from history_sink_agents.render.values import find_time, pick_text

_WHO: dict[str, Who] = {
    "user": "user",
    "gemini": "assistant",
    "info": "system",
    "warning": "system",
    "error": "system",
}


def read(record: Mapping[str, Any]) -> Draft | None:
    """A message, or None for other lines, which stay JSON: the header, ``$set``, ``$rewindTo``."""
    kind = record.get("type")
    who = _WHO.get(kind) if isinstance(kind, str) else None
    if who is None or "content" not in record or "message" in record or "role" in record:
        return None
    parts = (*_read_thoughts(record.get("thoughts")), *read_parts(record["content"]), *_read_calls(record))
    if who == "user" and is_all_results(parts):
        who = "tool"
    note = pick_text(record, "type") if who == "system" else ""
    return Draft(who, parts, "gemini", find_time(record), note, pick_text(record, "id") or None)


def _read_thoughts(thoughts: Any) -> Parts:
    found = [each for each in thoughts if isinstance(each, dict)] if isinstance(thoughts, list) else []
    texts = ["\n".join(filter(None, (pick_text(each, "subject"), pick_text(each, "description")))) for each in found]
    return tuple(Part("thinking", text) for text in texts)


def _read_calls(record: Mapping[str, Any]) -> Parts:
    calls = record.get("toolCalls")
    parts: Parts = ()
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict):
            parts = (*parts, *read_call(call), *_read_answer(call))
    return parts


def _read_answer(call: Mapping[str, Any]) -> Parts:
    """The result that a call's record has from some time on."""
    result = call.get("result")
    if result is None:
        return ()
    is_error = call.get("status") == "error"
    return join_result(read_parts(result), pick_text(call, "name"), pick_text(call, "id"), is_error)
