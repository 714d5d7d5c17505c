"""Read one log whole, and say where it is not what its names and metadata promise. Changes nothing.

Safe beside live workers: where an object goes or grows meanwhile, the log is looked at again. A log of any size is read
piece by piece.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from history_sink.protocol.chain import ORIGIN, shorten
from history_sink_worker.archive.changed import Changed
from history_sink_worker.archive.context import Context, Fact
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.piece import read_meta, read_tail_meta
from history_sink_worker.archive.plan import LogListing, Segment, Tail
from history_sink_worker.archive.snapshot import list_log
from history_sink_worker.archive.tombstone import check_alive, deleted, is_tombstone
from history_sink_worker.archive.trace import Seen, Walk, trace
from history_sink_worker.store import Entry, Head, Info, Steps

_LOOKS = 20
Level: TypeAlias = Literal["note", "problem"]
_Points: TypeAlias = set[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about the object `key`. A ``note`` is nothing that anybody has to see to."""

    level: Level
    kind: str
    key: str
    text: str


@dataclass(slots=True)
class Checked:
    """What a log holds: messages and bytes of its main line, and what was found."""

    messages: int = 0
    size_bytes: int = 0
    findings: list[Finding] = field(default_factory=list)

    def note(self, kind: str, key: str, text: str) -> None:
        self.findings.append(Finding("note", kind, key, text))

    def problem(self, kind: str, key: str, text: str) -> None:
        self.findings.append(Finding("problem", kind, key, text))


def verify_log(context: Context, log: Log) -> Steps[Checked]:
    """Raises `Deleted`, and `StoreError`."""
    for _ in range(_LOOKS):
        asked_at = context.now()
        yield from check_alive(log)
        listing = yield from list_log(log)
        if context.is_fresh(asked_at):
            with suppress(Changed):
                return (yield from _Check(context, log, listing).run())
    checked = Checked()
    checked.problem("busy", log.base, f"not verified: it changed each of {_LOOKS} times that it was read")
    return checked


@dataclass(frozen=True)
class _Read:
    """An object of the tail that is sound; `points` are the junctions in it that others ask about."""

    tail: Tail
    fact: Fact
    points: _Points

    @property
    def start(self) -> tuple[int, str]:
        return self.tail.name.start, self.tail.name.before

    @property
    def end(self) -> tuple[int, str]:
        return self.tail.end, shorten(self.fact.after)


