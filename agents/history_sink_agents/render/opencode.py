"""OpenCode: the events of its table, a line each, and its export, as a document or a message a line."""

import json
from collections.abc import Mapping, MutableMapping
from typing import Any

from history_sink_agents.render.parts import read_part
from history_sink_agents.render.plain import read_inner
from history_sink_agents.render.turns import Draft, Who
from history_sink_agents.render.values import find_time, pick_dict, pick_text

_WHO: dict[str, Who] = {"user": "user", "assistant": "assistant"}
_SPOKEN = ("text", "file", "reasoning", "tool")


def read(record: Mapping[str, Any], speakers: MutableMapping[str, Who]) -> Draft | None:
    """An event or a message; or None.

    A part does not say who speaks, its message does: `speakers` keeps that by the message's id, and is added to.
    """
    info, parts = pick_dict(record, "info"), record.get("parts")
    if info is not None and isinstance(parts, list):
        who = _WHO.get(pick_text(info, "role"), "system")
        found = tuple(part for each in parts for part in read_part(each))
        return Draft(who, found, "opencode", find_time(info, record), "", pick_text(info, "id") or None)
    messages = record.get("messages")
    if info is not None and isinstance(messages, list):
        inner = tuple(part for each in messages if isinstance(each, dict) for part in read_inner(each))
        return Draft("system", inner, "opencode", find_time(info), f"{len(messages)} messages")
    kind = pick_text(record, "type")
    data = _read_data(record)
    if data is None or not kind.startswith(("message.", "session.")):
        return None
    return _read_event(kind, data, record, speakers)


def _read_data(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """What an event holds; as a row of a database, it is a text."""
    value = record.get("data", record.get("properties"))
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def _read_event(
    kind: str, data: dict[str, Any], record: Mapping[str, Any], speakers: MutableMapping[str, Who]
) -> Draft | None:
    info, part = pick_dict(data, "info"), pick_dict(data, "part")
    if info is not None and kind.startswith("message.updated"):
        who, message = _WHO.get(pick_text(info, "role"), "system"), pick_text(info, "id")
        if message:
            speakers[message] = who
        return Draft(who, (), "opencode", find_time(record, data, info), "", message or None)  # its parts come later
    if part is None or part.get("type") not in _SPOKEN:
        return None
    message = pick_text(part, "messageID")
    who = speakers.get(message, "assistant") if part["type"] in ("text", "file") else "assistant"
    return Draft(who, read_part(part), "opencode", find_time(record, data, part), "", message or None)
