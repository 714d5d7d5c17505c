"""Compare a history with a main line, reading as little as the metadata allows.

Chains are compared where both sides' are known; bytes are read only where they are not. Equal bytes are never
enough: the histories before them may differ. Where an object to be read has vanished, `Changed` is raised.
"""

from collections.abc import Sequence

from history_sink.protocol.chain import ORIGIN, shorten
from history_sink_worker.archive.piece import Piece
from history_sink_worker.archive.plan import MainLine
from history_sink_worker.archive.trace import Walk, trace
from history_sink_worker.store import Steps


def last_shared(line: MainLine, piece: Piece) -> int | None:
    """How many of the piece's lines surely are on the line, by known chains alone; None: nothing is known."""
    known = line.known()
    for count in range(len(piece.points) - 1, -1, -1):
        point = piece.points[count]
        if known.get(point.offset) == point.chain:
            return count
    return None


def on_line(line: MainLine, offset: int, chain: bytes) -> Steps[bool]:
    """Whether the junction (offset, chain) lies on the line."""
    if offset > line.end.offset:
        return False
    known = line.known()
    if offset in known:
        return known[offset] == chain
    segment = line.segment_at(offset)
    if offset - segment.start <= segment.end - offset:
        walk = yield from trace(line.segments, segment.start, segment.before, offset)
        return (walk.offset, walk.chain) == (offset, chain)
    # From here to the segment's end is the shorter way: only the true chain leads to the one that is known there.
    walk = yield from trace(line.segments, offset, chain, segment.end)
    return (walk.offset, walk.chain) == (segment.end, segment.after)


def agreeing_lines(line: MainLine, piece: Piece) -> Steps[int]:
    """How many of the piece's lines are on the main line, counted from its first, which starts there."""
    count = 0

    def differs(found: bytes, _: Walk) -> bool:
        nonlocal count
        same = found == piece.lines[count]
        count += same
        return not same or count == len(piece.lines)

    end = min(line.end.offset, piece.end.offset)
    yield from trace(line.segments, piece.start.offset, piece.start.chain, end, differs)
    return count


def last_common(line: MainLine, junctions: Sequence[tuple[int, str]]) -> Steps[int]:
    """The offset of the last of one history's junctions (offset, chain16) on the line."""
    known = {offset: shorten(chain) for offset, chain in line.known().items()}
    asked = sorted((offset, chain) for offset, chain in junctions if offset <= line.end.offset)
    best = max((offset for offset, chain in asked if known.get(offset) == chain), default=0)
    parted = min((offset for offset, chain in asked if known.get(offset, chain) != chain), default=line.end.offset)
    open_ones = {offset: chain for offset, chain in asked if best < offset < parted and offset not in known}
    if not open_ones:
        return best
    last = max(open_ones)

    def passes(_: bytes, walk: Walk) -> bool:
        nonlocal best
        asked_chain = open_ones.get(walk.offset)
        if asked_chain == shorten(walk.chain):
            best = walk.offset
        return asked_chain not in (None, shorten(walk.chain)) or walk.offset >= last

    start = best
    chain = line.known().get(start, ORIGIN)
    yield from trace(line.segments, start, chain, min(parted, line.end.offset), passes)
    return best
