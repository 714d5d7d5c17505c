"""OpenCode: the document that ``opencode import`` takes, out of the events of a session."""

import json
from collections.abc import Iterable
from typing import Any

from history_sink_agents.formats.heads import read_object
from history_sink_agents.restore.errors import Refused


def make_export(logs: Iterable[Iterable[bytes]]) -> dict[str, Any]:
    """Replay the lines of logs, the oldest log first.

    What an undo has removed stays removed. Raises `Refused` where no line tells of the session itself.
    """
    info: dict[str, Any] = {}
    messages: dict[str, dict[str, Any]] = {}
    parts: dict[str, dict[str, dict[str, Any]]] = {}
    for lines in logs:
        for line in lines:
            event = read_object(line)
            kind, data = str(event.get("type")).rpartition(".")[0], event.get("data")
            if not isinstance(data, dict):
                continue
            if kind in ("session.created", "session.updated") and isinstance(data.get("info"), dict):
                info = data["info"] if data["info"].get("id") else {**info, **data["info"]}
            elif kind == "message.updated" and _has_id(data.get("info")):
                messages[data["info"]["id"]] = data["info"]
            elif kind == "message.removed":
                messages.pop(str(data.get("messageID")), None)
            elif kind == "message.part.updated" and _has_id(data.get("part")):
                part = data["part"]
                parts.setdefault(str(part.get("messageID")), {})[part["id"]] = part
            elif kind == "message.part.removed":
                parts.get(str(data.get("messageID")), {}).pop(str(data.get("partID")), None)
    if not info.get("id"):
        raise Refused("no event tells of the session itself")
    told = [
        {"info": messages[name], "parts": [part for _, part in sorted(parts.get(name, {}).items())]}
        for name in sorted(messages, key=lambda name: (_read_time(messages[name]), name))
    ]
    return {"info": info, "messages": told}


def encode_export(export: dict[str, Any]) -> bytes:
    """As a file."""
    return json.dumps(export, ensure_ascii=False, indent=2).encode("utf-8", "surrogatepass") + b"\n"


def _has_id(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("id"), str)


def _read_time(info: dict[str, Any]) -> float:
    time = info.get("time")
    created = time.get("created") if isinstance(time, dict) else None
    return created if isinstance(created, (int, float)) else 0.0
