"""The parts of a message, sorted into what was said and what was done. Pure.

It knows the parts by what they look like, not by who wrote them: agents borrow each other's shapes.
"""

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

RESULT_HEAD, RESULT_TAIL = 48 * 1024, 16 * 1024
"""Of a text that was not said its first and last characters are taken, where it is longer than both."""
OTHER_CHARACTERS = 16 * 1024
"""Of a line in an unknown shape all its strings together."""
_DEPTH = 12
_BESIDE = ("summary", "title", "prUrl", "error", "customTitle", "aiTitle")
"""Of what a message lies in."""
_SPOKEN = ("content", "parts", "text", "message")
"""Where a message, or a part of one, has what it says."""

_NO_CONTENT = {
    "id", "uuid", "parentUuid", "parentId", "parent_id", "sessionId", "session_id", "sessionID", "messageId",
    "message_id", "messageID", "requestId", "request_id", "toolUseID", "parentToolUseID", "tool_use_id",
    "tool_call_id", "toolCallId", "call_id", "callId", "callID", "leafUuid", "promptId", "turn_id", "response_id",
    "item_id", "thread_id", "partID", "signature", "thoughtSignature", "thought_signature", "thinkingSignature",
    "textSignature", "encrypted_content", "version", "cliVersion", "cli_version", "timestamp", "created_at",
    "createdAt", "updatedAt", "time", "ts", "date", "type", "kind", "role", "model", "modelID", "providerID",
    "provider", "api", "usage", "tokens", "cost", "rate_limits", "stop_reason", "stopReason", "stop_sequence",
    "finish_reason", "finishReason", "userType", "isSidechain", "isMeta", "cwd", "gitBranch", "git", "slug",
    "mime_type", "mimeType", "media_type", "mediaType", "data", "source", "image_url", "inlineData",
    "toolUseResult", "level", "status", "origin", "originator", "permissionMode", "logprobs", "annotations",
    "detail", "cache_control", "is_error", "isError", "hash", "sha256", "snapshot", "metadata", "entrypoint",
    "ordinal", "aggregate_id", "seq", "reasoningId", "fromId", "firstKeptEntryId",
}  # fmt: skip
"""Names of fields that hold ids, envelopes, signatures, pictures, or copies of what stands elsewhere."""
_WRAPPERS = {"data", "source", "metadata", "detail", "status"}
"""Of these, what has content in formats that nobody has told us of."""
_NESTED_NO_CONTENT = {"type", "id", "signature", "tool_use_id", "tool_call_id", "call_id", "is_error"}
"""The same deeper in a tool's arguments and result, where the tool has chosen the names."""
_TEXTS = {"text", "input_text", "output_text", "Text", "refusal", "summary_text"}
_CALLS = {
    "tool_use", "tool_call", "toolCall", "tool-call", "tool-invocation", "function_call", "custom_tool_call",
    "local_shell_call", "server_tool_use", "mcp_tool_use", "web_search_call", "tool",
}  # fmt: skip
_RESULTS = {
    "tool_result", "tool-result", "toolResult", "function_call_output", "custom_tool_call_output",
    "web_search_tool_result", "mcp_tool_result", "code_execution_tool_result", "local_shell_call_output",
}  # fmt: skip
_THINKING = {"thinking", "reasoning", "redacted_thinking", "agent_reasoning", "thought"}
_IMAGES = {"image", "input_image", "image_url", "media", "audio", "input_audio"}
_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{200,}={0,2}")


@dataclass(slots=True)
class Parts:
    """Texts in their order. `has_result`: a tool's result is among them."""

    said: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    has_result: bool = False


def collect(message: dict[str, Any], around: Sequence[dict[str, Any]], is_speech: bool) -> Parts:
    """Sort the parts of `message`. `around` are the objects that it lies in; `is_speech`: a user or an agent speaks."""
    parts = Parts()
    _add_part(message, parts, is_speech)
    for outer in around:
        for name in _BESIDE:
            if name in outer:
                _add_text(outer[name], parts.done)
    if not (parts.said or parts.done or parts.has_result):
        _add_unknown([*around, message], parts.done)
    return parts


def _add_unknown(layers: Sequence[dict[str, Any]], texts: list[str]) -> None:
    """Of a line in which nothing was found: the strings in what elsewhere is no content."""
    wrapped = {name: layer[name] for layer in layers for name in _WRAPPERS if isinstance(layer.get(name), dict | list)}
    found: list[str] = []
    _walk([*wrapped.values()], found, _DEPTH, _NO_CONTENT - _WRAPPERS)
    if found:
        texts.append("\n".join(found)[:OTHER_CHARACTERS])


