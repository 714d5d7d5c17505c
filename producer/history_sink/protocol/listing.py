"""Which sessions the store has: the answer of the task `list_sessions`, a page at a time, and what may be asked for."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from history_sink.errors import Malformed
from history_sink.protocol.contract import check_session


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """One session: its main log's messages, bytes and chain, and what lies beside it. What was not asked for is None.

    `last_write` is in Unix seconds, and counts branches and strays. Where nothing is asked for that takes a look at the
    session, it is the time of its newest object, and a fold counts, too.
    """

    session: str
    messages: int | None = None
    bytes: int | None = None
    last_write: float | None = None
    branches: int | None = None
    problem: str | None = None
    """Why nothing can be said of its main log: a foreign writer was there."""
    later_branch: str | None = None
    """The branch that was written last, if that was after the main log. Workers of an older version never name one."""
    chain: str | None = None
    """The first 16 hex digits of the main log's chain. Workers of an older version do not tell it."""


FIELDS = tuple(field.name for field in fields(SessionSummary))
"""What may be asked of a session."""

BY_LIST = frozenset({"last_write", "branches"})
"""What a LIST of a session's objects tells."""

BY_LOOK = frozenset({"messages", "bytes", "later_branch", "chain"})
"""What takes a look at each session."""


def are_names_alone(asked: Collection[str]) -> bool:
    """Whether nothing else is asked for than the names of sessions."""
    return BY_LIST.isdisjoint(asked) and BY_LOOK.isdisjoint(asked)


_ALWAYS_TOLD = frozenset({"session", "problem"})
_NEVER_MISSING = frozenset({"messages", "bytes", "last_write"})
"""Of a worker of any version that was asked for it."""


def check_fields(given: object) -> tuple[str, ...] | None:
    """The fields asked for, None for all. Raises `Malformed`, which names one that is none."""
    if given is None:
        return None
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise Malformed(f"fields is a list of names, not {type(given).__name__}")
    asked = tuple(given)
    for name in asked:
        if not isinstance(name, str) or name not in FIELDS:
            shown = repr(name)[:80] if isinstance(name, str) else type(name).__name__
            raise Malformed(f"fields has names of {', '.join(FIELDS)}, not {shown}")
    return asked


def check_beginning(prefix: object) -> str:
    """What the names of sessions are to begin with; empty for all. Raises `Malformed`."""
    try:
        return "" if prefix == "" else check_session(prefix)
    except Malformed as error:
        raise Malformed(f"prefix is how session ids begin: {error}") from None


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of sessions by name. `next_after` is what the next page starts behind, None on the last."""

    sessions: tuple[SessionSummary, ...] = ()
    next_after: str | None = None

    def encode(self, asked: Collection[str] | None = None) -> dict[str, Any]:
        """A plain dict of the fields; of each session those `asked` for, None for all."""
        sessions = [_choose(asdict(session), asked) for session in self.sessions]
        return {"sessions": sessions, "next_after": self.next_after}

    def only(self, prefix: str) -> "Listing":
        """The sessions whose names begin with `prefix`. A worker of an older version answers with others, too."""
        sessions = tuple(each for each in self.sessions if each.session.startswith(prefix))
        is_past = self.next_after is not None and self.next_after[: len(prefix)] > prefix
        return Listing(sessions, None if is_past else self.next_after)

    @classmethod
    def decode(cls, value: object, asked: Collection[str] | None = None) -> "Listing":
        """Read the plain dict. Fields that were not `asked` for, or are unknown, are ignored. Raises `Malformed`."""
        try:
            if not isinstance(value, Mapping):
                raise TypeError("an object")
            sessions = tuple(_decode_summary(each, asked) for each in value["sessions"])
            return cls(sessions, value["next_after"])
        except (KeyError, TypeError) as error:
            raise Malformed(f"a list of sessions without {error}") from None


def _choose(values: Mapping[str, Any], asked: Collection[str] | None) -> dict[str, Any]:
    wanted = FIELDS if asked is None else _ALWAYS_TOLD.union(asked)
    return {name: value for name, value in values.items() if name in wanted}


def _decode_summary(value: Mapping[str, Any], asked: Collection[str] | None) -> SessionSummary:
    chosen = {name: item for name, item in _choose(value, asked).items() if name in FIELDS}
    for name in _NEVER_MISSING.intersection(FIELDS if asked is None else asked):
        chosen[name] = value[name]
    if asked is None or "branches" in asked:
        chosen.setdefault("branches", 0)
    return SessionSummary(**chosen)
