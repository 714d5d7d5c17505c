"""Marks: how far the stream of each writer is placed on a log, for what a fold takes out of the tail.

One small object a writer. It only grows, by compare-and-swap: its body is the number, so that its ETag is of it.
"""

from collections.abc import Mapping
from functools import partial

from history_sink_worker.archive.changed import Changed, look_again
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.plan import MainLine
from history_sink_worker.store import Blob, Corrupt, Get, Put, Steps


def find_placed(log: Log, line: MainLine, writer: str) -> Steps[int]:
    """How many bytes of the writer's stream are placed on `line`, by its objects, else by the mark.

    Read the mark after the look at the log. A fold writes the mark before it takes lines out of the tail: so what is
    not in the tail any more is in the mark.
    """
    if writer in line.placed:
        return line.placed[writer].position
    return (yield from _read(log, writer))[0]


def raise_marks(log: Log, placed: Mapping[str, int]) -> Steps[None]:
    """See to it that each writer's mark says at least so much."""
    for writer, position in placed.items():
        yield from look_again(log, partial(_raise, log, writer, position))


def _raise(log: Log, writer: str, position: int) -> Steps[None]:
    before, etag = yield from _read(log, writer)
    if before >= position:
        return
    written: str | None = yield Put(log.mark(writer), f"{position}\n".encode(), {}, if_match=etag)
    if written is None:
        raise Changed


def _read(log: Log, writer: str) -> Steps[tuple[int, str | None]]:
    """The number, and the ETag of the mark; 0 and None where there is none."""
    blob: Blob | None = yield Get(log.mark(writer))
    if blob is None:
        return 0, None
    if not blob.body.strip().isdigit():
        raise Corrupt(f"{log.mark(writer)} is no mark: overwritten by a foreign writer")
    return int(blob.body), blob.info.etag
