"""One log of a session, and its lines from any offset on, read by ranges."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from history_sink import LATEST, Fault, Faulted, HistorySink, Mismatch, NotFound, PointerHandle, Status

RANGE_BYTES = 2 * 1024 * 1024
"""What is asked for at a time: below any sensible cap of a worker (8 MiB by default)."""

_PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True, slots=True)
class Log:
    """Bytes ``[0, end)`` of the log at `key`; `branch` None: the main log, or a stray's history."""

    session: str
    bucket: str
    key: str
    end: int
    messages: int
    branch: str | None = None
    last_write: float | None = None


def find_log(status: Status, branch: str | None = None, stray: str | None = None) -> Log:
    """The log of a session that is asked for.

    Args:
        status: What the store has of the session.
        branch: A branch; None: the main log; ``"latest"``: the log that was written last.
        stray: The key of a stray: the history that ends with it.

    Returns:
        The log, as far as the store has it.

    Raises:
        NotFound: There is none. The text names what there is.
    """
    if stray is not None:
        for each in status.strays:
            if each.key == stray:
                return Log(status.session, status.bucket, each.key, each.end, each.messages)
        raise NotFound(f"session {status.session} has no stray {stray}")
    if branch == LATEST:
        branch = status.latest.branch if status.latest else None
    for log in status.logs:
        if log.branch == branch:
            return Log(
                status.session, status.bucket, log.key, log.bytes, log.messages, log.branch, log.last_write or None
            )
    if not (status.logs or status.strays or status.pending):
        raise NotFound(f"no session {status.session} in the store")
    has = ", ".join(log.branch or "the main log" for log in status.logs) or "none"
    raise NotFound(f"session {status.session} has no {f'branch {branch}' if branch else 'main log'}; it has {has}")


def read_lines(
    sink: HistorySink,
    log: Log,
    start: int,
    end: int,
    timeout_seconds: float = 10.0,
    pause: Callable[[float], None] = time.sleep,
    first_bytes: int = RANGE_BYTES,
) -> Iterator[list[bytes]]:
    """The lines in bytes ``[start, end)`` of a log, in batches of about 2 MiB.

    A store or worker that is away for a moment is asked again, for some seconds.

    Args:
        sink: Who is asked.
        log: The log.
        start: Where a line starts.
        end: Where a line ends, at most the log's end.
        timeout_seconds: How long to wait for each range.
        pause: What waits before a range is asked for again.
        first_bytes: How much to ask for at first; each range is twice as large as the one before, up to 2 MiB.

    Returns:
        Lists of whole lines, each with its newline.

    Raises:
        Faulted: A range was answered with a fault.
        Mismatch: Less came than the store says it has.
    """
    rest, first, width = b"", start, first_bytes
    while first < end:
        behind = min(first + width, end)
        body = read_range(sink, PointerHandle(log.bucket, log.key, (first, behind)), timeout_seconds, pause)
        first, width = behind, min(2 * width, RANGE_BYTES)
        whole, newline, tail = body.rpartition(b"\n")
        if newline:
            yield split_lines(rest + whole + newline)
            rest = tail
        else:
            rest += tail
    if rest:
        raise Mismatch(f"byte {end} of {log.key} ends no line")


def read_range(
    sink: HistorySink, handle: PointerHandle, timeout_seconds: float, pause: Callable[[float], None] = time.sleep
) -> bytes:
    """All bytes of a range. Raises as `read_lines`."""
    answer = sink.resolve(handle, timeout_seconds, stored=True)
    for seconds in _PAUSES_SECONDS:
        if isinstance(answer, bytes) or answer.kind != "backend_error":
            break
        pause(seconds)
        answer = sink.resolve(handle, timeout_seconds, stored=True)
    if isinstance(answer, Fault):
        raise Faulted(answer)
    start, end = handle.byte_range or (0, len(answer))
    if len(answer) != end - start:
        raise Mismatch(f"bytes {start} to {end} of {handle.key} came as {len(answer)} bytes")
    return answer


def read_pieces(sink: HistorySink, log: Log, start: int, end: int, timeout_seconds: float = 10.0) -> Iterator[bytes]:
    """The bytes ``[start, end)`` of a log, range after range. Raises as `read_lines`."""
    for first in range(start, end, RANGE_BYTES):
        handle = PointerHandle(log.bucket, log.key, (first, min(first + RANGE_BYTES, end)))
        yield read_range(sink, handle, timeout_seconds)


def split_lines(body: bytes) -> list[bytes]:
    """The lines of whole lines, each with its newline. Only 0x0A ends one: `bytes.splitlines` takes a CR for an end."""
    return [line + b"\n" for line in body.split(b"\n")[:-1]]
