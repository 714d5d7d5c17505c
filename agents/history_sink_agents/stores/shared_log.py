"""One log that several processes append to and read: what all stores do with a sink.

This module is the one place that knows how the library is called.
"""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from math import ceil

from history_sink import (
    HistorySink,
    HistorySinkError,
    LogEnd,
    LogStatus,
    Outcome,
    PointerHandle,
    Receipt,
    SessionSummary,
    Unavailable,
)
from history_sink_agents.sealing.showing import open_sealed

PIECE_BYTES = 4 * 1024 * 1024
"""What one question to a worker asks for: half of what a worker gives by default."""

EXTENTS = 64
"""What is not folded yet a worker reads object by object: this many, or so, for each question."""

READERS = 8
"""So many questions are asked at a time."""

UPLOAD_BYTES = 256 * 1024
"""What a sink sends at a time."""

PAGE_SESSIONS = 1000
_STORED = ("stored", "duplicate")
REMEMBERED = 1024
"""How many unconfirmed batches are told from new ones, over all sessions."""


class NotStored(HistorySinkError):
    """What was given is not in the archive, and giving it again would not help."""


@dataclass(frozen=True, slots=True)
class Written:
    """Bytes ``[start, end)`` of a log, when it was last written (Unix seconds), and where it ends.

    `data` is opened where it was sealed. Workers of an older version do not tell the last.
    """

    data: bytes
    start: int
    end: int
    last_write: float
    log_end: LogEnd | None = None


class SharedLog:
    """The logs of one sink. Safe for threads."""

    def __init__(self, sink: HistorySink, wait_seconds: float) -> None:
        """Raises `ValueError` where `wait_seconds` is not a number above 0, of an hour at most."""
        if isinstance(wait_seconds, bool) or not isinstance(wait_seconds, (int, float)) or not 0 < wait_seconds <= 3600:
            raise ValueError("wait_seconds is a number of seconds above 0, 3,600 at most")
        self._sink = sink
        self._wait_seconds = wait_seconds
        self._unconfirmed: dict[tuple[str, bytes], int] = {}
        self._lock = threading.Lock()

    def append(self, name: str, lines: Sequence[bytes]) -> None:
        """Add lines at the end of a log, whoever wrote before, and wait until the store has them.

        A batch that was not confirmed and is given again is not written again: the sink has kept it.

        Raises:
            TimeoutError: The queue has the lines, and no worker has said in time that they are stored. They will be.
            Unavailable: The broker did not take all of them. This process keeps the rest for the next append.
            NotStored: An operator has deleted the session, or a line cannot be.
        """
        batch = name, sha256(b"\n".join(lines)).digest()
        given = self._given(batch)
        if given:
            self._confirm(batch, self._sink.append(name, wait_seconds=self._wait_seconds))
        # One after the other: a worker that has the second part first must wait for the first.
        for part in _cut(lines[given:]):
            given += len(part)
            self._note(batch, given)
            self._confirm(batch, self._sink.append(name, *part, wait_seconds=self._wait_seconds))
        self._forget(batch)

    def _confirm(self, batch: tuple[str, bytes], answer: Receipt | Outcome) -> None:
        """Return where all that the sink was given is stored, and raise as `append` where it is not."""
        name, reason = batch[0], _explain(answer)
        if isinstance(answer, Receipt):
            if answer.state == "unchanged" and self._sink.flush(name, self._wait_seconds):
                return
            if answer.state == "unreachable":
                raise Unavailable(f"{name}: {reason}; this process hands it over with what comes next")
            if answer.state in ("enqueued", "unchanged"):
                waited = f"not confirmed in {self._wait_seconds} s: is a worker there?"
                raise TimeoutError(f"{name}: the queue has it; {waited}")
        if reason is not None:
            self._forget(batch)
            raise NotStored(f"{name}: {reason}")

    def append_after(self, name: str, line: bytes, end: LogEnd) -> LogEnd | None:
        """Add one line where a log ends, or nothing.

        Args:
            name: The log.
            line: The line.
            end: Where the log must end, as `read` told it.

        Returns:
            Where the log ends behind the line; None where it did not end there: somebody else has written.

        Raises:
            TimeoutError: No worker has said in time what became of it. It may be there, or come to be there.
            Unavailable: The broker did not take it. Nothing was written.
            NotStored: An operator has deleted the session, or the line cannot be.
        """
        answer = self._sink.append(name, line, after=end, wait_seconds=self._wait_seconds)
        if isinstance(answer, Receipt):
            if answer.state == "unreachable":
                raise Unavailable(f"{name}: {answer.reason}")
            if answer.state == "enqueued":
                raise TimeoutError(f"{name}: the queue has a line; not confirmed in {self._wait_seconds} s")
        elif answer.outcome == "conflict":
            return None
        elif answer.outcome in _STORED and answer.end is not None:
            return answer.end
        raise NotStored(f"{name}: {_explain(answer)}")

    def _given(self, batch: tuple[str, bytes]) -> int:
        """How many lines of a batch that is not confirmed the sink was given."""
        with self._lock:
            return self._unconfirmed.get(batch, 0)

    def _note(self, batch: tuple[str, bytes], given: int) -> None:
        with self._lock:
            self._unconfirmed[batch] = given
            while len(self._unconfirmed) > REMEMBERED:
                del self._unconfirmed[next(iter(self._unconfirmed))]

    def _forget(self, batch: tuple[str, bytes]) -> None:
        with self._lock:
            self._unconfirmed.pop(batch, None)

    def read(self, name: str, start: int = 0) -> Written | None:
        """What a log holds from the byte `start` on; None where there is no such log.

        Raises:
            Unavailable: No worker has answered, or the store is away; or a line is sealed, and no key is here.
        """
        status = self._sink.status(name, self._wait_seconds)
        log = next((log for log in status.logs if log.branch is None), None)
        if log is None:
            return None
        data = open_sealed(name, b"".join(self._read_pieces(status.bucket, log, start)))
        return Written(data, min(start, log.bytes), log.bytes, log.last_write, log.end)

    def _read_pieces(self, bucket: str, log: LogStatus, start: int) -> Sequence[bytes]:
        def read(piece: tuple[int, int]) -> bytes:
            handle = PointerHandle(bucket, log.key, piece)
            answer = self._sink.resolve(handle, max(self._wait_seconds, 10.0), stored=True)
            if not isinstance(answer, bytes):
                raise Unavailable(f"{log.key}, bytes from {piece[0]}: {answer}")
            return answer

        pieces = divide(log, start)
        if len(pieces) < 2:
            return [*map(read, pieces)]
        with ThreadPoolExecutor(min(READERS, len(pieces))) as readers:
            return [*readers.map(read, pieces)]

    def find(self, prefix: str, *fields: str) -> Iterator[SessionSummary]:
        """All sessions whose name begins with `prefix`, by name, with these fields. Raises `Unavailable`.

        Without a field these are the names of deleted ones, too.
        """
        after: str | None = ""
        while after is not None:
            page = self._sink.list_sessions(after, PAGE_SESSIONS, self._wait_seconds, prefix=prefix, fields=fields)
            yield from page.sessions
            after = page.next_after


