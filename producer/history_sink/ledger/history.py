"""The messages that an agent wants kept, and how many of them are known to be on the log that they go to.

Nobody else keeps that count. A log's points say what was handed over for the log, and not what the agent wants now.
"""

from dataclasses import dataclass
from typing import Any

from history_sink.errors import BadMessage
from history_sink.ledger.junctions import Points
from history_sink.ledger.snapshot import UNLIKE, copy_shape, is_like
from history_sink.protocol.lines import Encode, Line, Message, PlacedEncode, check_line, encode_at, encode_line
from history_sink.protocol.plain import Unencodable

RECENT_MESSAGES = 32
"""Each save compares this many last messages with what they were. So it sees an edit in one of them at once."""

ROLLING_MESSAGES = 64
"""Each save compares this many of the older messages, too. The next save goes on after them."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The first message that cannot be a line."""

    index: int
    reason: str


class Wanted:
    """References to the messages, and no copies.

    For each message that is on the log, or was on it until an undo, there is a shape: what the message looked like when
    it became a line. An edit in place is found by comparing the two.
    """

    def __init__(self, encode: Encode = encode_line) -> None:
        self._encode = encode
        self.matched = 0  # how many messages are known to be on the log; only the methods of this class change it
        self._messages: list[Message] = []
        self._shapes: list[Any] = []
        self._encoded: dict[int, Any] = {}  # by index: the shape of a message when it was last made into a line
        self._rolling = 0  # the index after the older messages that `match` looked at last
        self._unencodable: Unencodable = "replace"

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def is_matched(self) -> bool:
        """Whether all messages are known to be on the log."""
        return self.matched == len(self._messages)

    # What the agent says

    def give(self, messages: list[Message], unencodable: Unencodable) -> None:
        """Take the agent's list. Its first messages stay matched, as far as they are the ones that were matched."""
        self._unencodable = unencodable
        given = [*messages]  # always the new objects: the agent will edit these
        added = given[len(self._messages) :]
        del given[len(self._messages) :]
        # To compare two lists of the same objects takes a nanosecond a message, and to copy one some more.
        if not is_like(self._messages, given):
            pairs = enumerate(zip(self._messages[: self.matched], given, strict=False))
            same = min(self.matched, len(given))
            self.matched = next((index for index, (old, new) in pairs if old is not new), same)
            self._encoded.clear()
        self._messages = given
        self._messages += added

    @property
    def is_placed(self) -> bool:
        """Whether lines depend on the lines before them."""
        return isinstance(self._encode, PlacedEncode)

    def encode(self, index: int, before: bytes) -> Line | Refusal:
        """The line of one message behind lines whose chain is `before`, or why it cannot become one."""
        message = self._messages[index]
        shape = copy_shape(message)  # before it is encoded: meanwhile the agent may edit it, as it streams an answer
        try:
            line = check_line(encode_at(self._encode, message, self._unencodable, before))
        except BadMessage as error:
            return Refusal(index, str(error))
        self._encoded[index] = shape
        return line

    # How many are on the log

    def match(self, points: Points, sure: int, whole: bool = False) -> None:
        """Find how many messages are on the log of `points`, which has the first `sure` of them.

        `whole`: look for edits in each message.
        """
        windows = [(0, self.matched)] if whole else self._windows()
        self._rolling = windows[0][1]
        for start, stop in windows:
            other = self._find_other(start, stop, points)
            if other < stop:
                self.matched = other
                break
        self.matched = self._find_other(self.matched, min(len(self._messages), sure), points)

    def accept(self, count: int) -> None:
        """Note that the next `count` messages are on the log now, too."""
        self.move(self.matched + count, sound=self.matched)

    def move(self, matched: int, sound: int) -> None:
        """Note that the first `matched` messages are on the log now.

        The shapes before `sound` stay: they are of messages that the log before had, too.
        """
        self.matched = matched
        del self._shapes[sound:]
        # The shapes from when the messages were encoded, and not from now: the log has what was encoded.
        self._shapes.extend(self._encoded.pop(index, UNLIKE) for index in range(len(self._shapes), matched))

    def doubt(self, sure: int, handed_over: int) -> None:
        """Note that only the first `sure` messages are known to be on the log, for which `handed_over` were."""
        self.matched = min(self.matched, sure)
        del self._shapes[handed_over:]

    def _windows(self) -> list[tuple[int, int]]:
        """The ranges of messages that this save looks at: some older ones, and the last ones."""
        recent = max(0, self.matched - RECENT_MESSAGES)
        start = self._rolling if self._rolling < recent else 0
        return [(start, min(start + ROLLING_MESSAGES, recent)), (recent, self.matched)]

    def _find_other(self, start: int, stop: int, points: Points) -> int:
        """The index of the first message in ``[start, stop)`` that is not on the log of `points`; else `stop`."""
        if stop <= start:
            return start
        if stop <= len(self._shapes) and is_like(self._shapes[start:stop], self._messages[start:stop]):
            return stop
        return next((index for index in range(start, stop) if not self._is_on(points, index)), stop)

    def _is_on(self, points: Points, index: int) -> bool:
        message = self._messages[index]
        if index < len(self._shapes) and is_like(self._shapes[index], message):
            return True
        line = self.encode(index, points[index].chain)
        if isinstance(line, Refusal) or not points.leads_to(index, line.data):
            return False
        if index <= len(self._shapes):
            self._shapes[index : index + 1] = [self._encoded.pop(index)]
        return True
