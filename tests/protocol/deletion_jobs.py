"""What is done beside a deletion: saves to several sessions and their branches, questions, and hints of all of them."""

import random
from dataclasses import dataclass, field
from typing import Any

from history_sink.protocol.batch import Batch
from history_sink.protocol.chain import shorten
from history_sink.protocol.contract import branch_name
from history_sink_worker.archive.hint import Hint
from history_sink_worker.archive.names import Log
from history_sink_worker.store import Steps

from .oracle import junctions

PREFIX, GONE, OTHERS = "history/", "s", ("s-1", "s.2")
History = tuple[bytes, ...]


@dataclass(frozen=True)
class Save:
    """Messages ``[first, end)`` of a history, for one log; `whole` is the plain client's form."""

    log: Log
    history: History
    first: int
    end: int
    whole: bool = False


@dataclass(frozen=True)
class Append:
    """One batch of a writer's stream."""

    log: Log
    batch: Batch


@dataclass(frozen=True)
class Ask:
    """A read of `key`, a status (`key` is the session's name), or a list (`key` is empty)."""

    key: str
    byte_range: tuple[int, int] | None = None


@dataclass(eq=False)
class Job:
    """A piece of work under way, begun at `began_at`; `after_deletion`: when there was a tombstone."""

    what: Any
    steps: Steps[Any]
    began_at: float
    after_deletion: bool
    reply: Any = None
    uploads: set[str] = field(default_factory=set)


class Hints:
    """Hints of all logs as a Redis may have them: missing, rolled back, or not written; or all in order."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.kept: dict[str, list[Hint]] = {}
        self.missing, self.old = rng.choice([(0.0, 0.0), (0.05, 0.1)])

    def get(self, root: str) -> Hint | None:
        kept = self.kept.get(root)
        if not kept or self.rng.random() < self.missing:
            return None
        return self.rng.choice(kept) if self.rng.random() < self.old else kept[-1]

    def put(self, root: str, hint: Hint) -> None:
        if self.rng.random() >= self.missing:
            self.kept.setdefault(root, []).append(hint)


def draw_history(rng: random.Random) -> History:
    """Lines of 9 bytes, behind one of 16: some junction lies where a tombstone of 43 bytes ends."""
    return (b"the first line.\n", *(bytes(rng.choices(b"abc", k=8)) + b"\n" for _ in range(60)))


def draw_saves(rng: random.Random, session: str, history: History) -> list[Save]:
    """A history in order, its beginning at least; perhaps histories that part from it."""
    log, first, found = Log(PREFIX, session), 0, []
    for _ in range(rng.randint(2, 12)):
        end = first + rng.randint(1, 3)
        found.append(Save(log, history, first, end))
        if rng.random() < 0.1:
            found.append(Save(log, history, 0, end, whole=True))
        if session == GONE and rng.random() < 0.2:
            found += _part(rng, log, history, rng.randint(0, first))
        first = end
    return found


def _part(rng: random.Random, log: Log, history: History, kept: int) -> list[Save]:
    """An undo, of a library that knows what the store has, or of a writer that does not."""
    other = (*history[:kept], *[b"undo\n"] * rng.randint(1, 3))
    if rng.random() < 0.3:
        return [Save(log, other, kept, len(other))]
    offset, chain = junctions(other)[kept + 1]
    branch = Log(PREFIX, log.session, branch_name(offset, shorten(chain)))
    return [Save(branch, other, at, at + 1) for at in range(len(other))]
