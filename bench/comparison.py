"""Figures of two builds in turn, and what was asked of the newer one."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from bench.builds import Build
from bench.figures import Findings, Goal, Table, median
from bench.transcripts import Json

RATE = "saves a second, 64 sessions at once"
OF_FLOOR = "saves a second, against the floor"
REDIS_BYTES = "200 MB read back: bytes through Redis per byte"

Sense = Literal["at most", "at least"]
SHARES: dict[str, tuple[Sense, float]] = {
    RATE: ("at least", 1.6),
    "CPU ms per save: worker": ("at most", 0.5),
    "CPU ms per save: producer": ("at most", 0.6),
    "Redis commands of the worker per save": ("at most", 0.5),
    "round trips to Redis of the worker per save": ("at most", 0.5),
    "ms until one save alone is durable, p50": ("at most", 0.8),
    "ms to resolve a message in the middle, p50": ("at most", 0.8),
    "producer, save: ms p50": ("at most", 0.6),
    "producer, save: ms of processor p50": ("at most", 0.6),
    "producer, append: ms p50": ("at most", 0.6),
    "producer, append: ms of processor p50": ("at most", 0.6),
    "10,000 messages of a plain client, one new: ms": ("at most", 0.3),
    "10,000 messages of a plain client, one new: CPU ms: worker": ("at most", 0.3),
    "worker's peak MB: ready, one save, one read": ("at most", 0.75),
    "200 MB saved and folded: worker's peak MB": ("at most", 0.8),
    "200 MB read back: seconds": ("at most", 0.5),
    "200 MB read back: worker's peak MB": ("at most", 1.0),
    "200 MB read back: producer's peak MB": ("at most", 1.0),
}
"""Of the figures of 6b45b24, the build of 2026-11-23."""
FIGURES: dict[str, tuple[Sense, float]] = {OF_FLOOR: ("at least", 1.05), REDIS_BYTES: ("at most", 1.4)}
"""Of this build's figure alone."""

IN_TURN = "Both builds in one run, in turn"
"""The title of the tables that are shown as one."""


class Comparison:
    """Figures by what they are of: a pair, of the older build and of this one, for each round."""

    def __init__(self, builds: Sequence[Build]) -> None:
        self.builds = builds
        self.pairs: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def add(self, what: str, older: float, newer: float) -> None:
        self.pairs[what].append((older, newer))

    def alternate(self, number: int, run: Callable[[Build], Mapping[str, float]]) -> None:
        """Both builds, each first in every other round; a figure for each name."""
        order = self.builds if number % 2 else [*reversed(self.builds)]
        found = {build.name: run(build) for build in order}
        older, newer = (found[build.name] for build in self.builds)
        for what, figure in older.items():
            self.add(what, figure, newer[what])

    def ratio(self, what: str) -> float:
        """Of this build's figure to the older one's: the rounds' median."""
        return median([newer / older for older, newer in self.pairs[what] if older] or [1.0])

    def report(self, name: str, notes: Sequence[str] = (), tables: Sequence[Table] = ()) -> Findings:
        """A row for each figure, and the goals that there are for them."""
        rows, goals = [], []
        for what, pairs in self.pairs.items():
            older, newer = (median([pair[index] for pair in pairs]) for index in (0, 1))
            ratios = [pair[1] / pair[0] for pair in pairs if pair[0]] or [1.0]
            rows.append((what, older, newer, self.ratio(what), min(ratios), max(ratios)))
            if what in SHARES:
                goals.append(Goal(what, self.ratio(what), *SHARES[what]))
            elif what in FIGURES:
                goals.append(Goal(what, newer, *FIGURES[what], "now"))
        columns = ("measure", self.builds[0].name, "now", "ratio (median)", "least", "most")
        table = Table(IN_TURN, columns, tuple(rows))
        return Findings(name, f"{name}, by both builds", tuple(goals), (table, *tables), notes=tuple(notes))


def write_messages(path: Path, messages: Sequence[Json]) -> Path:
    """A file of them, a line each, for `Build.run`."""
    path.write_text("".join(json.dumps(message, ensure_ascii=False) + "\n" for message in messages))
    return path
