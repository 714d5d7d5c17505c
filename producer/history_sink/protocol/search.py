"""A question to the archive, and its answer: where something was said, and how complete that answer is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from history_sink.errors import Malformed
from history_sink.protocol.contract import check_branch, check_session
from history_sink.protocol.pointer import PointerHandle

MOST_HITS = 100
"""In one answer."""
QUERY_CHARACTERS = 10_000
"""The longest question."""

_ENDLESS = 2**53
"""No time is so far away, and no index can tell such a one; nor is NaN nearer."""
_ROLES = ("user", "assistant", "tool", "system")


@dataclass(frozen=True, slots=True)
class Question:
    """A question. `query` is content: it is shown nowhere.

    `session`, `branch`, `role`, `project` and `since` (a Unix time in seconds) narrow it. `at_least` is a session, a
    branch and an offset: the index must reach that far.
    """

    query: str
    session: str | None = None
    branch: str | None = None
    role: str | None = None
    project: str | None = None
    since: float | None = None
    limit: int = 10
    at_least: tuple[str, str | None, int] | None = None

    def __repr__(self) -> str:
        return f"<a question of {len(self.query)} characters>"

    def encode(self) -> dict[str, Any]:
        """The arguments of the task."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def decode(cls, value: Mapping[str, Any]) -> "Question":
        """Check all of it; unknown names are ignored. Raises `Malformed`, whose text holds no word of the question."""
        given = {name: value[name] for name in cls.__slots__ if value.get(name) is not None}
        query = given.get("query")
        if not isinstance(query, str) or not query.strip():
            raise Malformed("a question is a text, and not a blank one")
        if len(query) > QUERY_CHARACTERS:
            raise Malformed(f"a question has at most {QUERY_CHARACTERS} characters")
        if "session" in given:
            check_session(given["session"])
        check_branch(given.get("branch"))
        if "branch" in given and "session" not in given:
            raise Malformed("a branch is one of a session: name that, too")
        if given.get("role", "user") not in _ROLES:
            raise Malformed(f"a role is one of {', '.join(_ROLES)}")
        if not isinstance(given.get("project", ""), str):
            raise Malformed("a project is a text: a folder, or the last part of its path")
        since = given.get("since", 0.0)
        if isinstance(since, bool) or not isinstance(since, (int, float)) or not abs(since) < _ENDLESS:
            raise Malformed("since is a Unix time in seconds")
        limit = given.get("limit", 10)
        if type(limit) is not int or not 1 <= limit <= MOST_HITS:
            raise Malformed(f"limit is 1 to {MOST_HITS}")
        if "at_least" in given:
            given["at_least"] = _decode_at_least(given["at_least"])
        return cls(**given)


def _decode_at_least(value: object) -> tuple[str, str | None, int]:
    if not isinstance(value, (list, tuple)) or len(value) != 3 or type(value[2]) is not int or value[2] < 0:
        raise Malformed("at_least is a session, a branch and an offset")
    return check_session(value[0]), check_branch(value[1]), value[2]


@dataclass(frozen=True, slots=True)
class Hit:
    """One message that fits. `excerpt` and what `handle` leads to are content.

    `message` counts from 0 within its log. `at` is when it was written, a Unix time in seconds, None where the line
    does not say. `score` compares hits of one answer. `marks` are the half-open ranges of `excerpt` that match.
    """

    handle: PointerHandle
    session: str
    branch: str | None
    message: int
    role: str
    at: float | None
    score: float
    excerpt: str
    marks: tuple[tuple[int, int], ...] = ()

    def __repr__(self) -> str:
        return f"<message {self.message} of {self.session}>"

    def encode(self) -> dict[str, Any]:
        """A plain dict of the fields."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return {**plain, "handle": self.handle.encode(), "marks": [list(mark) for mark in self.marks]}

    @classmethod
    def decode(cls, value: object) -> "Hit":
        """Read the plain dict; unknown fields are ignored. Raises `Malformed`."""
        fields = _pick(cls.__slots__, value)
        marks = tuple((int(start), int(end)) for start, end in fields["marks"])
        return cls(**{**fields, "handle": PointerHandle.decode(fields["handle"]), "marks": marks})


@dataclass(frozen=True, slots=True)
class Recalled:
    """What was found, and in how much of the archive.

    `newest_write` is when the newest save was written that the index has, a Unix time in seconds; 0 where it has none.
    `behind` counts the logs of which the index is known to lack something. `is_rebuilding`: the index is being built
    for the first time. `compared_at`: when the index was last compared with all of the bucket, a Unix time in
    seconds; None: not yet since the search worker began. `messages` counts what is indexed, `sealed` the lines that are
    encrypted and therefore are not.
    """

    hits: tuple[Hit, ...]
    newest_write: float
    behind: int
    is_rebuilding: bool
    compared_at: float | None
    messages: int
    sealed: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether the index has all that is known to be in the bucket. Only then "no hits" means "nothing there"."""
        return not (self.behind or self.is_rebuilding or self.compared_at is None)

    def encode(self) -> dict[str, Any]:
        """A plain dict of the fields, and `is_complete`."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return {**plain, "hits": [hit.encode() for hit in self.hits], "is_complete": self.is_complete}

    @classmethod
    def decode(cls, value: object) -> "Recalled":
        """Read the plain dict; unknown fields are ignored. Raises `Malformed`."""
        try:
            fields = _pick(cls.__slots__, value)
            return cls(**{**fields, "hits": tuple(map(Hit.decode, fields["hits"]))})
        except (KeyError, TypeError, ValueError) as error:
            raise Malformed(f"no answer to a question: {type(error).__name__}") from None


def _pick(names: tuple[str, ...], value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError("an object")
    return {name: value[name] for name in names}
