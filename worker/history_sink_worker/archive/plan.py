"""Decisions over plain data: what the names in a LIST mean, and what follows from them. No I/O.

The main line of a log is its base, then again and again the extent whose name is the junction reached so far.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from history_sink.protocol.chain import ORIGIN, Junction, shorten
from history_sink_worker.archive.context import Fact
from history_sink_worker.archive.hint import Hint
from history_sink_worker.archive.names import Log, TailName, WaitingName, parse_tail, parse_waiting
from history_sink_worker.archive.tombstone import TOMBSTONE_BYTES
from history_sink_worker.store import Entry

FOLD_EXTENTS = 64
FOLD_SHARE = 1.5
"""A tail is worth a fold when it has this many times the bytes of the base, which may be written once more."""
FOLD_EXTENTS_LONG = 640
"""A LIST of base and such a tail stays one page of 1,000 keys."""
COPIED_PER_TAIL = 8
COPIED_BYTES_PER_EXTENT = 64 * 1024
"""A long tail is worth a fold for which the store copies so many times the tail's bytes, or so much for each extent.

Without a limit, what is copied of a log would grow with the square of its length. The second is for small extents:
whoever looks at a log for the first time asks for the metadata of each.
"""
IDLE_SHARE = 1.0
"""The same of a log that is idle for the moment: somebody may pause after every turn."""
EARLY_SECONDS = 0.5
EARLY_BYTES_PER_SECOND = 64 * 1024
EARLY_SECONDS_AT_MOST = 2.0
"""A log that has not grown for so long is not being written to, or not by those that move its hint."""
ASK_EVERY_EXTENTS = 16
"""A steady writer asks for a fold once in so many extents, not with every save until one has run."""


class Tail(NamedTuple):
    """One object of the tail, as the LIST shows it."""

    name: TailName
    entry: Entry

    @property
    def end(self) -> int:
        return self.name.start + self.entry.size_bytes


class Waiting(NamedTuple):
    """An append that waits for what its writer sent before, as the LIST shows it."""

    name: WaitingName
    entry: Entry


@dataclass(frozen=True)
class LogListing:
    """All objects of one log, sorted out by what their names say."""

    base: Entry | None
    extents: Mapping[tuple[int, str], Tail]
    strays: tuple[Tail, ...]
    undecided: tuple[Tail, ...]
    waiting: tuple[Waiting, ...] = ()

    @property
    def last_write(self) -> float:
        """Unix seconds of the newest object, 0 without any. A fold counts: `archive.written` has when lines came."""
        tails = [*self.extents.values(), *self.strays, *self.undecided]
        entries = [tail.entry for tail in tails] + ([self.base] if self.base else [])
        return max((entry.modified for entry in entries), default=0.0)


def arrange(log: Log, entries: Iterable[Entry]) -> LogListing:
    """Sort a log's objects; names that this project would not write are passed over."""
    base: Entry | None = None
    extents: dict[tuple[int, str], Tail] = {}
    strays: list[Tail] = []
    undecided: list[Tail] = []
    waiting: list[Waiting] = []
    for entry in entries:
        if entry.key == log.base:
            base = entry
            continue
        name = parse_tail(entry.key.removeprefix(log.root))
        if name is None:
            early = parse_waiting(entry.key.removeprefix(log.root))
            waiting += [Waiting(early, entry)] if early else []
            continue
        if name.kind == "extent":
            extents[name.start, name.before] = Tail(name, entry)
        else:
            (strays if name.kind == "stray" else undecided).append(Tail(name, entry))
    return LogListing(base, extents, tuple(strays), tuple(undecided), tuple(waiting))


@dataclass(frozen=True)
class Segment:
    """Bytes ``[start, end)`` of a line, held by the object `key` from its byte ``start - key_start`` on.

    `etag` is an extent's: its name may have been freed by a sweep and claimed anew, with other lines, since the look.
    The base's is empty: it only grows.
    """

    key: str
    key_start: int
    start: int
    end: int
    before: bytes
    after: bytes
    etag: str = ""


class Placed(NamedTuple):
    """A writer's stream is on the line up to its byte `position`; `behind` is the place behind that, on the line."""

    position: int
    behind: Junction


@dataclass(frozen=True)
class MainLine:
    """The base and the extents that join it. `messages` is advisory, `base` is the base's size in bytes.

    `placed`: by writer, how much of its stream these objects say is placed, and the junction behind it.
    """

    segments: tuple[Segment, ...]
    messages: int
    placed: Mapping[str, "Placed"] = field(default_factory=dict)

    @property
    def base(self) -> int:
        return self.segments[0].end

    @property
    def extents(self) -> int:
        return len(self.segments) - 1

    @property
    def end(self) -> Junction:
        return Junction(self.messages, self.segments[-1].end, self.segments[-1].after)

    def known(self) -> dict[int, bytes]:
        """The chains that the metadata tells, by offset."""
        return {0: ORIGIN, **{segment.end: segment.after for segment in self.segments}}

    def segment_at(self, offset: int) -> Segment:
        """The segment that holds the byte at `offset`, which lies before the end."""
        return next(segment for segment in self.segments if segment.start <= offset < segment.end)