class _Check:
    """One picture of a log. The steps raise `Changed` where something has since the LIST."""

    def __init__(self, context: Context, log: Log, listing: LogListing) -> None:
        self._context, self._log, self._listing = context, log, listing
        tails = [*listing.extents.values(), *listing.strays, *listing.undecided]
        self._tails = sorted(tails, key=lambda tail: str(tail.name))
        self._asked = {offset for tail in tails for offset in (tail.name.start, tail.end)}
        self._line: _Points = {(0, shorten(ORIGIN))}
        self._end, self._chain = 0, ORIGIN
        self._checked = Checked()

    def run(self) -> Steps[Checked]:
        base = self._listing.base
        if base is not None:
            yield from self._check_base(base)
        found: dict[str, _Read] = {}
        for tail in self._tails:
            read = yield from self._check_tail(tail)
            if read is not None:
                found[tail.entry.key] = read
        joined = self._join(found) if base is not None else set()
        self._checked.size_bytes = self._end
        self._judge({key: read for key, read in found.items() if key not in joined})
        for early in self._listing.waiting:
            text = f"waits for what its writer has appended before byte {early.name.position} of its stream"
            self._report_waiting("waits", early.entry, text)
        return self._checked

    def _check_base(self, base: Entry) -> Steps[None]:
        info: Info | None = yield Head(base.key)
        if info is not None and is_tombstone(info.meta):
            raise deleted(self._log)
        if info is None or info.size_bytes != base.size_bytes:
            raise Changed
        whole = Segment(base.key, 0, 0, info.size_bytes, ORIGIN, b"", info.etag)
        walk = yield from trace((whole,), 0, ORIGIN, info.size_bytes, self._noting(self._line))
        self._end, self._chain, self._checked.messages = walk.offset, walk.chain, walk.messages
        self._judge_base(base.key, info, walk)

    def _judge_base(self, key: str, info: Info, walk: Walk) -> None:
        fact, said = read_meta(info.meta), info.meta.get("hs-bytes", str(info.size_bytes))
        if fact is None and any(name.startswith("hs-") for name in info.meta):
            self._checked.problem("metadata", key, "metadata of ours that cannot be read: somebody has changed it")
        elif fact is None:
            self._checked.note("unadopted", key, "without our metadata; the next save or compaction adopts it")
        elif said != str(info.size_bytes):
            self._checked.problem("size", key, f"{info.size_bytes} bytes, where its metadata says {said}")
        elif (walk.chain, fact.before) != (fact.after, ORIGIN):
            self._checked.problem("chain", key, "its bytes are not those of the chain in its metadata")
        if walk.rest and fact is not None:
            self._checked.problem("open line", key, f"its last {len(walk.rest)} bytes are no whole line")

    def _noting(self, points: _Points) -> Seen:
        def note(_: bytes, walk: Walk) -> bool:
            if walk.offset in self._asked:
                points.add((walk.offset, shorten(walk.chain)))
            return False

        return note

    def _check_tail(self, tail: Tail) -> Steps[_Read | None]:
        """None where it is not sound, and that was said."""
        key, start = tail.entry.key, tail.name.start
        info: Info | None = yield Head(key)
        if info is None or info.etag != tail.entry.etag:
            raise Changed
        fact = read_tail_meta(info.meta, tail.name)
        if fact is None:
            self._checked.problem("metadata", key, "not the metadata that its name promises: a foreign writer's")
            return None
        points = {(start, tail.name.before), (tail.end, shorten(fact.after))}
        segment = Segment(key, start, start, tail.end, fact.before, fact.after, info.etag)
        walk = yield from trace((segment,), start, fact.before, tail.end, self._noting(points))
        if walk.rest or walk.chain != fact.after:
            self._checked.problem("chain", key, "its bytes are not those of the chains in its name and metadata")
            return None
        return _Read(tail, fact, points)

    def _join(self, found: Mapping[str, _Read]) -> set[str]:
        """The keys of the extents on the main line, whose end is then `_end`."""
        joined: set[str] = set()
        while tail := self._listing.extents.get((self._end, shorten(self._chain))):
            read = found.get(tail.entry.key)
            if read is None or read.fact.before != self._chain or tail.end == self._end:
                break
            joined.add(tail.entry.key)
            self._line |= read.points
            self._end, self._chain, self._checked.messages = tail.end, read.fact.after, read.fact.messages
        return joined

    def _judge(self, beside: Mapping[str, _Read]) -> None:
        strays = [read for read in beside.values() if read.tail.name.kind == "stray"]
        known, rootless = _reach(self._line, strays)
        for read in strays:
            self._judge_stray(read, read in rootless)
        for read in beside.values():
            if read.tail.name.kind != "stray" and not {read.start, read.end} <= self._line:  # else folded already
                self._judge_loose(read, {read.start, read.end} <= known)

    def _judge_stray(self, read: _Read, is_rootless: bool) -> None:
        key, text = read.tail.entry.key, f"bytes {read.tail.name.start} to {read.tail.end} of a line that parted"
        if not is_rootless:
            self._checked.note("stray", key, text)
        else:
            self._report_waiting("orphan", read.tail.entry, f"{text}, whose beginning is not there")

    def _judge_loose(self, read: _Read, is_kept: bool) -> None:
        key, start = read.tail.entry.key, read.tail.name.start
        if is_kept:
            self._checked.note("kept", key, "waits where a stray holds the same; it goes with a later sweep")
        elif start < self._end:
            self._checked.note("overlap", key, f"starts at byte {start} of the log, and is not on it: not placed yet")
        elif start == self._end:
            self._report_waiting(
                "gap", read.tail.entry, f"continues another line at byte {start}, of which nothing is there"
            )
        else:
            self._report_waiting(
                "gap", read.tail.entry, f"bytes {self._end} to {start}, which come before it, are not there"
            )

    def _report_waiting(self, kind: str, entry: Entry, text: str) -> None:
        """What has waited for T has most likely been waiting for something that is lost."""
        is_old = self._context.now() - entry.modified >= self._context.settle_seconds
        (self._checked.problem if is_old else self._checked.note)(kind, entry.key, text)


def _reach(line: _Points, strays: Iterable[_Read]) -> tuple[_Points, list[_Read]]:
    """All junctions that readers can get to, and the strays that they can't."""
    known, left = set(line), list(strays)
    while True:
        ready = [read for read in left if read.start in known]
        if not ready:
            return known, left
        left = [read for read in left if read not in ready]
        for read in ready:
            known |= read.points
