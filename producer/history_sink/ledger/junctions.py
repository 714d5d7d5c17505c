"""Offset and chain at every message of one history, 40 bytes a message."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable

from history_sink.protocol.chain import ORIGIN, SHORT_DIGITS, START, Junction, advance

_CHAIN_BYTES = len(ORIGIN)


class Points:
    """The junctions of a history, or of its end behind `start`, that only grows; number 0 is the start."""

    __slots__ = ("_chains", "_offsets")

    def __init__(self, start: Junction = START) -> None:
        self._offsets = array("Q", [start.offset])
        self._chains = bytearray(start.chain)

    def __len__(self) -> int:
        """How many messages the history has."""
        return len(self._offsets) - 1

    def __getitem__(self, messages: int) -> Junction:
        """The junction behind that many messages."""
        return Junction(messages, self._offsets[messages], self._chain(messages))

    @property
    def end(self) -> Junction:
        return self[len(self)]

    def extend(self, lines: Iterable[bytes]) -> None:
        """Go on over `lines`, which follow the end."""
        offset, chain = self._offsets[-1], self._chain(len(self))
        for line in lines:
            offset, chain = offset + len(line), advance(chain, line)
            self._offsets.append(offset)
            self._chains += chain

    def join(self, sequel: "Points") -> None:
        """Go on over the junctions of `sequel`, which starts at the end."""
        self._offsets.extend(sequel._offsets[1:])
        self._chains += sequel._chains[_CHAIN_BYTES:]

    def holds(self, junction: Junction) -> bool:
        """Whether the history has this junction."""
        return junction.messages <= len(self) and self[junction.messages] == junction

    def leads_to(self, messages: int, line: bytes) -> bool:
        """Whether `line` is the line behind that many messages."""
        return advance(self._chain(messages), line) == self._chain(messages + 1)

    def prefix(self, messages: int) -> "Points":
        """The history's first messages, as points of their own."""
        points = Points()
        points._offsets = self._offsets[: messages + 1]
        points._chains = self._chains[: (messages + 1) * _CHAIN_BYTES]
        return points

    def cut(self, messages: int) -> None:
        """Forget what lies behind that many messages."""
        del self._offsets[messages + 1 :]
        del self._chains[(messages + 1) * _CHAIN_BYTES :]

    def count_common(self, other: "Points") -> int:
        """How many messages the two histories share: chains are equal up to there, and nowhere behind it."""
        low, high = 0, min(len(self), len(other))
        while low < high:
            middle = (low + high + 1) // 2
            if self._chain(middle) == other._chain(middle):
                low = middle
            else:
                high = middle - 1
        return low

    def find(self, offset: int, chain16: str | None = None) -> int | None:
        """After how many messages this history is at `offset`, with that chain if one is given; None if nowhere."""
        messages = bisect_left(self._offsets, offset)
        if messages > len(self) or self._offsets[messages] != offset:
            return None
        if chain16 is not None and self._chain(messages).hex()[:SHORT_DIGITS] != chain16:
            return None
        return messages

    def _chain(self, messages: int) -> bytes:
        return bytes(self._chains[messages * _CHAIN_BYTES : (messages + 1) * _CHAIN_BYTES])
