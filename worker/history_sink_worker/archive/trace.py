"""Walk along stored bytes, line by line, and follow the chain."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from history_sink.protocol.chain import advance
from history_sink_worker.archive.changed import Changed
from history_sink_worker.archive.plan import Segment
from history_sink_worker.archive.tombstone import is_tombstone
from history_sink_worker.store import Blob, Get, PastEnd, Steps

CHUNK_BYTES = 4 * 1024 * 1024
"""How much of a log is held at a time."""


@dataclass
class Walk:
    """Where a walk stands: behind `messages` lines. `rest` is what follows the last newline."""

    offset: int
    chain: bytes
    messages: int = 0
    rest: bytes = b""


Seen = Callable[[bytes, Walk], bool]
"""Called with each line and the walk behind it; True ends the walk there."""


def trace(segments: Sequence[Segment], offset: int, chain: bytes, end: int, seen: Seen | None = None) -> Steps[Walk]:
    """Walk from `offset`, where the chain is `chain`, to `end` or until `seen` says so.

    Raises `Changed` where an object has vanished, or is another now.
    """
    walk = Walk(offset, chain)
    at = offset
    while at < end:
        stop = min(end, at + CHUNK_BYTES)
        data = yield from read_span(segments, at, stop)
        at = stop
        if _advance(walk, data, seen):
            break
    return walk


def _advance(walk: Walk, data: bytes, seen: Seen | None) -> bool:
    *lines, rest = (walk.rest + data).split(b"\n")
    for text in lines:
        line = text + b"\n"
        walk.chain, walk.offset, walk.messages = advance(walk.chain, line), walk.offset + len(line), walk.messages + 1
        if seen is not None and seen(line, walk):
            return True
    walk.rest = rest
    return False


def read_span(segments: Sequence[Segment], start: int, end: int) -> Steps[bytes]:
    """Bytes ``[start, end)`` of a line, all of which its segments hold.

    Raises `Changed` where an object has vanished, or is another now.
    """
    parts = []
    for segment in segments:
        a, b = max(start, segment.start), min(end, segment.end)
        if a >= b:
            continue
        blob: Blob | PastEnd | None = yield Get(segment.key, a - segment.key_start, b - segment.key_start)
        if not isinstance(blob, Blob) or not holds(segment, blob) or len(blob.body) != b - a:
            raise Changed
        parts.append(blob.body)
    return b"".join(parts)


def holds(segment: Segment, blob: Blob) -> bool:
    """Whether `blob` is of the object that was looked at."""
    return segment.etag in ("", blob.info.etag) and not is_tombstone(blob.info.meta)
