"""What stands in a context for a message that is not there whole: a message of the same shape with less in it.

A tool's call stays whole, and a result keeps its call's id, so that what is sent to a model stays well formed.
"""

from collections.abc import Mapping
from typing import Any

from history_sink_agents.pages.content import Entry, write_json
from history_sink_agents.pages.kinds import Level
from history_sink_agents.pages.page import Page
from history_sink_agents.render import Turn

_SHOWN_CHARACTERS = 160
"""Of each part in an outline."""

_COPIES = ("toolUseResult", "reasoning_content", "thinking")
"""Fields beside the content that repeat it, or that nobody is shown again."""

_SAYING = {"message", "payload", "content", "parts", "output", "role", "type"}
"""An object without any of these fields is no message of a shape that is known."""

Message = dict[str, Any]


def stand_in(entry: Entry, page: Page, turn: Turn, level: Level) -> Message:
    """The message that stands in for a page's at this level, which is not ``full``."""
    text = page.text if page.text is not None and level == page.level != "pointer" else None
    if text is None:
        text = _describe_pointer(entry, page, turn) if level == "pointer" else _outline(page, turn)
    record = entry.record
    if record is None or not record.keys() & _SAYING:
        return {"role": turn.who if turn.shape == "opencode" else "user", "content": text}
    return _put(record, text)


def _outline(page: Page, turn: Turn) -> str:
    parts = []
    for part in turn.parts:
        begin = part.text[:_SHOWN_CHARACTERS] if part.kind != "image" else ""
        shown = {"kind": part.kind, "name": part.name, "characters": len(part.text), "begin": begin}
        parts.append({name: value for name, value in shown.items() if value != ""})
    return write_json({"page": page.key, "level": "structured", "parts": parts})


def _describe_pointer(entry: Entry, page: Page, turn: Turn) -> str:
    handle = page.handle.encode() if page.handle else None
    names = sorted({part.name for part in turn.parts if part.name})
    described = {"page": page.key, "level": "pointer", "pointer": handle, "bytes": len(entry.line) + 1}
    return write_json(described | ({"tools": names} if names else {}))


def _put(record: Mapping[str, Any], text: str) -> Message:
    """The record with `text` in place of what it says."""
    if _is_call(record):
        return dict(record)
    kept = {name: value for name, value in record.items() if name not in _COPIES}
    for name in ("message", "payload"):
        if isinstance(record.get(name), dict):
            return {**kept, name: _put(record[name], text)}
    for name in ("content", "parts"):
        if isinstance(record.get(name), list):
            return {**kept, name: _put_parts(record[name], text)}
    return {**kept, "output" if "output" in record else "content": text}


def _put_parts(parts: list[Any], text: str) -> list[Any]:
    kept: list[Any] = []
    is_put = False
    for part in parts:
        if not isinstance(part, dict):
            continue
        if _is_call(part):
            kept.append(part)
        elif _is_result(part):
            kept.append(_put_result(part, "" if is_put else text))
            is_put = True
    if is_put:
        return kept
    typed = next((part["type"] for part in parts if isinstance(part, dict) and _is_text(part)), "text")
    is_untyped = any(isinstance(part, dict) and "text" in part and "type" not in part for part in parts)
    return [{"text": text} if is_untyped else {"type": typed, "text": text}, *kept]


def _is_text(part: Mapping[str, Any]) -> bool:
    return part.get("type") in ("text", "input_text", "output_text")


def _is_call(part: Mapping[str, Any]) -> bool:
    kind = str(part.get("type", ""))
    return kind.endswith(("tool_use", "tool_call", "function_call", "tool-call", "toolCall")) or "functionCall" in part


def _is_result(part: Mapping[str, Any]) -> bool:
    kind = str(part.get("type", ""))
    return kind.endswith(("tool_result", "tool-result", "toolResult", "_output")) or "functionResponse" in part


def _put_result(part: Mapping[str, Any], text: str) -> Message:
    if isinstance(part.get("functionResponse"), dict):
        return {**part, "functionResponse": {**part["functionResponse"], "response": {"output": text}}}
    name = next((name for name in ("content", "output", "result") if name in part), "content")
    return {**part, name: text}
