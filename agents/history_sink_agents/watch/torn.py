"""Long lines that are still being written: what was looked through for their ends is not read again.

A line may stay without an end for hours, and the system tells of each write.
"""

from typing import BinaryIO

from history_sink_agents.formats import Found
from history_sink_agents.watch.backlog import Key, key_of
from history_sink_agents.watch.look import Look, Mark
from history_sink_agents.watch.sources import BATCH_BYTES, LINE_BYTES, Edges, check_length, hash_edges, read_at


class TornLines:
    """Safe for threads, as long as no two of them are at one file."""

    def __init__(self) -> None:
        # Where a line begins, up to where it was read, and what is there.
        self._read: dict[Key, tuple[int, int, Edges | None]] = {}

    def has_ended(self, found: Found, file: BinaryIO, mark: Mark, look: Look) -> bool:
        """Whether there is a whole line behind the mark.

        Raises:
            LineTooLong: The line has become longer than the archive takes.
            OSError: The file cannot be read.
        """
        begin, at, before = self._read.pop(key_of(found), (mark.position, mark.position, None))
        if begin != mark.position or at > look.size_bytes or (before and hash_edges(file, at) != before):
            at = mark.position
        while at < look.size_bytes and at - mark.position <= LINE_BYTES:
            chunk = read_at(file, at, min(BATCH_BYTES, look.size_bytes - at))
            if not chunk or b"\n" in chunk:
                return True
            at += len(chunk)
        self._read[key_of(found)] = mark.position, at, hash_edges(file, at)
        check_length(mark.position, at)
        return False
