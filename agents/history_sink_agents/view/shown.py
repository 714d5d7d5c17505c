"""A turn as the page shows it: what is open, what is folded, how much of it, and under which heading."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import groupby

from history_sink_agents.render import Part, Turn
from history_sink_agents.view.images import read_image
from history_sink_agents.view.texts import indent_json, read_fields, show_time, summarize

OPEN_CHARACTERS = 12_000
FOLDED_CHARACTERS = 30_000
"""So much of a part is on the page; the whole line is a link away."""

MOST_PARTS, TURN_CHARACTERS = 200, 200_000
"""So many parts of a turn are on the page, and so much of them all."""

_INDENT_UP_TO = 200_000
_MOST_LINKS = 20


@dataclass(frozen=True, slots=True)
class ShownPart:
    """One part. `heading` empty: it lies open. `image`: its place among the turn's parts, where it is a picture."""

    kind: str
    heading: str = ""
    summary: str = ""
    text: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    left_characters: int = 0
    is_error: bool = False
    image: int | None = None
    who: str = ""


@dataclass(frozen=True, slots=True)
class ShownTurn:
    """One turn. `is_quiet`: the agent's bookkeeping, which nobody said."""

    number: int
    who: str
    when: str
    start: int
    end: int
    note: str
    shape: str
    parts: tuple[ShownPart, ...]
    links: tuple[int, ...]
    is_quiet: bool
    left_parts: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """Turns that follow one another: either one that was said, or any number of quiet ones."""

    turns: tuple[ShownTurn, ...]
    is_quiet: bool = False
    notes: tuple[str, ...] = field(default=())


def show_turn(turn: Turn) -> ShownTurn:
    """Decide how a turn is shown."""
    is_quiet = turn.shape not in ("plain", "raw", "json", "sealed") and all(each.kind == "raw" for each in turn.parts)
    parts = _show_parts(turn)
    note = turn.note or (turn.shape if turn.shape in ("raw", "json", "sealed") else "")
    return ShownTurn(
        turn.number,
        turn.who,
        show_time(turn.at),
        turn.start,
        turn.end,
        note[:120],
        turn.shape,
        parts,
        turn.links[:_MOST_LINKS],
        is_quiet,
        len(turn.parts) - len(parts),
    )


def _show_parts(turn: Turn) -> tuple[ShownPart, ...]:
    """The parts that are on the page: one at least, and no more than a browser carries."""
    shown: list[ShownPart] = []
    characters = 0
    for place, part in enumerate(turn.parts[:MOST_PARTS]):
        each = _show_part(part, place, turn)
        characters += len(each.text) + sum(len(name) + len(text) for name, text in each.fields)
        if shown and characters > TURN_CHARACTERS:
            break
        shown.append(each)
    return tuple(shown)


def group_quiet(turns: Iterable[ShownTurn]) -> list[Run]:
    """Quiet turns that follow one another as one run each."""
    runs: list[Run] = []
    for is_quiet, group in groupby(turns, lambda turn: turn.is_quiet):
        if is_quiet:
            run = tuple(group)
            runs.append(Run(run, True, tuple(dict.fromkeys(turn.note or turn.shape for turn in run))))
        else:
            runs += [Run((turn,)) for turn in group]
    return runs


def _show_part(part: Part, place: int, turn: Turn) -> ShownPart:
    who = part.who or ""
    match part.kind:
        case "tool_call":
            return _show_call(part, who)
        case "tool_result":
            heading = f"result of {part.name}" if part.name else "result"
            return _cut("tool_result", part.text, heading, who, part.is_error)
        case "thinking":
            return _cut("thinking", part.text, "thinking", who)
        case "image":
            if read_image(part.text):
                return ShownPart("image", "image", part.mime_type, image=place, who=who)
            return _cut("image", part.text, "image that is not loaded", who)
        case "file":
            return ShownPart("file", text=part.text[:OPEN_CHARACTERS], who=who)
        case "raw":
            is_open = turn.shape in ("raw", "sealed")
            text = indent_json(part.text) if not is_open and len(part.text) <= _INDENT_UP_TO else part.text
            shown = _cut("raw", text, "" if is_open else "JSON", who)
            return shown if is_open else replace(shown, summary=summarize(part.text))
        case _:
            return _cut("text", part.text, "", who)


def _show_call(part: Part, who: str) -> ShownPart:
    fields = read_fields(part.text) if len(part.text) <= FOLDED_CHARACTERS else []
    told = next((summarize(text) for _, text in fields if text), summarize(part.text))
    heading = part.name or "call"
    if fields:
        return ShownPart("tool_call", heading, told, fields=tuple(fields), who=who)
    return _cut("tool_call", part.text, heading, who)


def _cut(kind: str, text: str, heading: str, who: str, is_error: bool = False) -> ShownPart:
    most = FOLDED_CHARACTERS if heading else OPEN_CHARACTERS
    summary = summarize(text) if heading else ""
    return ShownPart(kind, heading, summary, text[:most], (), max(0, len(text) - most), is_error, None, who)
