"""A session's log back into a file: by ranges, checked against the store's own account of it, whole or not at all."""

import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, TypeAlias

from history_sink.errors import HistorySinkError
from history_sink.protocol.chain import ORIGIN, shorten
from history_sink.protocol.pointer import Fault, PointerHandle
from history_sink.protocol.status import LATEST, Status

RANGE_BYTES = 2 * 1024 * 1024
"""What is asked for at a time: below any sensible cap of a worker (8 MiB by default), and above the cost of asking."""

RANGES_AHEAD = 3
"""So many further ranges are asked for meanwhile: a worker makes them ready while those before are used."""

_PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)
_STRAY = re.compile(r"/tail/\d{12}-[0-9a-f]{16}~([0-9a-f]{16})\.jsonl$")

Change: TypeAlias = Callable[[Iterator[bytes]], Iterator[bytes]]
Resolve: TypeAlias = Callable[[PointerHandle], bytes | Fault]

Begin: TypeAlias = Callable[[PointerHandle], Callable[[], bytes | Fault]]
"""Asks, and returns what waits for the answer."""


class NotFound(HistorySinkError):
    """The store has no such session, branch or stray."""


class Faulted(HistorySinkError):
    """A range was answered with a fault."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


class Mismatch(HistorySinkError):
    """What came is not what the store's status says. The text has both."""


@dataclass(frozen=True, slots=True)
class Source:
    """Bytes ``[0, end)`` of the log at `key`, at whose end the chain begins with `chain16`."""

    bucket: str
    key: str
    end: int
    chain16: str


def find_source(status: Status, branch: str | None = None, stray: str | None = None) -> Source:
    """The log of a session: the main one, that of `branch`, or the one that ends with the stray at key `stray`.

    `branch` may be `LATEST`.

    Raises `NotFound`, which names what there is instead.
    """
    if stray is not None:
        name = _STRAY.search(stray)
        for known in status.strays:
            if known.key == stray and name:
                return Source(status.bucket, stray, known.end, name[1])
        raise NotFound(_missing(status, f"stray {stray}", [known.key for known in status.strays]))
    if branch == LATEST:
        branch = status.latest.branch if status.latest else None
    for log in status.logs:
        if log.branch == branch:
            return Source(status.bucket, log.key, log.bytes, log.chain)
    what = f"branch {branch}" if branch else "main log"
    raise NotFound(_missing(status, what, [log.branch or "the main log" for log in status.logs]))


def _missing(status: Status, what: str, others: list[str]) -> str:
    if not (status.logs or status.strays or status.pending):
        return f"no session {status.session} in the store"
    return f"session {status.session} has no {what}; it has {', '.join(others) or 'none'}"


def read_source(
    resolve: Resolve, source: Source, pause: Callable[[float], None] = time.sleep, begin: Begin | None = None
) -> Iterator[bytes]:
    """All of `source`, range after range. With `begin`, ranges are asked for while those before them are used.

    A store or worker that is away for a moment (`backend_error`) is asked again. Raises `Faulted`, `Mismatch`.
    """
    begun: deque[tuple[PointerHandle, Callable[[], bytes | Fault]]] = deque()
    for start in range(0, source.end, RANGE_BYTES):
        handle = PointerHandle(source.bucket, source.key, (start, min(start + RANGE_BYTES, source.end)))
        begun.append((handle, begin(handle) if begin else partial(resolve, handle)))
        if begin is None or len(begun) > RANGES_AHEAD:
            yield _take(resolve, *begun.popleft(), pause)
    while begun:
        yield _take(resolve, *begun.popleft(), pause)


def _take(
    resolve: Resolve, handle: PointerHandle, answer: Callable[[], bytes | Fault], pause: Callable[[float], None]
) -> bytes:
    body = _insist(resolve, handle, answer(), pause)
    start, end = handle.byte_range or (0, 0)
    if len(body) != end - start:
        raise Mismatch(f"bytes {start} to {end} of {handle.key} came as {len(body)} bytes")
    return body


def _insist(resolve: Resolve, handle: PointerHandle, answer: bytes | Fault, pause: Callable[[float], None]) -> bytes:
    for seconds in _PAUSES_SECONDS:
        if isinstance(answer, bytes) or answer.kind != "backend_error":
            break
        pause(seconds)
        answer = resolve(handle)
    if isinstance(answer, Fault):
        raise Faulted(answer)
    return answer


class ChainMeter:
    """The chain and the number of lines of bytes that come in any pieces, without keeping any."""

    def __init__(self) -> None:
        self.messages = 0
        self.size_bytes = 0
        self._chain = ORIGIN
        self._open = sha256(ORIGIN)

    @property
    def chain16(self) -> str:
        """The chain behind the last whole line, as object names have it."""
        return shorten(self._chain)

    def feed(self, body: bytes) -> None:
        """Take the bytes that come next."""
        self.size_bytes += len(body)
        *ends, rest = body.split(b"\n")
        for end in ends:
            self._open.update(end + b"\n")
            self._chain = self._open.digest()
            self._open = sha256(self._chain)
        self.messages += len(ends)
        self._open.update(rest)


def write_out(
    resolve: Resolve,
    source: Source,
    file: BinaryIO,
    advance: Callable[[int], None],
    change: Change = lambda pieces: pieces,
    begin: Begin | None = None,
) -> ChainMeter:
    """Write all of `source` to an open file, and see at its end that its chain is the store's.

    `advance` is told the size of each piece. `change` makes of the pieces what is to be written. Raises `Faulted`,
    `Mismatch`, what `change` raises, and `OSError` from the file.
    """
    meter = ChainMeter()

    def read() -> Iterator[bytes]:
        for body in read_source(resolve, source, begin=begin):
            meter.feed(body)
            advance(len(body))
            yield body

    for piece in change(read()):
        file.write(piece)
    file.flush()
    if meter.chain16 != source.chain16:
        raise Mismatch(f"the chain of {source.key} is {meter.chain16}, and the store says {source.chain16}")
    return meter


@contextmanager
def create_whole(path: Path, force: bool = False) -> Iterator[BinaryIO]:
    """A file that appears at `path` when the block has ended well, on disk and complete, and else never.

    It is a transcript, so readable by its owner alone. Raises `FileExistsError` where `path` exists, without `force`.
    """
    if not force and os.path.lexists(path):  # before the work; `_publish` makes sure
        raise FileExistsError(f"{path} exists")
    import tempfile  # here: an agent that imports the sink pays for it otherwise

    number, name = tempfile.mkstemp(dir=path.parent, prefix=".history-sink-", suffix=".part")
    try:
        with os.fdopen(number, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _publish(name, path, force)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)
    _sync_directory(path.parent)


def _publish(name: str, path: Path, force: bool) -> None:
    if force:
        os.replace(name, path)
        return
    try:
        os.link(name, path)  # unlike a rename, it never takes the place of a file that came meanwhile
    except FileExistsError:
        raise FileExistsError(f"{path} exists") from None
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            raise FileExistsError(f"{path} exists") from None
        os.rename(name, path)


def _sync_directory(directory: Path) -> None:
    with suppress(OSError):  # not every file system can; the file itself is synced
        number = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
