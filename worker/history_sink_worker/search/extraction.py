"""What of one line of a transcript is indexed: what was said, what was done, who, when. Pure.

Known are the seed's parts, Claude Code, Codex, Gemini CLI, qwen-code, OpenCode, Copilot CLI, pi, and plain role and
content. Of any other JSON its strings are taken, and of what is no JSON its text. Not taken: ids, signatures,
envelopes, images, copies of results beside the message.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from history_sink_worker.search.parts import Parts, collect

_FAST_LOADS = import_module("orjson").loads if find_spec("orjson") else json.loads
"""Two and a half times as fast. The extra has it; what is indexed does not depend on it."""
MOST_CHARACTERS = 1_000_000
"""Of what one line says. A tool result is cut much earlier: see `parts`."""
_ROLES = {
    "user": "user", "human": "user", "user_message": "user", "user.message": "user",
    "assistant": "assistant", "model": "assistant", "gemini": "assistant", "qwen": "assistant", "ai": "assistant",
    "agent_message": "assistant", "assistant.message": "assistant",
    "tool": "tool", "function": "tool", "function_call_output": "tool", "custom_tool_call_output": "tool",
    "tool_result": "tool", "toolResult": "tool", "tool.execution_complete": "tool",
    "tool.execution_start": "assistant", "assistant.reasoning": "assistant",
    "system": "system", "developer": "system",
}  # fmt: skip
_CALLS = {"function_call", "custom_tool_call", "local_shell_call", "web_search_call", "reasoning"}
_TIMES = ("timestamp", "created_at", "createdAt", "time", "ts", "date")
_FOLDERS = ("cwd", "project", "projectPath", "workdir", "directory")
_ENVELOPES = ("message", "payload", "data", "part", "info", "item", "record")
_ANY_ENVELOPE = frozenset(_ENVELOPES)
_INNER = {"role", "content", "parts", "type", "text", "message", "payload", "cwd", "part", "info", "toolCallId"}
_REPEATS = {"progress", "file-history-snapshot", "queue-operation", "last-prompt"}
"""Claude Code's: what they say is a message of its own elsewhere in the file, or nobody's words."""
_PROGRESS, _PROGRESS_MARK = b'"type":"progress"', b'"parentToolUseID":"'
_CLAUDE_MARKS = {"toolUseID", "parentToolUseID", "snapshot", "operation", "leafUuid"}


class Extract(NamedTuple):
    """`said` is what somebody said; `done` are calls, results, thinking and all else. `role` is "" where none is known.

    `at` is a Unix time in seconds, None where the line has none; `project` the folder that it names, or "".
    `is_sealed`: it was encrypted by its writer, and nothing of it can be indexed. `message` is the id of a message of
    OpenCode's: of the one that the line tells of, or, where `role` is "", of the one that the line is a part of.
    """

    said: str = ""
    done: str = ""
    role: str = ""
    at: float | None = None
    project: str = ""
    is_sealed: bool = False
    message: str = ""

    @property
    def text(self) -> str:
        """All of it, in the order in which excerpts are looked for."""
        return f"{self.said}\n{self.done}" if self.said and self.done else self.said or self.done


def extract(line: bytes) -> Extract:
    """Read one line, with or without its newline. Never raises: what is no JSON object is taken as text."""
    if line.find(_PROGRESS, 0, 1000) >= 0 and _PROGRESS_MARK in line:
        return Extract()  # told by its looks: a third of some transcripts, and not worth being parsed
    body = line.rstrip(b"\r\n")
    value = _parse(body) if body[:1] == b"{" else None
    if not isinstance(value, dict):
        return Extract(done=body.decode("utf-8", "replace").replace("\0", " ").strip()[:MOST_CHARACTERS])
    if is_sealed(value):
        return Extract(is_sealed=True)
    return _extract_object(value)


def _parse(body: bytes) -> object:
    """None where it is no JSON."""
    for loads in (_FAST_LOADS, json.loads):  # what the first refuses the second may take: NaN, half a surrogate pair
        try:
            return loads(body)
        except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
            pass
    return None


def is_sealed(value: Mapping[str, Any]) -> bool:
    """Whether a line is one that its writer has encrypted."""
    return isinstance(value.get("enc"), str) and not value.keys() & {"role", "type", "message", "content"}


def _extract_object(value: dict[str, Any]) -> Extract:
    layers = _layers(value)
    project = _find_folder(layers)
    at = _find_time(layers)
    if _text(value.get("type")) in _REPEATS and value.keys() & _CLAUDE_MARKS:
        return Extract(at=at, project=project)
    role = _find_role(layers)
    is_speech = (role in ("user", "assistant") or _is_spoken_part(layers[-1])) and not value.get("isMeta")
    parts: Parts = collect(layers[-1], layers[:-1], is_speech)
    if role == "user" and parts.has_result and not parts.said:
        role = "tool"
    return Extract(_join(parts.said), _join(parts.done), role, at, project, message=_find_message(layers, role))


def _layers(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The line's object, and the objects that it is an envelope of, the innermost last."""
    layers = [value]
    while len(layers) < 4 and not _ANY_ENVELOPE.isdisjoint(layers[-1]):
        for name in _ENVELOPES:
            inner = layers[-1].get(name)
            if name == "data" and isinstance(inner, str) and inner[:1] == "{":
                inner = _parse(inner.encode("utf-8", "replace"))  # OpenCode's, as its database has it
            if isinstance(inner, dict) and not _INNER.isdisjoint(inner):
                break
        else:
            break
        if name == "info" and isinstance(layers[-1].get("parts"), list):
            layers.insert(-1, inner)  # OpenCode's export: who speaks, beside what is said
            break
        layers.append(inner)
    return layers


