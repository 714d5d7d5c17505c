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
    """References to the messages, no copies. Shapes are kept of those that are on the log, or were until an undo."""

    def __init__(self, encode: Encode = encode_line) -> None:
        self._encode = encode
        self.listed = 0  # so many are in the agent's own list, too
        self._messages: list[Message | None] = []  # None: appended, confirmed by the store, let go of
        self._shapes: list[Any] = []
        self._encoded: dict[int, Any] = {}  # what messages looked like when they were made into lines last
        self._released = 0  # behind the last that is let go of
        self._unencodable: Unencodable = "replace"

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def released(self) -> int:
        """0, or how many messages at least are needed no more: the store has them."""
        return self._released

    def give(self, messages: list[Message], unencodable: Unencodable, matched: int) -> int:
        """Take the agent's list; how many of the first `matched` are the same messages as before."""
        self._unencodable = unencodable
        # To compare two lists of the same objects takes a nanosecond a message.
        if not is_like(self._messages, messages[: len(self._messages)]):
            pairs = enumerate(zip(self._messages[:matched], messages, strict=False))
            matched = next((index for index, (old, new) in pairs if old is not new), min(matched, len(messages)))
            self._released = 0
            self._encoded.clear()
        self._messages = [*messages]  # equal or not: it is in these that the agent goes on to edit
        self.listed = len(self._messages)
        return matched

    def append(self, messages: Sequence[Message], unencodable: Unencodable) -> None:
        """More messages, behind the others."""
        self._unencodable = unencodable
        self._messages.extend(messages)

    def drop(self, start: int, stop: int | None) -> None:
        """Forget messages that are on no log."""
        del self._messages[start:stop]
        self._encoded.clear()

    def release(self, stop: int) -> None:
        """Let go of appended messages before `stop`: the store has them, and perhaps nobody else needs them."""
        start = max(self.listed, self._released)
        if start < stop:
            self._messages[start:stop] = self._shapes[start:stop] = [None] * (stop - start)
            self._released = stop

    def encode(self, index: int) -> Line | Refusal:
        """The line of one message."""
        message = self._messages[index]
        shape = copy_shape(message)  # before: the agent may edit it meanwhile, as it streams an answer into it
        try:
            line = self._encode(message, self._unencodable)
        except BadMessage as error:
            return Refusal(index, str(error))
        if len(line.data) > LINE_BYTES:
            return Refusal(index, f"a line of {len(line.data)} bytes is over the limit of {LINE_BYTES}")
        self._encoded[index] = shape
        return line

    def find_other(self, start: int, stop: int, points: Points) -> int:
        """The first message in ``[start, stop)`` that is not the one on the log with these `points`, or `stop`."""
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
        """From now on the log has the messages before `stop`; the shapes before `sound` are of its messages already."""
        del self._shapes[sound:]
        # As they were when they were encoded, not as they are now: the log has that.
        self._shapes.extend(self._encoded.pop(index, UNLIKE) for index in range(len(self._shapes), stop))
