"""The log that a stray ends: which objects hold the lines before it.

Its parent is the line whose chain at the stray's start is the one in its name: a stray that ends there, the main
line, or a stray that holds that point inside (another cut of the same history). Equal chains mean equal bytes, so
whichever is found, the bytes are the same.
"""

from history_sink.chain import shorten
from history_sink_worker.context import Context
from history_sink_worker.look import Look, tail_fact
from history_sink_worker.match import on_line
from history_sink_worker.plan import Segment, Tail
from history_sink_worker.store import Away, Steps
from history_sink_worker.trace import Walk, trace


class Orphan(Away):
    """The beginning of a stray is not there yet."""


def stray_segments(context: Context, seen: Look, stray: Tail) -> Steps[tuple[Segment, ...] | None]:
    """The bytes from 0 to the end of `stray`, as segments. None: an object vanished. Raises `Orphan`."""
    chain = yield from _segment(context, stray)
    if chain is None:
        return None
    segments = [chain]
    while segments[0].start > 0:
        first = segments[0]
        parent = yield from _parent(context, seen, first)
        if parent is None:
            return None
        segments[:0] = parent
    return tuple(segments)


def _segment(context: Context, tail: Tail) -> Steps[Segment | None]:
    fact = yield from tail_fact(context, tail)
    if fact is None:
        return None
    return Segment(tail.entry.key, tail.name.start, tail.name.start, tail.end, fact.before, fact.after)


def _parent(context: Context, seen: Look, child: Segment) -> Steps[list[Segment] | None]:
    """The segments that end where `child` starts, with its chain: one stray, or all of the main line before it."""
    start, chain = child.start, child.before
    for stray in seen.listing.strays:
        if (stray.end, stray.name.after) == (start, shorten(chain)) and stray.name.start < start:
            segment = yield from _segment(context, stray)
            return None if segment is None else [segment]
    if seen.line is not None:
        same = yield from on_line(seen.line, start, chain)
        if same is None:
            return None
        if same:
            return _cut(seen.line.segments, start)
    for stray in seen.listing.strays:
        if stray.name.start < start < stray.end:
            segment = yield from _segment(context, stray)
            if segment is None:
                return None
            walk: Walk | None = yield from trace((segment,), segment.start, segment.before, start)
            if walk is None:
                return None
            if (walk.offset, walk.chain) == (start, chain):
                return _cut((segment,), start)
    raise Orphan(f"{child.key}: what comes before it is not there yet")


def _cut(segments: tuple[Segment, ...], end: int) -> list[Segment]:
    return [
        Segment(part.key, part.key_start, part.start, min(part.end, end), part.before, part.after)
        for part in segments
        if part.start < end
    ]
