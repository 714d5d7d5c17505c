"""What a page is for, how much of it may stand in a context, and the least that must. Pure tables."""

from typing import Literal, TypeAlias, get_args

from history_sink_agents.render import Turn

PageKind: TypeAlias = Literal["bootstrap", "constraint", "plan", "preference", "evidence", "conversation"]
"""What a message is for; the names are those on the wire."""

Level: TypeAlias = Literal["full", "compressed", "structured", "pointer"]
"""How much of a message is in a context: itself, a summary, an outline, or where it can be had again."""

KINDS: tuple[PageKind, ...] = get_args(PageKind)
LEVELS: tuple[Level, ...] = get_args(Level)

_PATHS: dict[PageKind, tuple[Level, ...]] = {
    "bootstrap": ("full", "structured"),
    "constraint": ("full", "structured"),
    "plan": ("full", "structured", "pointer"),
    "preference": LEVELS,
    "evidence": LEVELS,
    "conversation": LEVELS,
}


def degradation_path(kind: PageKind) -> tuple[Level, ...]:
    """The levels that a page of this kind may have, the richest first."""
    return _PATHS[kind]


def min_fidelity(kind: PageKind) -> Level:
    """The least level that a page of this kind may have."""
    return _PATHS[kind][-1]


def is_below(level: Level, other: Level) -> bool:
    """Whether `level` holds less than `other`."""
    return LEVELS.index(level) > LEVELS.index(other)


def classify(turn: Turn) -> PageKind:
    """The kind of a message that nobody has given one.

    A system's or developer's message is bootstrap, what holds a tool's result is evidence, all else is conversation.
    What an agent writes for itself is conversation, too: a model is never shown it as its instructions.
    """
    if turn.who == "tool" or any(part.kind == "tool_result" for part in turn.parts):
        return "evidence"
    is_message = turn.shape not in ("json", "raw", "sealed") and not turn.note
    return "bootstrap" if turn.who == "system" and is_message else "conversation"
