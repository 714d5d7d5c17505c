"""Which of the saves that wait for one log are stored together, as one extent. Pure.

A group is another cut of the same lines, and any cut will do: it is stored as one save would be.
"""

from collections.abc import Sequence

from history_sink_worker.archive.piece import Piece

GROUP_BYTES = 1024 * 1024
"""What one group holds at most, unless one save alone is larger."""


def next_group(waiting: Sequence[Piece | None]) -> list[int]:
    """Who goes next: the indices of pieces that continue one another, from the one that starts first on.

    A None stands for a save that goes by itself. It goes before all pieces. Of several saves that start at one place,
    the one that came first goes first.
    """
    first = min(range(len(waiting)), key=lambda index: _order(waiting[index]))
    here = waiting[first]
    if here is None:
        return [first]
    group, size_bytes = [first], here.size_bytes
    starts = {(piece.start.offset, piece.start.chain): index for index, piece in _last_to_first(waiting)}
    while (index := starts.get((here.end.offset, here.end.chain))) is not None:
        following = waiting[index]
        if following is None or size_bytes + following.size_bytes > GROUP_BYTES:
            break
        group.append(index)
        here, size_bytes = following, size_bytes + following.size_bytes
    return group


def join(pieces: Sequence[Piece]) -> Piece:
    """The one piece that pieces make which continue one another."""
    if len(pieces) == 1:
        return pieces[0]
    return Piece(pieces[0].start, tuple(line for piece in pieces for line in piece.lines), rules=pieces[0].rules)


def _order(piece: Piece | None) -> int:
    return -1 if piece is None else piece.start.offset


def _last_to_first(waiting: Sequence[Piece | None]) -> list[tuple[int, Piece]]:
    return [(index, piece) for index, piece in reversed(list(enumerate(waiting))) if piece is not None]
