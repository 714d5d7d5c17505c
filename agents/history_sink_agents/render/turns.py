"""What a line becomes: a turn, which has a speaker, a time and parts."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

Who: TypeAlias = Literal["system", "user", "assistant", "tool"]
"""Who speaks. What nobody said, such as an agent's bookkeeping or a damaged line, counts as ``system``."""

PartKind: TypeAlias = Literal["text", "thinking", "tool_call", "tool_result", "image", "file", "raw"]

Shape: TypeAlias = Literal["plain", "claude-code", "codex", "gemini", "opencode", "copilot", "json", "raw", "sealed"]
"""Whose line it is; ``plain``: a role and its content, ``json``: an unknown object, ``raw``: no JSON object at all."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of what is said.

    `text` is what the kind calls for: the words, a call's arguments, a result's content, an image's URL, a file's path,
    a raw part's JSON. `name` is the tool's, `call_id` ties a result to its call, and `who` is set where one line holds
    what several speakers said.
    """

    kind: PartKind
    text: str
    name: str = ""
    call_id: str = ""
    is_error: bool = False
    mime_type: str = ""
    who: Who | None = None

    def __repr__(self) -> str:
        return f"Part({self.kind}, {len(self.text)} characters)"  # what a repr shows ends up in somebody's log


@dataclass(frozen=True, slots=True)
class Turn:
    """One line of a log, read.

    `number` counts the log's lines from 0, and its bytes are ``[start, end)`` of the log, newline included. `at` is a
    Unix time in seconds, None where the line has none. `note` is what the line calls itself where it is more than a
    message. Turns with the same `group` are parts, or states, of one message. `links` are the numbers of the turns that
    hold the results of its calls, or the calls of its results.
    """

    number: int
    who: Who
    parts: tuple[Part, ...]
    start: int
    end: int
    at: float | None = None
    shape: Shape = "plain"
    note: str = ""
    group: str | None = None
    links: tuple[int, ...] = ()


class Draft(NamedTuple):
    """What a reader of one shape makes of a record, before it has its place in the log."""

    who: Who
    parts: tuple[Part, ...]
    shape: Shape
    at: float | None = None
    note: str = ""
    group: str | None = None
