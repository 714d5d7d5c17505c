"""Sweep away what the base has held for long enough. What it may not hold is placed first. Strays stay for ever."""

from history_sink_worker.archive import plan
from history_sink_worker.archive.context import Context
from history_sink_worker.archive.cover import covered_tails
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.piece import read_piece
from history_sink_worker.archive.plan import Tail
from history_sink_worker.archive.reconcile import place
from history_sink_worker.archive.settled import settled_limit
from history_sink_worker.archive.snapshot import LogSnapshot, tail_fact
from history_sink_worker.store import DELETE_KEYS, Blob, Corrupt, Delete, Get, Steps


def loose_before(seen: LogSnapshot, limit: int) -> list[Tail]:
    """Extents beside the main line and undecided lines that start below `limit`, in order."""
    assert seen.line is not None
    tails = [*plan.loose_extents(seen.listing, seen.line), *seen.listing.undecided]
    return sorted((tail for tail in tails if tail.name.start < limit), key=lambda tail: str(tail.name))


def find_settled(context: Context, seen: LogSnapshot) -> int:
    """The offset up to which the base has held its lines for long enough to sweep."""
    assert seen.line is not None
    assert seen.info is not None
    return min(settled_limit(seen.info, context.now(), context.settle_seconds), seen.line.base)


def sweep(context: Context, log: Log, seen: LogSnapshot, limit: int) -> Steps[tuple[int, int]]:
    """Delete what starts below `limit`, the settled part of the base. What the base may not hold is placed before.

    Returns how many objects went, and how many of them were placed: their lines may now be at the log's end.
    """
    assert seen.line is not None
    tails = loose_before(seen, limit)
    covered = yield from covered_tails(context, seen.line.segments[0], tails)
    swept = 0
    for at in range(0, len(tails), DELETE_KEYS):  # not all at the end: who is killed should not begin anew
        keys = []
        for tail in tails[at : at + DELETE_KEYS]:
            if tail.entry.key in covered or (yield from _place_again(context, log, tail)):
                keys.append(tail.entry.key)
        if keys:
            yield Delete(tuple(keys))
        swept += len(keys)
    return swept, swept - len(covered)


def place_passed(context: Context, log: Log, seen: LogSnapshot) -> Steps[None]:
    """Place lines that waited for their beginning, and that the main line has passed since the last fold.

    They may have parted from the main line. Until they are placed nobody can read them. The sweep would place them, but
    it comes late, or never if no fold is due.
    """
    assert seen.line is not None
    assert seen.info is not None
    # A base that was never folded has passed by itself what starts below its end.
    folded = seen.line.base if "hs-settled" in seen.info.meta else 0
    for tail in loose_before(seen, seen.line.end.offset):
        if tail.name.start >= folded:
            yield from _place_again(context, log, tail)


def _place_again(context: Context, log: Log, tail: Tail) -> Steps[bool]:
    """Place an object's lines. False: it must stay, for it is a foreign writer's, or such an object is in its way."""
    try:
        yield from tail_fact(context, tail)  # a foreign object is not fetched: it may be large
        blob: Blob | None = yield Get(tail.entry.key)
        if blob is not None:
            piece = read_piece(blob, tail.name)
            # An append is acknowledged when it is on the line: what lies beside it was claimed in vain.
            if not piece.writer or tail.name.kind != "extent":
                yield from place(context, log, piece)
    except Corrupt:
        return False
    return True