def note_placed(placed: dict[str, Placed], fact: Fact, end: int, size_bytes: int) -> None:
    """Note whose lines an object of the line holds: `size_bytes` of them, which end at the offset `end`.

    Not those of an append of its own: it is no part of a stream, also where its writer has one.
    """
    if fact.writer and fact.position is not None:
        placed[fact.writer] = Placed(fact.position + size_bytes, Junction(fact.messages, end, fact.after))


def next_extent(listing: LogListing, offset: int, chain: bytes) -> Tail | None:
    """The extent that continues exactly this junction.

    Not one that merely starts at this offset, nor one that overlaps it: its lines may belong to a history that
    parted from this one.
    """
    return listing.extents.get((offset, shorten(chain)))


def joins(fact: Fact, chain: bytes) -> bool:
    """Whether an extent whose name fits does continue `chain`: a name holds only 16 digits of it."""
    return fact.before == chain


def loose_extents(listing: LogListing, line: MainLine) -> list[Tail]:
    """Extents that are not on the main line: folded already, or not attached."""
    joined = {segment.key for segment in line.segments}
    return [tail for tail in listing.extents.values() if tail.entry.key not in joined]


def sure_segments(listing: LogListing, hint: Hint | None) -> tuple[Segment, ...] | None:
    """The main line up to the hint's junction by names alone, for reading; None where they do not decide.

    A junction that was once on the main line stays on it. Where each offset on the way has one extent only,
    those are the main line, and no metadata need be read. The chains in the segments are left empty.
    """
    if listing.base is None or hint is None or hint.offset < listing.base.size_bytes:
        return None
    if listing.base.size_bytes <= TOMBSTONE_BYTES:
        return None  # it may be one, which its name does not say
    by_offset: dict[int, list[Tail]] = {}
    for tail in listing.extents.values():
        by_offset.setdefault(tail.name.start, []).append(tail)
    end = listing.base.size_bytes
    segments = [Segment(listing.base.key, 0, 0, end, b"", b"")]
    while end < hint.offset:
        found = by_offset.get(end, [])
        if len(found) != 1 or found[0].end == end:
            return None
        segments.append(Segment(found[0].entry.key, end, end, found[0].end, b"", b"", found[0].entry.etag))
        end = found[0].end
    return tuple(segments) if end == hint.offset else None


def hint_proves(hint: Hint | None, start: Junction, now: float, settle_seconds: float) -> bool:
    """Whether an extent created at `start` is on the main line by this hint alone.

    `now` is measured after the PUT has answered. An old hint proves nothing: what it names may have been folded and
    swept meanwhile. Then the PUT has created the freed name anew, and that is not on the line.
    """
    return (
        hint is not None
        and (hint.offset, hint.chain16) == (start.offset, shorten(start.chain))
        and now - hint.proved_at < settle_seconds / 2
    )


def is_early(hint: Hint | None, start: Junction, now: float) -> bool:
    """Whether another process is probably storing what comes before `start` right now: the log has grown a moment ago.

    A save that is early and does not wait takes the slow path, which brings the hint up to date. So where several saves
    wait in vain, the one that is nearest to the log's end should give up first. Then the others need not.
    """
    if hint is None or hint.offset >= start.offset:
        return False
    patience_seconds = EARLY_SECONDS + (start.offset - hint.offset) / EARLY_BYTES_PER_SECOND
    return abs(now - hint.moved_at) < min(patience_seconds, EARLY_SECONDS_AT_MOST)


def fold_is_due(extents: int, tail_bytes: int, base_bytes: int, idle: bool = False) -> bool:
    """Whether folding pays. ``python -m bench.folding`` has what this rule writes, and what others would."""
    if idle:
        return extents > 0 and tail_bytes >= base_bytes * IDLE_SHARE
    if extents >= FOLD_EXTENTS_LONG:
        return base_bytes <= max(tail_bytes * COPIED_PER_TAIL, extents * COPIED_BYTES_PER_EXTENT)
    return extents >= FOLD_EXTENTS and tail_bytes >= base_bytes * FOLD_SHARE


def is_fold_asked(hint: Hint) -> bool:
    """Whether the writer who has moved the hint here is to ask for a fold."""
    is_due = fold_is_due(hint.extents, hint.offset - hint.base_bytes, hint.base_bytes)
    return hint.extents % ASK_EVERY_EXTENTS == 0 and is_due


def is_quiet(listing: LogListing, now: float, settle_seconds: float) -> bool:
    """Whether nobody has written to the log for T, so that it may become one object. `now` is in Unix seconds."""
    return now - listing.last_write >= settle_seconds
