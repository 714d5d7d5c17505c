"""Whether the log has what an append was to put on it, after a place that the append names."""

from history_sink.protocol.batch import Batch
from history_sink.protocol.chain import Junction
from history_sink_worker.archive import plan
from history_sink_worker.archive.context import Context
from history_sink_worker.archive.match import on_line
from history_sink_worker.archive.piece import Piece, read_beginner
from history_sink_worker.archive.plan import MainLine
from history_sink_worker.archive.snapshot import LogSnapshot, tail_fact
from history_sink_worker.store import Steps


def is_there(context: Context, batch: Batch, seen: LogSnapshot, line: MainLine, after: Junction) -> Steps[bool]:
    """Whether `batch` is what follows `after` on the line.

    By the words of the extent there, until the base has taken it in and a sweep has deleted it. After that by the
    lines, and the history before them. Who has begun a log is always told by its base.
    """
    tail = plan.next_extent(seen.listing, after.offset, after.chain)
    if tail is None and after.offset >= line.base:
        return False
    fact = (yield from tail_fact(context, tail)) if tail else None
    is_anothers = fact is not None and (fact.writer, fact.position) != (batch.writer, None)
    # Another's extent may be one that was claimed in vain, under a name that was freed.
    if tail and fact and is_anothers and (yield from on_line(line, tail.end, fact.after)):
        return False
    if after.offset == 0 and seen.info and read_beginner(seen.info.meta) not in ("", batch.writer):
        return False
    return (yield from is_on_line(line, Piece(after, batch.lines).end))


def is_on_line(line: MainLine | None, place: Junction) -> Steps[bool]:
    """Whether the main line has this junction."""
    if place.offset == 0 or line is None:
        return place.offset == 0
    return (yield from on_line(line, place.offset, place.chain))
