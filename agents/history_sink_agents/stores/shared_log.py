"""One log that several processes append to and read: what all stores do with a sink.

This module is the one place that knows how the library is called.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from history_sink import (
    HistorySink,
    HistorySinkError,
    LogEnd,
    LogStatus,
    Message,
    PointerHandle,
    SessionSummary,
    Unavailable,
)

PIECE_BYTES = 4 * 1024 * 1024
"""What one question to a worker asks for: half of what a worker gives by default."""

PAGE_SESSIONS = 1000
FIRST_PAUSE_SECONDS = 0.005
LAST_PAUSE_SECONDS = 0.1
REMEMBERED = 1024
"""How many unconfirmed batches are told from new ones, over all sessions."""


class NotStored(HistorySinkError):
    """What was given is not in the archive, and giving it again would not help."""


@dataclass(frozen=True, slots=True)
class Written:
    """Bytes ``[start, end)`` of a log, when it was last written (Unix seconds), and where it ends.

    Workers of an older version do not tell the last.
    """

    data: bytes
    start: int
    end: int
    last_write: float
    log_end: LogEnd | None = None


class SharedLog:
    """The logs of one sink. Safe for threads."""

    def __init__(self, sink: HistorySink, wait_seconds: float) -> None:
        self._sink = sink
        self._wait_seconds = wait_seconds
        self._unconfirmed: dict[tuple[str, bytes], None] = {}
        self._begun: set[str] = set()
        self._lock = threading.Lock()

    def append(self, name: str, lines: Sequence[bytes]) -> None:
        """Add lines at the end of a log, and wait until the store has them.

        A batch that was not confirmed and is given again is not written again: the sink has kept it.

        Raises:
            TimeoutError: The queue has the lines, and no worker has said in time that they are stored. They will be.
            Unavailable: The broker did not take all of them. This process keeps the rest for the next append.
            NotStored: An operator has deleted the session, or a line cannot be.
        """
        batch = name, sha256(b"\n".join(lines)).digest()
        self._begin(name)
        with self._lock:
            is_known = batch in self._unconfirmed
            self._unconfirmed[batch] = None
            while len(self._unconfirmed) > REMEMBERED:
                del self._unconfirmed[next(iter(self._unconfirmed))]
        receipt = self._sink.append(name, *(() if is_known else lines))
        if receipt.state == "unreachable":
            raise Unavailable(f"{name}: {receipt.reason}; this process hands it over with what comes next")
        if receipt.state in ("disabled", "refused"):
            self._forget(batch)
            raise NotStored(f"{name}: {receipt.reason or 'the sink is disabled: nothing is archived'}")
        result = self._sink.flush(name, self._wait_seconds)
        if result:
            self._forget(batch)
        elif result.state in ("deleted", "refused", "parted"):
            self._forget(batch)
            raise NotStored(f"{name}: {result.reason}")
        else:
            raise TimeoutError(
                f"{name}: the queue has {receipt.messages} lines; not confirmed in {self._wait_seconds} s:"
                f" {result.state}: {result.reason}"
            )

    def append_after(self, name: str, message: Message, end: LogEnd) -> LogEnd | None:
        """Add one line where a log ends, or nothing.

        Args:
            name: The log.
            message: The line.
            end: Where the log must end, as `read` told it.

        Returns:
            Where the log ends behind the line; None where it did not end there: somebody else has written.

        Raises:
            TimeoutError: No worker has said in time what became of it. It may be there, or come to be there.
            Unavailable: The broker did not take it. Nothing was written.
            NotStored: An operator has deleted the session, or the line cannot be.
        """
        deadline = time.monotonic() + self._wait_seconds
        receipt = self._sink.extend(name, [message], end)
        if receipt.state == "unreachable":
            raise Unavailable(f"{name}: {receipt.reason}")
        if receipt.state != "enqueued" or receipt.end is None:
            raise NotStored(f"{name}: {receipt.reason or receipt.state}")
        pause_seconds = FIRST_PAUSE_SECONDS
        while not (told := self._sink.outcomes(receipt.task_ids)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name}: the queue has a line; not confirmed in {self._wait_seconds} s")
            time.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, LAST_PAUSE_SECONDS)
        (outcome,) = told.values()
        if outcome.outcome == "deleted":
            raise NotStored(f"{name}: the session was deleted")
        return receipt.end if outcome.outcome in ("stored", "duplicate") else None

    def _begin(self, name: str) -> None:
        """Have the sink go on from the end that the log has."""
        if name in self._begun:
            return
        written = self.read(name)
        if written is not None:
            self._sink.save(name, written.data.split(b"\n")[:-1])
        self._begun.add(name)

    def _forget(self, batch: tuple[str, bytes]) -> None:
        with self._lock:
            self._unconfirmed.pop(batch, None)

    def read(self, name: str, start: int = 0) -> Written | None:
        """What a log holds from the byte `start` on; None where there is no such log.

        Raises:
            Unavailable: No worker has answered, or the store is away.
        """
        status = self._sink.status(name, self._wait_seconds)
        log = next((log for log in status.logs if log.branch is None), None)
        if log is None:
            return None
        pieces = [*self._read_pieces(status.bucket, log, start)]
        return Written(b"".join(pieces), min(start, log.bytes), log.bytes, log.last_write, log.end)

    def _read_pieces(self, bucket: str, log: LogStatus, start: int) -> Iterator[bytes]:
        for first in range(start, log.bytes, PIECE_BYTES):
            handle = PointerHandle(bucket, log.key, (first, min(first + PIECE_BYTES, log.bytes)))
            answer = self._sink.resolve(handle, max(self._wait_seconds, 10.0))
            if not isinstance(answer, bytes):
                raise Unavailable(f"{log.key}, bytes from {first}: {answer}")
            yield answer

    def find(self, prefix: str, *fields: str) -> Iterator[SessionSummary]:
        """All sessions whose name begins with `prefix`, by name, with these fields. Raises `Unavailable`.

        Without a field these are the names of deleted ones, too.
        """
        after: str | None = ""
        while after is not None:
            page = self._sink.list_sessions(after, PAGE_SESSIONS, self._wait_seconds, prefix=prefix, fields=fields)
            yield from page.sessions
            after = page.next_after