def _is_spoken_part(part: dict[str, Any]) -> bool:
    """OpenCode's: a text on a line of its own; who speaks was told on an earlier one."""
    return part.get("type") == "text" and "messageID" in part


def _find_message(layers: list[dict[str, Any]], role: str) -> str:
    """See `Extract`."""
    if not role:
        return _text(layers[-1].get("messageID"))
    return _text(layers[-1].get("id")) if len(layers) > 1 and layers[-2].get("info") is layers[-1] else ""


def _find_folder(layers: list[dict[str, Any]]) -> str:
    for layer in layers:
        for name in _FOLDERS:
            if name in layer and (text := _text(layer[name])):
                return text
    return ""


def _find_time(layers: list[dict[str, Any]]) -> float | None:
    for layer in layers:
        for name in _TIMES:
            if name in layer and (at := read_time(layer[name])) is not None:
                return at
    return None


def _find_role(layers: list[dict[str, Any]]) -> str:
    for layer in reversed(layers):
        for name in ("role", "type", "author", "sender"):
            word = layer.get(name)
            if not isinstance(word, str):
                continue
            if word in _ROLES:
                return _ROLES[word]
            if name == "type" and word in _CALLS:
                return "assistant"
    return ""


def _join(texts: list[str]) -> str:
    text = "\n".join(texts)[:MOST_CHARACTERS]
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can escape and nobody can write
        return text.encode("utf-8", "replace").decode()
    return text


def _text(value: object) -> str:
    return _join([value[:1000]]) if isinstance(value, str) else ""


def read_time(value: object) -> float | None:
    """A Unix time in seconds, from ISO 8601, or from a number of seconds or milliseconds; None from anything else."""
    if isinstance(value, Mapping):
        value = value.get("created") or value.get("start")
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        seconds = value / 1000 if value > 1e11 else float(value)
        return seconds if 1e8 < seconds < 1e11 else None
    if not isinstance(value, str) or not 10 <= len(value) <= 40:
        return None
    try:
        when = datetime.fromisoformat(value)
    except ValueError:
        return None
    seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    return seconds if 1e8 < seconds < 1e11 else None
