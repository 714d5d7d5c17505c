"""One file's way into the archive: look, decide, find its place, hand over, wait for the store, remember."""

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import BinaryIO

from history_sink_agents.formats import FORMATS, Found
from history_sink_agents.formats.opencode import read_lines
from history_sink_agents.watch.attach import Place
from history_sink_agents.watch.handover import Handover, Parcel
from history_sink_agents.watch.look import Look, Mark, Step, decide, decide_whole, is_unchanged
from history_sink_agents.watch.sources import Busy, FileSource, LineSource, hash_whole, look_at
from history_sink_agents.watch.state import State
from history_sink_agents.watch.torn import TornLines

QUIET_SECONDS = 2.0
"""A file that is rewritten in place is read when nobody has written to it for so long."""

PARSED_BYTES = 8 * 1024 * 1024
"""A larger JSON document is not parsed before it is stored: that takes several times its size in memory."""

_UNFINISHED = -1
"""In place of a size: not all of the file is archived, so the next look must not take it for unchanged."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What became of one look at a file: what was done and why, and how much of it was handed over."""

    action: str
    reason: str
    messages: int = 0
    bytes: int = 0
    raw: int = 0


class Carrier:
    """Safe for threads, as long as no two of them carry files of one session."""

    def __init__(self, handover: Handover, state: State, now: Callable[[], float] = time.time) -> None:
        self._handover = handover
        self._state = state
        self._now = now
        self._torn = TornLines()

    def carry(self, found: Found, file: BinaryIO | None, give_way: Callable[[], object] = lambda: None) -> Carried:
        """Archive what is new. `file` is open, but for a session in a database.

        `give_way` is called now and then while a file of lines is read: files of other sessions may be carried there.

        Raises:
            Busy: It is being rewritten.
            Refused: A line cannot be archived.
            Unavailable, Unconfirmed: Nothing is known to be lost; try again later.
            Deleted: An operator has deleted the session.
            Stopped: The watch is to end.
            LineTooLong, OSError: It cannot be read.
        """
        if file is None:
            return self._carry_rows(found)
        mark = self._state.get_mark(found)
        look = look_at(file, None if mark is None else mark.position)
        if found.kind == "whole":
            return self._carry_whole(found, file, mark, look)
        step = decide(mark, look)
        if step.action == "nothing":
            if mark is not None and not is_unchanged(mark, look):
                seen = replace(mark, size_bytes=look.size_bytes, mtime_ns=look.mtime_ns, ctime_ns=look.ctime_ns)
                self._state.set_mark(found, seen)
            return Carried(*step)
        if step.action == "append" and mark is not None and not self._torn.has_ended(found, file, mark, look):
            return Carried("nothing", "torn")
        known = {mark.position: (mark.head, mark.tail)} if step.action == "append" and mark is not None else {}
        source = FileSource(file, look.size_bytes, between=give_way, known=known)
        return self._hand_over(found, Parcel(found.session, source, mark, step), self._keep(found, source, look))

    def _carry_whole(self, found: Found, file: BinaryIO, mark: Mark | None, look: Look) -> Carried:
        step = decide_whole(mark, look)
        if step.action == "nothing":
            return Carried(*step)
        if is_fresh(look.mtime_ns, self._now()) or not _is_document(found, file, look.size_bytes):
            raise Busy
        digest = hash_whole(file, look.size_bytes)
        again = look_at(file, None)
        if (again.size_bytes, again.mtime_ns) != (look.size_bytes, look.mtime_ns):
            raise Busy
        source = FileSource(file, look.size_bytes, is_whole=True)
        facts = {"size_bytes": look.size_bytes, "sha256": digest}
        return self._hand_over(found, Parcel(found.session, source, mark, step), self._keep(found, source, look), facts)

    def _carry_rows(self, found: Found) -> Carried:
        """A session in a database. Its rows only come to be at its end, until the agent deletes them."""
        mark = self._state.get_mark(found)
        told = os.stat(found.path)
        step = Step("attach", "new")
        if mark is not None and mark.position:
            last = next(read_lines(found, mark.position - 1), None)
            if last is None and next(read_lines(found), None) is None:
                return Carried("nothing", "vanished")
            is_same = last is not None and sha256(last).hexdigest() == mark.tail and mark.end is not None
            step = Step("append", "grown") if is_same else Step("attach", "rewritten")

        def keep(place: Place, manifest: str, is_final: bool) -> None:
            tail = next(read_lines(found, place.position - 1), b"") if place.position else b""
            end = None if place.is_inside else place.end
            inode = told.st_dev, told.st_ino
            self._state.set_mark(found, Mark(*inode, 0, 0, place.position, "", sha256(tail).hexdigest(), end, manifest))

        source = LineSource(lambda skip: read_lines(found, skip))
        return self._hand_over(found, Parcel(found.session, source, mark, step), keep)

    def _keep(self, found: Found, source: FileSource, look: Look) -> Callable[[Place, str, bool], None]:
        """What remembers how far the file is archived, and what was read of it; else the next look finds it out."""

        def keep(place: Place, manifest: str, is_final: bool) -> None:
            edges = source.edges_at(place.position)
            if edges is None:  # an earlier look's lines were confirmed after its file was closed
                return
            end = None if place.is_inside else place.end
            size, inode = look.size_bytes if is_final else _UNFINISHED, (look.device, look.inode)
            mark = Mark(*inode, size, look.mtime_ns, place.position, *edges, end, manifest, look.ctime_ns)
            self._state.set_mark(found, mark)

        return keep

    def _hand_over(
        self,
        found: Found,
        parcel: Parcel,
        keep: Callable[[Place, str, bool], None],
        facts: Mapping[str, object] | None = None,
    ) -> Carried:
        def describe() -> Mapping[str, object]:
            return {**FORMATS[found.agent].manifest(found), **(facts or {})}

        sent = self._handover.hand_over(parcel, describe, keep)
        return Carried(*parcel.step, sent.messages, sent.bytes, sent.raw)


def is_fresh(mtime_ns: int, now: float) -> bool:
    """Whether a file was written to just now, in seconds since the epoch. One of tomorrow is from another clock."""
    return abs(now - mtime_ns / 1e9) < QUIET_SECONDS


def _is_document(found: Found, file: BinaryIO, size_bytes: int) -> bool:
    """Whether a JSON document is whole; of other files nobody can tell."""
    if found.path.suffix != ".json" or size_bytes > PARSED_BYTES:
        return size_bytes > 0
    file.seek(0)
    with suppress(ValueError, RecursionError):
        json.loads(file.read(size_bytes))
        return True
    return False
