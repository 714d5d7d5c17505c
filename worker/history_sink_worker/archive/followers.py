"""Lines that wait behind a piece that has parted from the main line part, too.

Lines that came before their beginning wait under their plain or undecided names (`pending`). If their beginning becomes
a stray, the main line never reaches them, and no sweep does. So whoever writes the stray must look for them.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress

from history_sink.protocol.chain import Junction, shorten
from history_sink_worker.archive.changed import Changed
from history_sink_worker.archive.context import Context
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.piece import Piece, read_piece, write_meta
from history_sink_worker.archive.plan import LogListing, Tail
from history_sink_worker.archive.snapshot import LogSnapshot, tail_fact
from history_sink_worker.store import Blob, Corrupt, Get, Put, Steps


def is_kept(listing: LogListing, piece: Piece) -> bool:
    """Whether the LIST shows the stray that holds `piece`."""
    return any(stray.name == piece.stray for stray in listing.strays)


def keep_followers(context: Context, log: Log, seen: LogSnapshot, piece: Piece) -> Steps[None]:
    """Make strays of what continues `piece`, a stray itself, and of what continues that.

    If it made any, it raises `Changed` at the end, for another look. Lines whose writer saw no stray were there before
    the stray was, so a LIST after the stray shows them.
    """
    is_done, read, ends = True, set(), [piece.points[1:]]
    while ends:
        for tail in _continue(seen.listing, ends.pop()):
            follower = (yield from _read(context, tail)) if tail.entry.key not in read else None
            if follower is None:
                continue
            read.add(tail.entry.key)
            ends.append(follower.points[1:])
            if not is_kept(seen.listing, follower):
                # Taken already: another worker was faster, with the same lines.
                yield Put(log.key(follower.stray), follower.body, write_meta(follower.fact))
                is_done = False
    if not is_done:
        raise Changed


def _continue(listing: LogListing, points: Sequence[Junction]) -> Iterator[Tail]:
    """What waits at one of these junctions."""
    wanted = {(point.offset, shorten(point.chain)) for point in points}
    for tail in (*listing.extents.values(), *listing.undecided):
        if (tail.name.start, tail.name.before) in wanted:
            yield tail


def _read(context: Context, tail: Tail) -> Steps[Piece | None]:
    """None where it is gone, or a foreign writer's."""
    with suppress(Corrupt):
        yield from tail_fact(context, tail)  # a foreign object is not fetched: it may be large
        blob: Blob | None = yield Get(tail.entry.key)
        return read_piece(blob, tail.name) if blob else None
    return None
