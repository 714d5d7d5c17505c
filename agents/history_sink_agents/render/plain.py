"""Records with a role and content: the seed's messages, chat completions, and what other agents wrap in envelopes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from history_sink_agents.render.parts import Parts, join_result, read_call, read_parts
from history_sink_agents.render.turns import Draft, Who
from history_sink_agents.render.values import find_time, pick_text

_WHO: dict[str, Who] = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "model", "ai", "gemini"), "assistant"),
    **dict.fromkeys(("tool", "function", "toolResult", "tool_result", "ipython"), "tool"),
}


def read(record: Mapping[str, Any]) -> Draft | None:
    """A message with a role; or None. A document that holds a list of messages is one turn with all their parts."""
    role = record.get("role")
    if isinstance(role, str) and record.keys() & {"content", "parts", "tool_calls", "function_call"}:
        who = _WHO.get(role, "system")
        parts = _read_message(record, who)
        if who == "user" and is_all_results(parts) and not _has_own_results(record.get("content")):
            who = "tool"
        note = "" if role in _WHO else pick_text(record, "role")
        return Draft(who, parts, "plain", find_time(record), note, pick_text(record, "id") or None)
    messages = record.get("messages")
    if isinstance(messages, list) and messages and all(isinstance(each, dict) for each in messages):
        parts = tuple(part for each in messages for part in read_inner(each))
        return Draft("system", parts, "plain", find_time(record), f"{len(messages)} messages") if parts else None
    return None


def read_inner(message: Mapping[str, Any]) -> Parts:
    """The parts of one of several messages in a line: each says who speaks."""
    info = message.get("info")
    role = message.get("role") or message.get("type") or (info.get("role") if isinstance(info, dict) else None)
    who = _WHO.get(role, "system") if isinstance(role, str) else "system"
    return tuple(replace(part, who=who) for part in _read_message(message, who))


def is_all_results(parts: Parts) -> bool:
    """Whether a user's message is nothing but tools' results, as of Anthropic and Gemini, with pictures behind them."""
    return (
        bool(parts)
        and parts[0].kind == "tool_result"
        and all(part.kind in ("tool_result", "image", "file") for part in parts)
    )


def _has_own_results(content: Any) -> bool:
    """Whether a result is of the seed's kind, whose role is what it says."""
    return isinstance(content, list) and any(isinstance(item, dict) and "tool_call_id" in item for item in content)


def _read_message(message: Mapping[str, Any], who: Who) -> Parts:
    content = message["content"] if "content" in message else message.get("parts")
    parts = read_parts(content)
    if who == "tool" and not any(part.kind == "tool_result" for part in parts):
        call_id = pick_text(message, "tool_call_id", "toolCallId")
        is_error = bool(message.get("is_error") or message.get("isError"))
        return join_result(parts, pick_text(message, "name", "toolName"), call_id, is_error)
    if thinking := pick_text(message, "reasoning_content"):
        parts = (*read_parts([{"type": "thinking", "text": thinking}]), *parts)
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else [message.get("function_call")]:
        if isinstance(call, dict):
            parts = (*parts, *read_call(call))
    return parts or read_parts(pick_text(message, "errorMessage"))  # pi's, where the model has not answered
