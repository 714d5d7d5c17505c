"""The log that a stray ends: which objects hold the lines before it, and which lines follow a stray.

Its parent is the line whose chain at the stray's start is the one in its name: a stray that ends there, the main
line, or a stray that holds that point inside (another cut of the same history). Equal chains mean equal bytes, so
whichever is found, the bytes are the same.
"""

from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress

from history_sink.protocol.chain import Junction, shorten
from history_sink_worker.archive.changed import Changed
from history_sink_worker.archive.context import Context
from history_sink_worker.archive.match import on_line
from history_sink_worker.archive.plan import LogListing, Segment, Tail
from history_sink_worker.archive.snapshot import LogSnapshot, tail_fact
from history_sink_worker.archive.trace import trace
from history_sink_worker.store import Away, Corrupt, Steps


class Orphan(Away):
    """The beginning of a stray is not there yet."""


_Ends = dict[tuple[int, str], list[Tail]]


def stray_segments(context: Context, seen: LogSnapshot, stray: Tail) -> Steps[tuple[Segment, ...]]:
    """The bytes from 0 to the end of `stray`, as segments. Raises `Changed`, `Orphan`, `Corrupt`."""
    last = yield from _segment(context, stray)
    if last is None:
        raise Changed
    ends: _Ends = defaultdict(list)
    for tail in seen.listing.strays:
        ends[tail.end, tail.name.after].append(tail)
    segments = [last]
    while segments[0].start > 0:
        segments[:0] = yield from _parent(context, seen, ends, segments[0])
    return tuple(segments)


def _segment(context: Context, tail: Tail) -> Steps[Segment | None]:
    """None where it is gone."""
    fact = yield from tail_fact(context, tail)
    if fact is None:
        return None
    return Segment(tail.entry.key, tail.name.start, tail.name.start, tail.end, fact.before, fact.after, tail.entry.etag)


def _parent(context: Context, seen: LogSnapshot, ends: _Ends, child: Segment) -> Steps[list[Segment]]:
    """The segments that end where `child` starts, with its chain: one stray, or all of the main line before it."""
    start, chain = child.start, child.before
    before = [tail for tail in ends.get((start, shorten(chain)), ()) if tail.name.start < start]
    for segment in (yield from _segments(context, before)):
        if segment.after == chain:
            return [segment]
    if seen.line is not None and (yield from on_line(seen.line, start, chain)):
        return _cut(seen.line.segments, start)
    found = yield from _around(context, seen.listing, start, chain)
    if not found:
        raise Orphan(f"{child.key}: what comes before it is not there yet")
    return _cut(found, start)


def follows_stray(context: Context, listing: LogListing, start: Junction) -> Steps[bool]:
    """Whether a stray ends at `start` or holds that junction inside. Raises `Changed` where one has vanished."""
    if any((stray.end, stray.name.after) == (start.offset, shorten(start.chain)) for stray in listing.strays):
        return True
    return bool((yield from _around(context, listing, start.offset, start.chain)))


def _around(context: Context, listing: LogListing, start: int, chain: bytes) -> Steps[tuple[Segment, ...]]:
    """The stray that holds this junction inside, if there is one."""
    around = [tail for tail in listing.strays if tail.name.start < start < tail.end]
    for segment in (yield from _segments(context, around)):
        walk = yield from trace((segment,), segment.start, segment.before, start)
        if (walk.offset, walk.chain) == (start, chain):
            return (segment,)
    return ()


def _segments(context: Context, tails: Iterable[Tail]) -> Steps[list[Segment]]:
    """Those of them that are ours: a foreign writer's object is nobody's beginning."""
    found = []
    for tail in tails:
        with suppress(Corrupt):
            segment = yield from _segment(context, tail)
            found += [segment] if segment else []
    return found


def _cut(segments: tuple[Segment, ...], end: int) -> list[Segment]:
    return [
        Segment(part.key, part.key_start, part.start, min(part.end, end), part.before, part.after, part.etag)
        for part in segments
        if part.start < end
    ]
