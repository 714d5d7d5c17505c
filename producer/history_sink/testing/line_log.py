"""One log in memory, by the rules of the archive: what becomes of lines that follow a junction.

Pure. The worker keeps the same rules with objects in a store; a test compares the two.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from history_sink.ledger.junctions import Points
from history_sink.protocol.batch import Batch
from history_sink.protocol.chain import START, Junction, shorten, walk
from history_sink.protocol.outcome import OutcomeKind, Parted


@dataclass(frozen=True)
class Run:
    """Lines, each with its newline, that follow the junction `start`."""

    start: Junction
    lines: tuple[bytes, ...]

    @cached_property
    def ends(self) -> tuple[Junction, ...]:
        """The junctions around the lines, the first `start`."""
        return (self.start, *walk(self.start, self.lines))

    @property
    def end(self) -> Junction:
        """The junction behind the last line."""
        return self.ends[-1]

    @property
    def name(self) -> str:
        """What a stray with these lines is called below its log."""
        before, after = shorten(self.start.chain), shorten(self.end.chain)
        return f"tail/{self.start.offset:012d}-{before}~{after}.jsonl"

    def drop(self, count: int) -> "Run":
        """What is left without the first `count` lines."""
        return Run(self.ends[count], self.lines[count:])

    def find(self, junction: Junction) -> int | None:
        """How many of its lines come before `junction`, which lies behind its first line; None: it lies elsewhere."""
        places = {(end.offset, end.chain): count for count, end in enumerate(self.ends) if count}
        return places.get((junction.offset, junction.chain))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a run; `stray` is the name of the stray that keeps what `parted` from the log."""

    outcome: OutcomeKind
    stray: str | None = None
    parted: Parted | None = None
    end: Junction | None = None


class Early(Exception):  # no error: it waits
    """A batch has come before what it follows."""


class Size(NamedTuple):
    """How many lines are on a log, how many strays lie beside it, and how many runs wait."""

    lines: int
    strays: int
    waiting: int


class LineLog:
    """The lines of one log, strays beside it, and runs that wait for what comes before them."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.points = Points()
        self.strays: list[Run] = []
        self.waiting: list[Run] = []
        self.rules = ""  # of the filters that have made the first lines
        self.placed: dict[str, int] = {}  # how many bytes of each writer's stream are here
        self._ends: dict[tuple[str, int], Junction] = {}  # where each writer's batches end, by their ends in its stream
        self._conditional: dict[bytes, tuple[str, Junction]] = {}  # by chain: who went on there by `after`, and its end

    @property
    def size(self) -> Size:
        """How much there is of it."""
        return Size(len(self.lines), len(self.strays), len(self.waiting))

    def take(self, run: Run) -> Verdict:
        """Put the lines where they belong, and those that have waited for them."""
        verdict = self._place(run)
        if verdict.outcome in ("stored", "diverged"):
            self._place_waiting()
        return verdict

    def append(self, batch: Batch) -> Verdict:
        """Put the lines of a batch at the end. Raises `Early` where they must wait."""
        if batch.after is not None:
            return self._append_after(batch, batch.after)
        start, placed = batch.position or 0, self.placed.get(batch.writer, 0)
        end = start + batch.size_bytes
        if end <= placed:
            return Verdict("duplicate", end=self._ends.get((batch.writer, end)))
        anchor, is_early = batch.anchor, start > placed
        if is_early or (anchor is not None and anchor.is_first and not self._has(anchor.place)):
            if anchor is None or not self._follows_stray(anchor.place):
                raise Early
            verdict = self._keep(Run(anchor.place, batch.lines), None)
            self._place_waiting()
            return verdict
        lines = [*batch.lines]
        while start < placed:
            start += len(lines.pop(0))
        self.placed[batch.writer] = end
        return self._put(lines, (batch.writer, end))

    def _append_after(self, batch: Batch, after: Junction) -> Verdict:
        end = self.points.end
        if (end.offset, end.chain) == (after.offset, after.chain):
            verdict = self._put([*batch.lines], (batch.writer, batch.size_bytes))
            self._conditional[after.chain] = batch.writer, self.points.end
            return verdict
        writer, own_end = self._conditional.get(after.chain, ("", end))
        return Verdict("duplicate", end=own_end) if writer == batch.writer else Verdict("conflict", end=end)

    def _put(self, lines: list[bytes], known_as: tuple[str, int]) -> Verdict:
        self.lines += lines
        self.points.extend(lines)
        self._ends[known_as] = end = self.points.end
        self._place_waiting()
        return Verdict("stored", end=end)

    def _place_waiting(self) -> None:
        waiting, self.waiting = self.waiting, []
        for each in sorted(waiting, key=lambda each: each.start.offset):
            self._place(each)

    def find_common(self, junctions: Iterable[tuple[int, str]]) -> int:
        """The offset of the last of these junctions (offset, chain16) that is on the log, else 0."""
        known = (offset for offset, chain16 in junctions if self.points.find(offset, chain16) is not None)
        return max(known, default=0)

    def read_stray(self, name: str) -> bytes | None:
        """The history that the stray `name` ends, from its first line on. None: what comes before is not there yet.

        Raises `KeyError` where there is no such stray.
        """
        stray = {each.name: each for each in self.strays}[name]
        before = self._read_before(stray.start)
        return None if before is None else before + b"".join(stray.lines)

    def _place(self, run: Run) -> Verdict:
        end = self.points.end
        if self._has(run.start):
            rest = run.drop(self._count_agreeing(run))
            if not rest.lines:
                return Verdict("duplicate")
            if rest.start.offset < end.offset:
                return self._keep(rest, Parted(rest.start.messages, rest.start.offset))
            self.lines += rest.lines
            self.points.extend(rest.lines)
            return Verdict("stored")
        if run.start.offset < end.offset or self._follows_stray(run.start):
            return self._keep(run, None)
        if run not in self.waiting:
            self.waiting.append(run)
        return Verdict("pending")

    def _has(self, junction: Junction) -> bool:
        """Whether the junction is on the log."""
        at = self.points.find(junction.offset)
        return at is not None and self.points[at].chain == junction.chain

    def _count_agreeing(self, run: Run) -> int:
        """How many of its lines, which start on the log, the log has."""
        here = self.lines[self.points.find(run.start.offset) :]
        pairs = zip(run.lines, here, strict=False)
        return next((count for count, (own, other) in enumerate(pairs) if own != other), min(len(run.lines), len(here)))

    def _keep(self, run: Run, parted: Parted | None) -> Verdict:
        if run not in self.strays:
            self.strays.append(run)
        return Verdict("diverged", run.name, parted)

    def _follows_stray(self, junction: Junction) -> bool:
        return any(stray.find(junction) is not None for stray in self.strays)

    def _read_before(self, junction: Junction) -> bytes | None:
        """The bytes of the history that leads to `junction`; None where they are not there."""
        if junction.offset == START.offset:
            return b""
        if self._has(junction):
            return b"".join(self.lines[: self.points.find(junction.offset)])
        for stray in self.strays:
            count = stray.find(junction)
            if count is not None:
                before = self._read_before(stray.start)
                return None if before is None else before + b"".join(stray.lines[:count])
        return None
