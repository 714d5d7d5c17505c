"""Which sessions the store has: the answer of the task `list_sessions`, a page at a time."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from history_sink.errors import Malformed


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """One session: its main log's messages and bytes; `last_write` in Unix seconds, branches and strays included."""

    session: str
    messages: int
    bytes: int
    last_write: float
    branches: int = 0
    problem: str | None = None
    """Why nothing can be said of its main log: a foreign writer was there."""
    later_branch: str | None = None
    """The branch that was written last, if that was after the main log. Workers of an older version never name one."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of sessions by name. `next_after` is what the next page starts behind, None on the last."""

    sessions: tuple[SessionSummary, ...] = ()
    next_after: str | None = None

    def encode(self) -> dict[str, Any]:
        """A plain dict of the fields."""
        return asdict(self)

    @classmethod
    def decode(cls, value: object) -> "Listing":
        """Read the plain dict; unknown fields are ignored. Raises `Malformed`."""
        try:
            if not isinstance(value, Mapping):
                raise TypeError("an object")
            return cls(tuple(map(_decode_summary, value["sessions"])), value["next_after"])
        except (KeyError, TypeError) as error:
            raise Malformed(f"a list of sessions without {error}") from None


def _decode_summary(value: Mapping[str, Any]) -> SessionSummary:
    known = {field.name for field in fields(SessionSummary)}
    return SessionSummary(**{name: item for name, item in value.items() if name in known})
