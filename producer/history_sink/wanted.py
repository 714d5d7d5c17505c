"""The messages that an agent wants kept, and what they looked like when they became lines of a log."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from history_sink.contract import LINE_BYTES
from history_sink.errors import BadMessage
from history_sink.lines import Encode, Line, Message, encode_line
from history_sink.plain import Unencodable
from history_sink.points import Points
from history_sink.shape import UNLIKE, copy_shape, is_like


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
        self.listed = 0  # how many came as the agent's list; the others were appended
        self._messages: list[Message | None] = []  # None: it was appended, the store has it, and it is no longer kept
        self._shapes: list[Any] = []
        self._encoded: dict[int, Any] = {}  # by index: the shape of a message when it was last made into a line
        self._released = 0  # the index after the last message that is no longer kept
        self._unencodable: Unencodable = "replace"

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def released(self) -> int:
        """The index after the last message that is no longer kept, because the store has it; 0 if all are kept."""
        return self._released

    def give(self, messages: list[Message], unencodable: Unencodable, matched: int) -> int:
        """Take the agent's list. Returns how many of the first `matched` messages are the same as before."""
        self._unencodable = unencodable
        # To compare two lists of the same objects takes a nanosecond a message.
        if not is_like(self._messages, messages[: len(self._messages)]):
            pairs = enumerate(zip(self._messages[:matched], messages, strict=False))
            matched = next((index for index, (old, new) in pairs if old is not new), min(matched, len(messages)))
            self._released = 0
            self._encoded.clear()
        self._messages = [*messages]  # always the new objects: the agent will edit these
        self.listed = len(self._messages)
        return matched

    def append(self, messages: Sequence[Message], unencodable: Unencodable) -> None:
        """Take more messages, which follow the others."""
        self._unencodable = unencodable
        self._messages.extend(messages)

    def drop(self, start: int, stop: int | None) -> None:
        """Forget messages that are on no log."""
        del self._messages[start:stop]
        self._encoded.clear()

    def release(self, stop: int) -> None:
        """No longer keep appended messages before `stop`: the store has them, and perhaps nobody else needs them."""
        start = max(self.listed, self._released)
        if start < stop:
            self._messages[start:stop] = self._shapes[start:stop] = [None] * (stop - start)
            self._released = stop

    def encode(self, index: int) -> Line | Refusal:
        """The line of one message, or why it cannot become one."""
        message = self._messages[index]
        shape = copy_shape(message)  # before it is encoded: meanwhile the agent may edit it, as it streams an answer
        try:
            line = self._encode(message, self._unencodable)
        except BadMessage as error:
            return Refusal(index, str(error))
        if len(line.data) > LINE_BYTES:
            return Refusal(index, f"a line of {len(line.data)} bytes is over the limit of {LINE_BYTES}")
        self._encoded[index] = shape
        return line

    def find_other(self, start: int, stop: int, points: Points) -> int:
        """The index of the first message in ``[start, stop)`` that is not on the log of `points`; else `stop`."""
        stop = max(start, stop)
        if stop <= len(self._shapes) and is_like(self._shapes[start:stop], self._messages[start:stop]):
            return stop
        return next((index for index in range(start, stop) if not self._is_on(points, index)), stop)

    def _is_on(self, points: Points, index: int) -> bool:
        message = self._messages[index]
        if index < len(self._shapes) and is_like(self._shapes[index], message):
            return True
        if message is None and index < self._released:
            return True
        line = self.encode(index)
        if isinstance(line, Refusal) or not points.leads_to(index, line.data):
            return False
        if index <= len(self._shapes):
            self._shapes[index : index + 1] = [self._encoded.pop(index)]
        return True

    def keep_shapes(self, sound: int, stop: int) -> None:
        """Keep a shape for each message before `stop`, which are on the log now. The shapes before `sound` stay."""
        del self._shapes[sound:]
        # The shapes from when the messages were encoded, and not from now: the log has what was encoded.
        self._shapes.extend(self._encoded.pop(index, UNLIKE) for index in range(len(self._shapes), stop))
