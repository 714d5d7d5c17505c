"""What is archived, as batches of lines from any position on: a file's, or those of a session in a database.

Nothing is loaded: a file of gigabytes is read in pieces, and of a line of megabytes only that line is in memory.
"""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from hashlib import sha256
from types import MappingProxyType
from typing import BinaryIO, NamedTuple, Protocol, TypeAlias

from history_sink_agents.watch.look import EDGE_BYTES, Look

BATCH_BYTES = 256 * 1024
LONG_BYTES = 1024 * 1024
"""A line from here on is read by one thread at a time: copies of it are made on its way."""

LINE_BYTES = 32 * 1024 * 1024
"""The longest line that the archive takes, newline included."""


class Busy(Exception):
    """A file that is being rewritten: it is looked at again soon."""


class LineTooLong(Exception):
    """A line that the archive does not take: nothing behind it can be archived. The text says where it is."""


Edges: TypeAlias = tuple[str, str]
"""Hashes of a file's first `EDGE_BYTES`, and of as many before a position; all before it where that is less."""


class Batch(NamedTuple):
    """Lines, each with its newline (the last of a whole file perhaps without), and the position behind each."""

    lines: list[bytes]
    stops: list[int]


class Source(Protocol):
    """Lines that only come to be at their end, until something else takes their place."""

    def read(self, start: int) -> Iterator[Batch]:
        """Batches from a position on. Raises `LineTooLong`, `OSError`."""


class FileSource:
    """The whole lines of an open file. What has no newline yet is held back, unless the file `is_whole`."""

    _reading_long = threading.Lock()

    def __init__(
        self,
        file: BinaryIO,
        size_bytes: int,
        *,
        is_whole: bool = False,
        between: Callable[[], object] = lambda: None,
        known: Mapping[int, Edges] = MappingProxyType({}),
    ) -> None:
        """`between` is called between two batches, while no line is held. `known` are edges that have been seen."""
        self._file = file
        self._size_bytes = size_bytes
        self._is_whole = is_whole
        self._between = between
        self._edges = dict(known)

    def edges_at(self, position: int) -> Edges | None:
        """The edges before a position as they were read, whatever is there now; None: they are not known any more."""
        edges = self._edges.get(position)
        self._edges = {at: each for at, each in self._edges.items() if at >= position}
        return edges or (None if self._file.closed else hash_edges(self._file, position))

    def read(self, start: int) -> Iterator[Batch]:
        """See `Source`. Raises `Busy` where a batch does not follow what was there before it."""
        head, tail = _read_edges(self._file, start)
        known, edges = self._edges.get(start), {start: _hash(head, tail)}
        if known and known != edges[start]:
            raise Busy
        self._edges = edges
        for first, stop in self._find_spans(start):
            if read_at(self._file, first - len(tail), len(tail)) != tail:
                raise Busy
            size = stop - first
            guard: AbstractContextManager[object] = self._reading_long if size > LONG_BYTES else nullcontext()
            with guard:
                data = read_at(self._file, first, size)
                if len(data) < size:  # it was cut while it was read
                    return
                head += data[: EDGE_BYTES - len(head)]
                tail = (tail + data[-EDGE_BYTES:])[-EDGE_BYTES:]
                self._edges[stop] = _hash(head, tail)
                yield _cut(data, first)
                del data
            self._between()

    def _find_spans(self, start: int) -> Iterator[tuple[int, int]]:
        """Ranges of whole lines: many short ones, or one that is longer than a batch."""
        begin = at = start
        while at < self._size_bytes:
            chunk = read_at(self._file, at, min(BATCH_BYTES, self._size_bytes - at))
            if not chunk:
                return
            check_length(begin, at)
            first, last = chunk.find(b"\n") + 1, chunk.rfind(b"\n") + 1
            if first and begin < at:  # the rest of a line that began before this chunk
                check_length(begin, at + first)
                yield begin, at + first
                begin = at + first
            if first and begin < at + last:
                yield begin, at + last
                begin = at + last
            at += len(chunk)
        if self._is_whole and begin < at:
            check_length(begin, at)
            yield begin, at


def check_length(start: int, stop: int) -> None:
    """Raise `LineTooLong` where the line that begins at `start` goes on to `stop`, or beyond."""
    if stop - start > LINE_BYTES:
        raise LineTooLong(f"the line at byte {start} has more than the {LINE_BYTES} bytes that the archive takes")


def read_at(file: BinaryIO, start: int, size: int) -> bytes:
    """`size` bytes from `start` on, fewer where the file ends before."""
    file.seek(start)
    parts = []
    while size > 0 and (part := file.read(size)):
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _cut(data: bytes, start: int) -> Batch:
    lines, stops, at = [], [], 0
    while at < len(data):
        stop = data.find(b"\n", at) + 1 or len(data)
        lines.append(data if at == 0 and stop == len(data) else data[at:stop])
        stops.append(start + stop)
        at = stop
    return Batch(lines, stops)


class LineSource:
    """Lines that a function makes, but for the first so many. Positions count lines."""

    def __init__(self, read: Callable[[int], Iterator[bytes]]) -> None:
        self._read = read

    def read(self, start: int) -> Iterator[Batch]:
        """See `Source`."""
        lines: list[bytes] = []
        size, at = 0, start
        for line in self._read(start):
            if len(line) > LINE_BYTES:
                raise LineTooLong(f"line {at} has {len(line)} bytes, more than the archive's {LINE_BYTES}")
            if lines and size + len(line) > BATCH_BYTES:
                yield Batch(lines, [*range(at - len(lines) + 1, at + 1)])
                lines, size = [], 0
            lines.append(line)
            size, at = size + len(line), at + 1
        if lines:
            yield Batch(lines, [*range(at - len(lines) + 1, at + 1)])


def look_at(file: BinaryIO, position: int | None) -> Look:
    """Look at an open file; with a mark's `position`, at what is around it, too. Raises `OSError`."""
    told = os.fstat(file.fileno())
    head = tail = None
    if position is not None and told.st_size >= position:
        head, tail = hash_edges(file, position)
    return Look(told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns, head, tail)


def hash_edges(file: BinaryIO, position: int) -> Edges:
    """Hashes of the first bytes, and of the last before `position`."""
    return _hash(*_read_edges(file, position))


def _read_edges(file: BinaryIO, position: int) -> tuple[bytes, bytes]:
    size = min(EDGE_BYTES, position)
    return read_at(file, 0, size), read_at(file, position - size, size)


def _hash(head: bytes, tail: bytes) -> Edges:
    return sha256(head).hexdigest(), sha256(tail).hexdigest()


def hash_whole(file: BinaryIO, size_bytes: int) -> str:
    """The hash of all of it, read in pieces."""
    digest = sha256()
    for start in range(0, size_bytes, BATCH_BYTES):
        digest.update(read_at(file, start, min(BATCH_BYTES, size_bytes - start)))
    return digest.hexdigest()
