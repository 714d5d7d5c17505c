"""What a producer asks about a session, and the answer's other half: which history it was about."""

from dataclasses import dataclass

from history_sink.ledger.junctions import Points
from history_sink.protocol.chain import Junction, shorten

DENSE_JUNCTIONS = 1024
"""So many of the last junctions are asked about one by one; before them, fewer and fewer."""


@dataclass(frozen=True, slots=True)
class Question:
    """How far does the store hold this history? `branch` is the log that it was on when this was asked.

    `is_whole`: it is all that is wanted. Not where news has come since it was handed over, that its log has parted.
    `confirmed`: the store has told before that it holds so many of its messages.
    """

    branch: str | None
    points: Points
    is_whole: bool
    confirmed: int = 0

    @property
    def end(self) -> Junction:
        return self.points.end

    def junctions(self) -> list[tuple[int, str]]:
        """(offset, chain16), rising: all behind what is confirmed, if not too many, and ever fewer before that."""
        end = len(self.points)
        at = max(self.confirmed, end - DENSE_JUNCTIONS, 1)
        chosen, step = [*range(at, end + 1)], 1
        while (at := at - step) > 0:
            chosen.insert(0, at)
            step *= 2
        return [(self.points[i].offset, shorten(self.points[i].chain)) for i in chosen]
