"""What an index keeps: where a message lies, how far each log is indexed, and where to look. Plain data."""

from dataclasses import dataclass, field
from typing import NamedTuple


class Place(NamedTuple):
    """Where a message lies: bytes ``[start, end)`` of a log, of which it is the message `number`, counted from 0."""

    session: str
    branch: str | None
    start: int
    end: int
    number: int


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a log is indexed: a junction, and what the LIST showed then. `chain` is hex; times are Unix seconds.

    `speakers`: roles by message, of the last messages whose parts do not say it.
    """

    session: str
    branch: str | None
    offset: int
    chain: str
    messages: int
    base_bytes: int = 0
    base_etag: str = ""
    written_at: float = 0.0
    project: str = ""
    sealed: int = 0
    speakers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """One message that fits. `digest` is the same for the same text; `kept` is the text itself, if the index has it."""

    score: float
    place: Place
    role: str
    at: float | None
    digest: bytes
    kept: str | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """Where to look; None: anywhere. `session` and `branch` as in `Place`. `since` is Unix seconds."""

    session: str | None = None
    branch: str | None = None
    role: str | None = None
    project: str | None = None
    since: float | None = None
