"""What one process appends to the logs of one session: a stream for each log, and what waits for its stream. Pure.

The virtual history is that of a process that writes alone: what it has saved, and then the sequel, which it has
appended since. Where it did write alone, the sequel lies on the log just as it is counted here.
"""

from collections.abc import Iterable

from history_sink.ledger.junctions import Points
from history_sink.ledger.known_logs import KnownLog
from history_sink.ledger.stream import Stream
from history_sink.protocol.batch import Batch
from history_sink.protocol.chain import Junction, advance
from history_sink.protocol.log_end import LogEnd, take_end
from history_sink.protocol.status import Status


class Appends:
    """Only one thread at a time may use it."""

    def __init__(self) -> None:
        self._streams: list[Stream] = []
        self._waiting: list[bytes] = []  # behind saves that the broker has not taken; on no stream yet
        self._branch: str | None = None  # the log that the sequel is on
        self._sequel = Points()
        self._doubtful: list[bytes] = []  # the lines of the sequel, while the saves before it may belong on another log
        self._exact = 0  # so many messages of the sequel lie where they are counted
        self._ends: dict[str | None, Junction] = {}  # how far each log reached when the store told it last

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing that the store has not confirmed, and no sequel."""
        return not self._waiting and not self._streams and not len(self._sequel)

    @property
    def is_handed_over(self) -> bool:
        """Whether the broker has taken all that was appended."""
        return not self._waiting and all(stream.is_sent for stream in self._streams)

    @property
    def is_settled(self) -> bool:
        """Whether the store has confirmed all that was appended."""
        return not self._waiting and all(stream.is_settled for stream in self._streams)

    @property
    def has_sequel(self) -> bool:
        """Whether lines were appended since the last save."""
        return len(self._sequel) > 0

    @property
    def size_bytes(self) -> tuple[int, int]:
        """How much the store has confirmed of the streams, and how much was given to them."""
        return sum(stream.confirmed for stream in self._streams), sum(stream.given for stream in self._streams)

    @property
    def writers(self) -> list[str]:
        """Whom to ask the store about: those who have lines that it has not confirmed."""
        return [stream.writer for stream in self._streams if not stream.is_settled]

    def has_begun(self, branch: str | None) -> bool:
        """Whether the store has told that something of what was appended is on this log."""
        return any(stream.branch == branch and stream.confirmed for stream in self._streams)

    def find_reach(self, branch: str | None) -> int:
        """How far this log reaches at least when it has all that was appended to it here; 0 if that is nothing."""
        end = self._ends.get(branch)
        own = [stream for stream in self._streams if stream.branch == branch]
        lacking = sum(stream.given - stream.confirmed for stream in own)
        return lacking + (end.offset if end else 0) if own else 0

    def is_in_flight(self, branch: str | None) -> bool:
        """Whether lines are perhaps on their way to this log."""
        return any(stream.branch == branch and not stream.is_settled for stream in self._streams)

    # What the agent says

    def add(self, lines: Iterable[bytes]) -> None:
        """Take lines that come next."""
        self._waiting += lines

    def withdraw(self, count: int) -> None:
        """Forget the last `count` lines, which are on no stream yet."""
        del self._waiting[len(self._waiting) - count :]

    def drop_waiting(self) -> None:
        """Forget what waits: a list has come that is the whole history."""
        self._waiting.clear()

    def take_sequel(self) -> tuple[Points, bool]:
        """The sequel, which is part of the saved history from now on, and whether it lies as it is counted."""
        sequel, is_exact = self._sequel, self._exact == len(self._sequel)
        self._begin_sequel()
        return sequel, is_exact

    def _begin_sequel(self) -> None:
        self._sequel, self._exact, self._doubtful = Points(), 0, []

    def find_chain(self, saved: bytes) -> bytes:
        """The chain behind all that was given, in the virtual history, whose saves end with the chain `saved`."""
        chain = self._sequel.end.chain if len(self._sequel) else saved
        for line in self._waiting:
            chain = advance(chain, line)
        return chain

    # What to hand over

    def follow(self, log: KnownLog) -> None:
        """Note which log the session is on. What followed a save that belongs on another log follows it there."""
        if log.branch != self._branch:
            stream = self._find(self._branch)
            if stream is not None:
                stream.cut()
            self._waiting[:0] = self._doubtful
            self._begin_sequel()
            self._branch = log.branch
            return
        if self._exact:
            log.confirm(len(log.points))
        for stream in self._streams:
            if stream.branch == log.branch:  # nothing need wait for saves that the store has, or never will have here
                if stream.held is not None and log.points.holds(stream.held):
                    log.confirm(stream.held.messages)
                stream.release(log.confirmed, log.sure)
        if log.confirmed >= len(log.points):
            self._doubtful.clear()

    def bind(self, log: KnownLog, is_told: bool) -> None:
        """Give what waits to the stream of `log`, for which the broker has taken all that was saved.

        `is_told`: the store will say whether what was saved is on `log`.
        """
        if not self._waiting:
            return
        stream = self._find(log.branch)
        if stream is None:
            stream = Stream(log.branch, self._find_fence(log))
            self._streams.append(stream)
        if log.confirmed < log.saved <= log.sure:
            stream.follow(log.points[log.saved])
        if not len(self._sequel):
            self._sequel = Points(log.points.end)
        self._sequel.extend(self._waiting)
        if is_told and log.confirmed < len(log.points):
            self._doubtful += self._waiting
        stream.give(self._waiting)
        self._waiting.clear()

    def next_batch(self) -> tuple[Stream, Batch] | None:
        """The next lines for the broker, and the stream that `accept`s them; None: it has taken all."""
        for stream in self._streams:
            batch = stream.next_batch()
            if batch is not None:
                return stream, batch
        return None

    def _find(self, branch: str | None) -> Stream | None:
        return next((each for each in self._streams if each.branch == branch and not each.is_closed), None)

    def _find_fence(self, log: KnownLog) -> Junction | None:
        known = [end for end in (self._ends.get(log.branch),) if end is not None]
        known += [log.points[log.confirmed]] if log.confirmed else []
        return max(known, key=lambda junction: junction.offset, default=None)

    # What the store says

    def note_end(self, end: LogEnd) -> None:
        """Take in how far a log reaches."""
        junction, known = take_end(end), self._ends.get(end.branch)
        if known is None or known.offset < junction.offset:
            self._ends[end.branch] = junction
        if end.branch == self._branch:
            self._exact = max(self._exact, self._sequel.find(end.bytes, end.chain16) or 0)

    def learn(self, status: Status) -> None:
        """Take in how far the streams are placed, and how far the logs reach."""
        for told in status.logs:
            for stream in self._streams:
                if stream.branch == told.branch:
                    stream.confirm(told.placed.get(stream.writer, 0))
            if told.end is not None:
                self.note_end(told.end)
        self._forget_closed()

    def confirm(self, stream: Stream, placed: int) -> None:
        """Note that the first `placed` bytes of `stream` are on its log."""
        stream.confirm(placed)
        self._forget_closed()

    def rebase(self, log: KnownLog) -> None:
        """Note that saves before the sequel were forgotten: it follows what is left of them."""
        if log.branch == self._branch and len(self._doubtful) == len(self._sequel):
            self._sequel, self._exact = Points(log.points.end), 0
            self._sequel.extend(self._doubtful)

    def rewind(self) -> None:
        """Have all that is not confirmed sent again."""
        for stream in self._streams:
            stream.rewind()

    def _forget_closed(self) -> None:
        self._streams = [stream for stream in self._streams if not (stream.is_closed and stream.is_settled)]

    def measure(self, start: int, stop: int, points: Points) -> tuple[int, int] | None:
        """The offsets of messages ``[start, stop)`` of the saved history `points` and the sequel behind it.

        None: it is not known that they lie there.
        """
        saved = len(points)
        if not saved < stop <= saved + self._exact:
            return None
        first = self._sequel[start - saved] if start > saved else points[start]
        return first.offset, self._sequel[stop - saved].offset

    def renew_after_fork(self) -> None:
        """In a child: what was given before the fork is its parent's to send, and a writer is one process."""
        self._streams, self._waiting, self._doubtful = [], [], []
