"""Fold extents into the base, and sweep away what the base has held for long enough.

This is a task of its own, so that no save waits for it. The base only grows, with ``If-Match``. An extent is deleted
only when the base is proven to have held its lines for T. Strays are never deleted.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from history_sink.protocol.chain import shorten
from history_sink_worker.archive import plan
from history_sink_worker.archive.changed import Changed, look_again
from history_sink_worker.archive.context import Context, Fact
from history_sink_worker.archive.hint import Hint, list_placed
from history_sink_worker.archive.marks import raise_marks
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.piece import (
    cut_piece,
    read_meta,
    read_rules,
    write_beginner,
    write_meta,
    write_rules,
)
from history_sink_worker.archive.plan import Segment
from history_sink_worker.archive.settled import base_meta, next_settled
from history_sink_worker.archive.snapshot import COPY_FROM_BYTES, LogSnapshot, look
from history_sink_worker.archive.stream import place_waiting
from history_sink_worker.archive.sweep import find_settled, loose_before, place_passed, sweep
from history_sink_worker.archive.trace import holds
from history_sink_worker.archive.written import read_written, write_written
from history_sink_worker.store import Blob, Corrupt, Get, Grow, Put, Steps

FOLD_BYTES = 16 * 1024 * 1024
"""How much of the tail one fold takes into memory; what is left is folded by the next."""

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
    if everything and 0 < folded < tail_bytes:
        yield from fold_whole(context, log, seen.line.end.offset)
        folded = tail_bytes
    loose = loose_before(seen, seen.line.base)
    left = seen.line.extents + len(loose) - swept + len(seen.listing.waiting) - waited
    unsettled = folded or seen.line.extents or any(tail.name.start >= limit for tail in loose)
    again = context.settle_seconds if unsettled else None
    if waited < len(seen.listing.waiting):
        again = min(again or WAITING_AGAIN_SECONDS, WAITING_AGAIN_SECONDS)
    if placed or waited or 0 < folded < tail_bytes:
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
    """Put the first of the tail's extents behind the base. Returns the bytes folded.

    Raises `Changed` when another was faster.
    """
    if seen.line is None or seen.info is None or seen.line.extents == 0:
        return 0
    began_at = context.now()
    segments = _first_of(seen.line.segments[1:])
    messages, body = yield from _read_tail(context, segments)
    size = seen.line.base + len(body)
    fact = Fact(messages, seen.line.segments[0].before, segments[-1].after)
    settled = next_settled(seen.info, context.now(), context.settle_seconds)
    kept = write_beginner(seen.info.meta) | write_rules(read_rules(seen.info.meta))
    meta = base_meta(write_meta(fact), size, settled) | _written(seen, segments) | kept
    # Before the base is written: with it goes what the extents, and a base that an append began, say of their writers.
    placed = {writer: each.position for writer, each in seen.line.placed.items()}
    yield from raise_marks(log, placed)
    yield from _write_base(log, seen, body, meta)
    for segment in segments:
        context.lines.drop(segment.key, segment.etag)
    hint = Hint(size, shorten(fact.after), began_at, 0, size)
    if size == seen.line.end.offset:
        listed = list_placed(placed)
        hint = replace(hint, end=seen.line.end if listed else None, placed=listed)
    _move_hint(context, log, hint, len(segments))
    return len(body)


def _written(seen: LogSnapshot, segments: Sequence[Segment]) -> dict[str, str]:
    """The metadata of a base that takes in these extents. A fold is no write: the base gets the extents' time."""
    assert seen.listing.base is not None
    assert seen.info is not None
    folded = {segment.key for segment in segments}
    times = [tail.entry.modified for tail in seen.listing.extents.values() if tail.entry.key in folded]
    return write_written(max([*times, read_written(seen.info.meta, seen.listing.base)]))


def _first_of(segments: Sequence[Segment]) -> Sequence[Segment]:
    taken = 1
    while taken < len(segments) and segments[taken].end - segments[0].start <= FOLD_BYTES:
        taken += 1
    return segments[:taken]


def _read_tail(context: Context, segments: Sequence[Segment]) -> Steps[tuple[int, bytearray]]:
    """The bytes of these extents, checked against their chains, and the messages behind them."""
    messages, tail = 0, bytearray()
    for segment in segments:
        fact, body = yield from _read_extent(context, segment)
        piece = cut_piece(body, segment.start, Fact(fact.messages, segment.before, segment.after))
        if piece.end.chain != segment.after:
            raise Corrupt(
                f"{segment.key} does not hold the lines that its metadata names: overwritten by a foreign writer"
            )
        messages = fact.messages
        tail += body
    return messages, tail


def _read_extent(context: Context, segment: Segment) -> Steps[tuple[Fact, bytes]]:
    """From memory what this process has written, else by a GET."""
    fact, body = context.facts.get(segment.key, segment.etag), context.lines.get(segment.key, segment.etag)
    if fact is not None and body is not None:
        return fact, body
    blob: Blob | None = yield Get(segment.key)
    fact = read_meta(blob.info.meta) if blob else None
    if blob is None or fact is None or not holds(segment, blob):
        raise Changed
    return fact, blob.body


def _write_base(log: Log, seen: LogSnapshot, tail: bytearray, meta: dict[str, str]) -> Steps[None]:
    assert seen.info is not None
    etag, size = seen.info.etag, seen.info.size_bytes
    if size >= COPY_FROM_BYTES:
        written: str | None = yield Grow(log.base, etag, size, tail, meta)
    else:
        blob: Blob | None = yield Get(log.base)
        if blob is None or blob.info.etag != etag:
            raise Changed
        written = yield Put(log.base, blob.body + tail, meta, if_match=etag)
    if written is None:
        raise Changed


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