def divide(log: LogStatus, start: int) -> list[tuple[int, int]]:
    """The bytes from `start` on as ranges that are asked for each by itself.

    What is folded is one object. Behind it each message may be an object of its own, and a worker reads them one after
    the other: so a long tail is divided among several workers, or threads of one.
    """
    folded = max(start, log.base_bytes)
    objects = log.messages * (log.bytes - folded) / max(1, log.bytes)
    parts = min(READERS, ceil(objects / EXTENTS))
    if parts < 2:
        return list(_range_pieces(start, log.bytes, PIECE_BYTES))
    part_bytes = min(PIECE_BYTES, ceil((log.bytes - folded) / parts))
    return [*_range_pieces(start, folded, PIECE_BYTES), *_range_pieces(folded, log.bytes, part_bytes)]


def _range_pieces(start: int, stop: int, size_bytes: int) -> Iterator[tuple[int, int]]:
    return ((first, min(first + size_bytes, stop)) for first in range(start, stop, size_bytes))


def _cut(lines: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Parts of one upload each, or of one longer line."""
    start = size_bytes = 0
    for at, line in enumerate(lines):
        if at > start and size_bytes + len(line) >= UPLOAD_BYTES:
            yield lines[start:at]
            start, size_bytes = at, 0
        size_bytes += len(line) + 1
    if start < len(lines):
        yield lines[start:]


def _explain(answer: Receipt | Outcome) -> str | None:
    """Why lines are not on the log; None where they are."""
    if isinstance(answer, Receipt):
        return answer.reason or f"the sink is {answer.state}"
    return None if answer.outcome in _STORED else f"the session was {answer.outcome}"
