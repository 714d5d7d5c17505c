"""`render`: a log's lines to turns, whoever wrote them."""

import json
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any

from history_sink_agents.render import claude_code, codex, copilot, gemini, opencode, plain
from history_sink_agents.render.links import link
from history_sink_agents.render.turns import Draft, Part, Shape, Turn, Who
from history_sink_agents.render.values import clean, find_time, pick_dict, pick_text

_CLAUDE_CODE = {"leafUuid", "isSnapshotUpdate", "parentUuid"}


def render(
    lines: Iterable[bytes],
    first: int = 0,
    offset: int = 0,
    speakers: Mapping[str, Who] | None = None,
    open_line: Callable[[bytes], bytes] | None = None,
) -> list[Turn]:
    """Turn lines into turns: who, when, and the parts of what is said. One line is one turn.

    It knows the messages of this family, Claude Code, Codex, Gemini CLI, OpenCode, Copilot CLI, and any object with a
    role and content. Another JSON object is shown as its JSON, a line that is no JSON object as its text, a sealed line
    as sealed. It reads nothing but its arguments, and it never raises for what a line holds.

    Args:
        lines: The lines, each with its newline or without.
        first: The number of the first line in its log, counted from 0.
        offset: Where the first line starts in its log, in bytes.
        speakers: Who speaks in the messages that began before the first line, by their ids; see `speakers_of`.
        open_line: What a line says that is archived in another form, such as a sealed one. Offsets stay the archive's.

    Returns:
        A turn for each line, in order. `Turn.links` connects calls and results among these lines.
    """
    known = dict(speakers or {})
    turns = []
    for number, line in enumerate(lines, first):
        end = offset + len(line) + (not line.endswith(b"\n"))
        said = open_line(line) if open_line else line
        draft = _read_line(said.removesuffix(b"\n"), known)
        turns.append(Turn(number, draft.who, draft.parts, offset, end, draft.at, draft.shape, draft.note, draft.group))
        offset = end
    return link(turns)


def speakers_of(turns: Iterable[Turn]) -> dict[str, Who]:
    """Who speaks in which message, by its id: what `render` needs to go on behind these turns."""
    return {turn.group: turn.who for turn in turns if turn.group and turn.shape == "opencode"}


def _read_line(line: bytes, speakers: MutableMapping[str, Who]) -> Draft:
    text = clean(line.decode("utf-8", "replace"))
    try:
        record = json.loads(line)
        if isinstance(record, dict):
            return _read_record(record, text, speakers)
    except (ValueError, RecursionError):  # bytes that are not UTF-8 and numbers without end are ValueErrors
        pass
    return Draft("system", (Part("raw", text),), "raw")


def _read_record(record: dict[str, Any], text: str, speakers: MutableMapping[str, Who]) -> Draft:
    if "enc" in record and not record.keys() & {"role", "type", "message"}:
        key = pick_text(record, "enc").rpartition(":")[2][:40]
        return Draft("system", (Part("raw", f"sealed with the key {key or '?'}"),), "sealed")
    draft = (
        copilot.read(record)
        or opencode.read(record, speakers)
        or codex.read(record)
        or gemini.read(record)
        or claude_code.read(record)
        or plain.read(record)
    )
    if draft is not None and (draft.parts or draft.shape == "plain"):
        return draft  # a message without a part is an empty turn
    shape = _guess_shape(record)
    who: Who = draft.who if draft else "system"
    note = " ".join(filter(None, (pick_text(record, "type"), _describe_inside(record))))
    return Draft(who, (Part("raw", text),), shape, find_time(record), note[:120], draft.group if draft else None)


def _describe_inside(record: Mapping[str, Any]) -> str:
    """What the envelope's content calls itself, or which of its fields are set."""
    inside = pick_dict(record, "payload", "attachment", "data") or {}
    if "$set" in record:
        return "$set " + " ".join(pick_dict(record, "$set") or ())
    return pick_text(record, "subtype") or pick_text(inside, "type")


def _guess_shape(record: Mapping[str, Any]) -> Shape:
    if isinstance(record.get("payload"), dict) and "timestamp" in record:
        return "codex"
    if copilot.is_event(record):
        return "copilot"
    if record.keys() & {"$set", "$rewindTo", "projectHash"}:
        return "gemini"
    if pick_text(record, "type").startswith(("message.", "session.")) and "data" in record:
        return "opencode"
    return "claude-code" if record.keys() & _CLAUDE_CODE or {"sessionId", "type"} <= record.keys() else "json"
