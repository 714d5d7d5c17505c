"""Fold extents into the base, and sweep away what the base has held for long enough.

This is a task of its own, so that no save waits for it. The base only grows, with ``If-Match``. An extent is deleted
only when the base is proven to have held its lines for T. Strays are never deleted.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import reduce

from history_sink.protocol.chain import advance, shorten, split_lines
from history_sink_worker.archive import plan
from history_sink_worker.archive.changed import Changed, look_again
from history_sink_worker.archive.context import Context, Fact
from history_sink_worker.archive.grow import grow
from history_sink_worker.archive.hint import Hint, list_placed
from history_sink_worker.archive.marks import raise_marks
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.piece import read_rules, write_beginner, write_meta, write_rules
from history_sink_worker.archive.plan import Segment
from history_sink_worker.archive.settled import base_meta, next_settled
from history_sink_worker.archive.snapshot import LogSnapshot, look
from history_sink_worker.archive.stream import place_waiting
from history_sink_worker.archive.sweep import find_settled, loose_before, place_passed, sweep
from history_sink_worker.archive.trace import holds
from history_sink_worker.archive.written import read_written, write_written
from history_sink_worker.store import Blob, Corrupt, Get, Steps

WAITING_AGAIN_SECONDS = 30.0
"""So often a log is looked after on which appends wait for others: those may be with a worker that was killed."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """Bytes folded, objects deleted, and objects `left` that a later run must see to.

    `again_in_seconds` says when such a run makes sense. None: a later run would find nothing to do.
    """

    folded_bytes: int = 0
    swept: int = 0
    left: int = 0
    again_in_seconds: float | None = None


def compact(context: Context, log: Log, idle: bool = False, everything: bool = False) -> Steps[Compacted]:
    """Sweep, then fold if a fold is due by the policy. An `idle` log has another policy; `everything` folds always."""
    seen = yield from look(context, log, adopt=True, reads=True)
    if seen.line is None:
        return Compacted(left=len(seen.listing.waiting))
    limit = find_settled(context, seen)
    waited = yield from place_waiting(context, log, seen.listing.waiting)
    swept, placed = yield from sweep(context, log, seen, limit)
    tail_bytes = seen.line.end.offset - seen.line.base
    yield from place_passed(context, log, seen)
    folded = 0
    is_quiet = plan.is_quiet(seen.listing, context.now(), context.settle_seconds)
    if everything or is_quiet or plan.fold_is_due(seen.line.extents, tail_bytes, seen.line.base, idle):
        with suppress(Changed):  # another was faster: what is left is for the next run
            folded = yield from _fold(context, log, seen)
    loose = loose_before(seen, seen.line.base)
    left = seen.line.extents + len(loose) - swept + len(seen.listing.waiting) - waited
    unsettled = folded or seen.line.extents or any(tail.name.start >= limit for tail in loose)
    again = context.settle_seconds if unsettled else None
    if waited < len(seen.listing.waiting):
        again = min(again or WAITING_AGAIN_SECONDS, WAITING_AGAIN_SECONDS)
    if placed or waited:
        again = 0.0
    return Compacted(folded, swept, left, again)


def fold_whole(context: Context, log: Log, offset: int) -> Steps[None]:
    """Fold until the base reaches `offset`, where the main line is known to reach."""
    yield from look_again(log, lambda: _fold_towards(context, log, offset))


def _fold_towards(context: Context, log: Log, offset: int) -> Steps[None]:
    """Fold once, if the base does not reach `offset` yet. Only another look can say whether it reaches it then."""
    seen = yield from look(context, log, adopt=True, reads=True)
    if seen.line is not None and seen.line.base >= offset:
        return
    if seen.line is not None:
        yield from place_passed(context, log, seen)
    yield from _fold(context, log, seen)
    raise Changed


def _fold(context: Context, log: Log, seen: LogSnapshot) -> Steps[int]:
    """Put the tail behind the base. Returns the bytes folded.

    Raises `Changed` when another was faster, or it took too long.
    """
    if seen.line is None or seen.info is None or seen.line.extents == 0:
        return 0
    began_at = context.now()
    end, segments = seen.line.end, seen.line.segments[1:]
    fact = Fact(end.messages, seen.line.segments[0].before, end.chain)
    settled = next_settled(seen.info, context.now(), context.settle_seconds)
    kept = write_beginner(seen.info.meta) | write_rules(read_rules(seen.info.meta))
    meta = base_meta(write_meta(fact), end.offset, settled) | _written(seen) | kept
    # Before the base is written: with it goes what the extents, and a base that an append began, say of their writers.
    placed = {writer: each.position for writer, each in seen.line.placed.items()}
    yield from raise_marks(log, placed)
    tail = (_read_extent(context, segment) for segment in segments)
    grown = end.offset - seen.line.base
    yield from grow(log.base, seen.info, tail, grown, meta, lambda: context.is_in_time(began_at))
    for segment in segments:
        context.lines.drop(segment.key, segment.etag)
    listed = list_placed(placed)
    hint = Hint(end.offset, shorten(end.chain), began_at, 0, end.offset, end=end if listed else None, placed=listed)
    _move_hint(context, log, hint, len(segments))
    return grown


def _written(seen: LogSnapshot) -> dict[str, str]:
    """The metadata of a base that takes in the tail. A fold is no write: the base gets the extents' time."""
    assert seen.listing.base is not None
    assert seen.info is not None
    assert seen.line is not None
    folded = {segment.key for segment in seen.line.segments}
    times = [tail.entry.modified for tail in seen.listing.extents.values() if tail.entry.key in folded]
    return write_written(max([*times, read_written(seen.info.meta, seen.listing.base)]))


def _read_extent(context: Context, segment: Segment) -> Steps[bytes]:
    """Its lines, checked against its chains: from memory what this process has written, else by a GET.

    Raises `Changed` where it is another object now, and `Corrupt` where it does not hold what its metadata names.
    """
    body = context.lines.get(segment.key, segment.etag)
    if body is None:
        blob: Blob | None = yield Get(segment.key)
        if blob is None or not holds(segment, blob):
            raise Changed
        body = blob.body
    if reduce(advance, split_lines(body), segment.before) != segment.after:
        raise Corrupt(f"{segment.key} does not hold the lines that its metadata names: overwritten by a foreign writer")
    return body


def _move_hint(context: Context, log: Log, hint: Hint, folded: int) -> None:
    """Tell the writers of the new base by the hint. A hint that is ahead keeps its junction, with the new counts."""
    there = context.hints.get(log.root)
    if there is not None and there.offset > hint.offset:
        hint = replace(there, extents=max(there.extents - folded, 0), base_bytes=hint.base_bytes)
    elif there is not None:
        same = (there.offset, there.chain16) == (hint.offset, hint.chain16)  # it may list writers folded long ago
        known = (there.end, there.placed) if same else (hint.end, hint.placed)
        hint = replace(hint, moved_at=there.moved_at, end=known[0], placed=known[1])
    context.hints.put(log.root, hint)
