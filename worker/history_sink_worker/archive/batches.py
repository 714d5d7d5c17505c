"""Decisions about batches of writers' streams, over plain data: which go next, which is early, where one begins."""

from collections.abc import Sequence
from dataclasses import replace

from history_sink.errors import Malformed
from history_sink.protocol.batch import Batch
from history_sink.protocol.chain import START, Junction, shorten
from history_sink_worker.archive import plan
from history_sink_worker.archive.group import GROUP_BYTES
from history_sink_worker.archive.hint import Hint
from history_sink_worker.archive.piece import Piece

UNKNOWN_SECONDS = 0.05
"""How long a batch waits for earlier ones that nobody knows of: threads of one worker begin side by side."""


def join_batches(batches: Sequence[Batch]) -> Batch:
    """The one batch that batches make which continue one another."""
    return replace(batches[0], lines=tuple(line for batch in batches for line in batch.lines))


def next_batches(waiting: Sequence[Batch | None]) -> list[int]:
    """Which of a writer's batches that wait go next: the first of them, and those that continue it."""
    order = sorted((each.position or 0, index) for index, each in enumerate(waiting) if each is not None)
    if len(order) < len(waiting):  # one that goes alone
        return [waiting.index(None)]
    chosen: list[int] = []
    size_bytes, end = 0, order[0][0]
    for position, index in order:
        batch = waiting[index]
        assert batch is not None
        is_first = batch.after is not None or (batch.anchor is not None and batch.anchor.is_first)
        if chosen and (position != end or is_first or size_bytes + batch.size_bytes > GROUP_BYTES):
            break
        chosen.append(index)
        size_bytes, end = size_bytes + batch.size_bytes, position + batch.size_bytes
        if batch.after is not None:
            break
    return chosen


def is_early(hint: Hint | None, batch: Batch, now: float, waited_seconds: float) -> bool:
    """Whether a batch had better wait here, where it has waited for so long: what comes before it is on its way.

    Somebody is storing it for as long as the log grows. After that, the batch waits in the store.
    """
    placed = hint.find_placed(batch.writer) if hint else None
    anchor = batch.anchor.place if batch.anchor and batch.anchor.is_first else None
    is_ahead = anchor is not None and (hint is None or hint.offset < anchor.offset)
    if hint is not None and (is_ahead or (placed is not None and placed < (batch.position or 0))):
        return abs(now - hint.moved_at) < plan.EARLY_SECONDS and waited_seconds < plan.EARLY_SECONDS_AT_MOST
    return placed is None and bool(batch.position) and waited_seconds < UNKNOWN_SECONDS


def find_start(hint: Hint | None, batch: Batch) -> Junction | None:
    """The place that a hint alone gives to a batch; None where only a look at the log can tell."""
    if hint is None or hint.offset == 0:
        return None
    anchor = batch.anchor.place if batch.anchor and batch.anchor.is_first else None
    if batch.after is not None:
        return batch.after if _is_at(hint, batch.after) else None
    if anchor is not None and not _is_at(hint, anchor):
        return None
    placed = hint.find_placed(batch.writer)
    if placed is not None:
        return hint.end if placed == batch.position else None
    # Nothing continues the hint's junction. What this writer has placed lies behind its fence, or its anchor.
    fence = anchor if batch.anchor else batch.fence
    return fence if batch.position == 0 and fence and _is_at(hint, fence) else None


def _is_at(hint: Hint, place: Junction) -> bool:
    return (hint.offset, hint.chain16) == (place.offset, shorten(place.chain))


def drop_placed(batch: Batch, placed: int) -> Piece:
    """What of a batch is not placed yet, as a piece that begins nowhere. Raises `Malformed`."""
    piece = Piece(START, batch.lines, batch.writer, batch.position, batch.rules)
    if batch.position is None or placed <= batch.position:
        return piece
    for count, point in enumerate(piece.points):
        if point.offset == placed - batch.position:
            return piece.drop(count)
    raise Malformed(f"byte {placed} of the stream is placed already, and lies inside a line of this batch")
