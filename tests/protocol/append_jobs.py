"""What is appended in one run: streams in several cuts, lines that go only after one end, and a client that errs."""

import itertools
import random
from dataclasses import dataclass
from typing import Any

from history_sink.protocol.batch import Anchor, Batch
from history_sink.protocol.chain import START, Junction, walk
from history_sink_worker.archive import hint, stream

from .jobs import Limits

CARELESS = "m"
"""A plain client's writer whose positions are not those of its lines. Nothing is promised to it."""

APPEND_LIMITS: Limits = [(hint, "WRITERS_KEPT", [1, 2, 64]), (stream, "HINTS_TRIED", [1, 3])]

Lines = tuple[bytes, ...]


@dataclass(frozen=True)
class Append:
    """One batch on its way to the log."""

    batch: Batch


@dataclass(frozen=True)
class Together:
    """Batches of one writer that met in one worker. `looks`: one of them was delivered before."""

    batches: tuple[Batch, ...]
    looks: bool = False


@dataclass(frozen=True)
class AskPlaced:
    """How far are these streams placed? `before`: how far they were when the question was asked."""

    before: tuple[tuple[str, int], ...]


def draw_line(rng: random.Random) -> bytes:
    return (rng.choice("ab") * rng.choice([1, 1, 2]) + "\n").encode()


def draw_cuts(rng: random.Random, name: str, lines: Lines, saved: Lines | None) -> list[Any]:
    """The batches of a stream, and some in another cut, as a flush sends them. They follow `saved`, if it is given."""
    cuts = sorted({0, len(lines)} | {rng.randint(0, len(lines)) for _ in range(rng.randint(0, 4))})
    spans = list(itertools.pairwise(cuts))
    for _ in range(rng.choice([0, 0, 1, 2])):
        first = rng.randint(0, len(lines) - 1)
        spans.append((first, rng.randint(first + 1, len(lines))))
    return [_cut(name, lines, first, end, saved) for first, end in spans]


def _cut(name: str, lines: Lines, first: int, end: int, saved: Lines | None) -> Append:
    anchor = None
    if saved is not None:
        anchor = Anchor(end_of([*saved, *lines[:first]]), is_first=first == 0)
    return Append(Batch(None, name, len(b"".join(lines[:first])), lines[first:end], anchor))


def draw_careless(rng: random.Random) -> list[Any]:
    """Any lines at any positions."""
    if rng.random() < 0.8:
        return []
    drawn = [tuple(draw_line(rng) for _ in range(rng.randint(1, 2))) for _ in range(rng.randint(2, 5))]
    return [Append(Batch(None, CARELESS, rng.randint(0, 8), lines)) for lines in drawn]


def end_of(lines: list[bytes]) -> Junction:
    return [START, *walk(START, lines)][-1]


__all__ = ["APPEND_LIMITS", "CARELESS", "Append", "AskPlaced", "Together"]
