"""All that one process appends to one log: a stream of bytes, whose places tell what is there already.

Pure. Its lines are kept until the store has confirmed them. See docs/adr/0013.
"""

import secrets
from collections.abc import Iterable

from history_sink.protocol.batch import Anchor, Batch
from history_sink.protocol.chain import Junction
from history_sink.protocol.contract import SAVE_BYTES


class Stream:
    """The lines ``[confirmed, given)``, by their bytes in the stream; the broker has taken those before `sent`."""

    def __init__(self, branch: str | None, fence: Junction | None = None) -> None:
        """`fence` is a place on the log that the store has told before anything of the stream was sent."""
        self.branch = branch
        self.writer = secrets.token_hex(8)
        self.given = self.sent = self.confirmed = 0
        self.is_closed = False  # nothing may be given to it any more
        self.held: Junction | None = None  # the end of the last saves that are on the log, as what follows them tells
        self._fence = fence
        self._lines: list[bytes] = []
        self._places: list[Junction | None] = []  # before each line, where it follows an anchor
        self._sent_lines = 0  # how many of `_lines` lie before `sent`
        self._anchors: list[tuple[int, Junction]] = []  # rising
        self._followed: Junction | None = None  # the last anchor
        self._here: Junction | None = None  # the place behind all lines, if they follow an anchor

    @property
    def is_sent(self) -> bool:
        """Whether the broker has taken all that was given."""
        return self.sent == self.given

    @property
    def is_settled(self) -> bool:
        """Whether the store has confirmed all that was given."""
        return self.confirmed == self.given

    def follow(self, junction: Junction) -> None:
        """Note that what is given next comes behind `junction`, the end of saves that are not confirmed yet.

        The batch that begins there waits for them. Those behind that batch wait for it by their positions.
        """
        if junction != self._followed:
            self._anchors.append((self.given, junction))
            self._followed = self._here = junction

    def give(self, lines: Iterable[bytes]) -> None:
        """Take lines, each with its newline, that come next."""
        if not self._anchors:
            self._here = None
        for line in lines:
            self._lines.append(line)
            self._places.append(self._here)
            self._here = self._here.step(line) if self._here else None
            self.given += len(line)

    def next_batch(self) -> Batch | None:
        """The next lines for the broker; None: it has taken all."""
        if self.is_sent:
            return None
        stop = next((at for at, _ in self._anchors if at > self.sent), self.given)
        lines: list[bytes] = []
        end = self.sent
        for index in range(self._sent_lines, len(self._lines)):
            line = self._lines[index]
            if end == stop or (lines and end + len(line) - self.sent > SAVE_BYTES):
                break
            lines.append(line)
            end += len(line)
        fence = None if self.sent else self._fence
        return Batch(self.branch, self.writer, self.sent, tuple(lines), self._find_anchor(), fence)

    def _find_anchor(self) -> Anchor | None:
        """The place of the next batch in its writer's own history, while that has saves before it to wait for."""
        known = [at for at, _ in self._anchors if at <= self.sent]
        place = self._places[self._sent_lines]
        return Anchor(place, known[-1] == self.sent) if known and place else None

    def accept(self, batch: Batch) -> None:
        """Note that the broker has taken `batch`, which `next_batch` returned last."""
        self.sent += batch.size_bytes
        self._sent_lines += len(batch.lines)

    def confirm(self, placed: int) -> None:
        """Note that the first `placed` bytes are on the log, and so the saves before them are.

        Their lines are no longer kept.
        """
        count = 0
        for line in self._lines:
            if self.confirmed + len(line) > placed:
                break
            self.confirmed += len(line)
            count += 1
        del self._lines[:count], self._places[:count]
        self._sent_lines = max(0, self._sent_lines - count)
        self.sent = max(self.sent, self.confirmed)
        passed = [junction for at, junction in self._anchors if at < self.confirmed]
        self.held = passed[-1] if passed else self.held
        self._anchors = self._anchors[len(passed) :]

    def rewind(self) -> None:
        """Have all that is not confirmed sent again. What is there already is known by its position."""
        self.sent, self._sent_lines = self.confirmed, 0

    def release(self, confirmed: int, sure: int) -> None:
        """Note that the store has the first `confirmed` messages of the saves that the lines follow.

        Those behind the first `sure` never get on the log, and nobody wants them there any more.
        """
        self._anchors = [(at, junction) for at, junction in self._anchors if confirmed < junction.messages <= sure]

    def cut(self) -> None:
        """Give up what follows saves that are not confirmed.

        It may be on its way, so its places are never used again: the stream is closed.
        """
        if not self._anchors:
            return
        start = self._anchors[0][0]
        kept, at = 0, self.confirmed
        while at < start:
            at += len(self._lines[kept])
            kept += 1
        del self._lines[kept:], self._places[kept:]
        self.given, self.is_closed, self._anchors = start, True, []
        if self.sent > start:
            self.sent, self._sent_lines = start, kept
