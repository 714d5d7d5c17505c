"""What is done to a log in one run: random histories, cut into random saves, and what others do meanwhile."""

import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from history_sink_worker.archive import grow, plan, stream, sweep, trace
from history_sink_worker.archive.hint import Hint
from history_sink_worker.store import Request, Steps, StoreError


class FlakyHints:
    """Hints as a Redis may have them: missing, rolled back, or not written."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.kept: list[Hint] = []

    def get(self, root: str) -> Hint | None:
        if not self.kept or self.rng.random() < 0.15:
            return None
        return self.rng.choice(self.kept) if self.rng.random() < 0.25 else self.kept[-1]

    def put(self, root: str, hint: Hint) -> None:
        if self.rng.random() < 0.9:
            self.kept.append(hint)


@dataclass(frozen=True)
class Save:
    """Messages ``[first, end)`` of a history; `whole` is the plain client's form."""

    history: tuple[bytes, ...]
    first: int
    end: int
    whole: bool = False

    @property
    def lines(self) -> tuple[bytes, ...]:
        return self.history[: self.end]


@dataclass(frozen=True)
class Read:
    """A range of the log, or of a stray all of it."""

    start: int = 0
    end: int | None = None
    stray: str | None = None


@dataclass(frozen=True)
class Survey:
    """Which junctions of a history are on the log?"""

    asked: tuple[tuple[int, str], ...]


@dataclass(eq=False)
class Job:
    """A piece of work under way. `main_bytes` and `strays` are what there was when it began."""

    what: Any
    steps: Steps[Any]
    main_bytes: int
    strays: set[str]
    reply: Any = None
    trouble: StoreError | None = None
    met: list[StoreError] = field(default_factory=list)
    uploads: set[str] = field(default_factory=set)

    def go_on(self) -> Request:
        """The next request. What the last one has met instead of a reply is raised at it, as `store.run` does."""
        trouble, self.trouble = self.trouble, None
        return self.steps.throw(trouble) if trouble else self.steps.send(self.reply)

    def meet(self, trouble: StoreError) -> None:
        self.trouble = trouble
        self.met.append(trouble)


Limits = list[tuple[Any, str, list[Any]]]


@contextmanager
def small_limits(rng: random.Random, more: Limits | None = None) -> Iterator[None]:
    """The program's limits so small that a log of some lines meets them."""
    small: Limits = [
        (grow, "PART_BYTES", [1, 5, 10**9]),
        (grow, "COPY_FROM_BYTES", [1, 6, 10**9]),
        (grow, "COPY_AT_ONCE_BYTES", [1, 12, 10**9]),
        (sweep, "DELETE_KEYS", [1, 2, 1000]),
        (stream, "DELETE_KEYS", [1, 2, 1000]),
        (trace, "CHUNK_BYTES", [1, 3, 10**9]),
        (plan, "TOMBSTONE_BYTES", [0]),  # nobody deletes here, and bases as small as these are read by names, too
        *(more or []),
    ]
    before = [(module, name, getattr(module, name)) for module, name, _ in small]
    for module, name, values in small:
        setattr(module, name, rng.choice(values))
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def draw_histories(rng: random.Random, size: float, forks: int | None) -> list[list[bytes]]:
    same_length = rng.random() < 0.5

    def line() -> bytes:
        letter = rng.choice("abc")
        return (letter * (1 if same_length else 1 + "abc".index(letter)) + "\n").encode()

    found = [[line() for _ in range(rng.randint(1, max(2, int(7 * size))))]]
    for _ in range(rng.choice([0, 0, 1, 2, 3]) if forks is None else forks):
        parent = rng.choice(found)
        keep, kind = rng.randint(0, len(parent)), rng.random()
        grown = [line() for _ in range(rng.randint(1, max(1, int(4 * size))))]
        if kind < 0.2:  # an undo, and the same again
            grown = parent[keep : keep + rng.randint(0, 3)]
        elif kind < 0.3:
            grown = []
        found.append(parent[:keep] + grown)
    return found


def draw_saves(rng: random.Random, histories: list[list[bytes]]) -> list[Save]:
    found: list[Save] = []
    for history in filter(None, histories):
        lines, count = tuple(history), len(history)
        cuts = sorted({0, count} | {rng.randint(0, count) for _ in range(rng.randint(0, count))})
        saves = [Save(lines, a, b) for a, b in itertools.pairwise(cuts)]
        for _ in range(rng.choice([0, 0, 1, 2, 4])):
            first = rng.randint(0, count - 1)
            saves.append(Save(lines, first, rng.randint(first + 1, count)))
        if rng.random() < 0.25:
            saves.append(Save(lines, 0, rng.randint(1, count), whole=True))
        if rng.random() < 0.15:
            saves = [Save(lines, 0, count, whole=True)] + (saves if rng.random() < 0.5 else [])
        found += saves
    if rng.random() < 0.6:
        rng.shuffle(found)
    return found + [rng.choice(found) for _ in range(rng.choice([0, 0, 1, 3, 6])) if found]