def _add_part(part: dict[str, Any], parts: Parts, is_speech: bool) -> None:
    kind = part.get("type")
    known = kind if isinstance(kind, str) else ""
    if known in _IMAGES:
        _add_strings({name: part.get(name) for name in ("path", "url", "filename", "alt")}, parts.done)
    elif known in _RESULTS or part.get("role") in ("tool", "function", "toolResult") or _is_answer(part):
        parts.has_result = True
        _add_strings(_find_inner(part, "functionResponse"), parts.done)
    elif known in _CALLS or "functionCall" in part:
        _add_strings(_find_inner(part, "functionCall"), parts.done)
    elif known in _THINKING or part.get("thought") is True:
        _add_strings(part, parts.done)
    elif known in _TEXTS and isinstance(part.get("text"), str):
        _add_text(part["text"], parts.said if is_speech else parts.done, is_speech)
    else:
        _add_message(part, parts, is_speech)


def _find_inner(part: dict[str, Any], name: str) -> dict[str, Any]:
    """What Gemini's parts hold under their kind; the part itself where that is no object."""
    inner = part.get(name)
    return inner if inner and isinstance(inner, dict) else part


def _is_answer(part: dict[str, Any]) -> bool:
    """Gemini's and Copilot's results, which do not name what they are."""
    return "functionResponse" in part or ("toolCallId" in part and ("result" in part or "error" in part))


def _add_message(part: dict[str, Any], parts: Parts, is_speech: bool) -> None:
    """A message: its content, and what stands beside that (calls, thoughts, results)."""
    for name in _SPOKEN:
        content = part.get(name)
        if isinstance(content, str):
            _add_text(content, parts.said if is_speech else parts.done, is_speech)
        elif isinstance(content, dict):
            _add_part(content, parts, is_speech)
        elif isinstance(content, list):
            for each in content:
                if isinstance(each, dict):
                    _add_part(each, parts, is_speech)
                elif isinstance(each, str):
                    _add_text(each, parts.said if is_speech else parts.done, is_speech)
    rest = {name: value for name, value in part.items() if name not in _SPOKEN and name not in _NO_CONTENT}
    if rest:
        _add_strings(rest, parts.done, OTHER_CHARACTERS, _NO_CONTENT)


def _add_text(value: object, texts: list[str], is_whole: bool = False) -> None:
    if isinstance(value, str) and value.strip():
        texts.append(_clean(value if is_whole else _cut(value)))


def _add_strings(
    value: dict[str, Any], texts: list[str], limit: int | None = None, passed: Collection[str] = _NESTED_NO_CONTENT
) -> None:
    """Every string in `value` but those in fields that are no content: without JSON's syntax, one a line.

    `passed` are the names of such fields below the first level, on which it is `_NO_CONTENT`.
    """
    found: list[str] = []
    for name, each in value.items():
        if name not in _NO_CONTENT:
            _walk(each, found, _DEPTH, passed)
    text = "\n".join(found)
    if text:
        texts.append(text if limit is None else text[:limit])


def _walk(value: object, found: list[str], depth: int, passed: Collection[str]) -> None:
    if isinstance(value, str):
        packed = _unpack(value) if value[:1] == "{" and depth else None
        if packed is not None:
            _walk(packed, found, min(depth - 1, 6), passed)
        elif value and not value.isspace():
            found.append(_clean(_cut(value)))
    elif depth and isinstance(value, dict):
        for name, each in value.items():
            if name not in passed or (name == "data" and isinstance(each, dict)):  # else it is a picture
                _walk(each, found, depth - 1, passed)
    elif depth and isinstance(value, list):
        for each in value:
            _walk(each, found, depth - 1, passed)


def _unpack(text: str) -> object:
    """Arguments often travel as a string of JSON: what it holds. None where it is none."""
    if text.rstrip()[-1:] != "}":
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _cut(text: str) -> str:
    if len(text) <= RESULT_HEAD + RESULT_TAIL:
        return text
    return f"{text[:RESULT_HEAD]}\n{text[-RESULT_TAIL:]}"


def _clean(text: str) -> str:
    """Without what is no text: pictures and other bytes as base64."""
    if text.startswith("data:") and ";base64," in text[:100]:
        return ""
    if len(text) > 1000 and _has_few_spaces(text):
        return _ENCODED.sub(" ", text)
    return text


def _has_few_spaces(text: str) -> bool:
    """Whether less than one character of 40 is one. The beginning tells of most texts that it is more."""
    return text.count(" ", 0, 2000) * 40 < len(text) and text.count(" ") * 40 < len(text)
