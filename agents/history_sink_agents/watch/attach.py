"""Where a file's lines belong in the archive, found from the file and the store alone.

The file is read once, and the place behind each of its lines compared with where the store's logs end. The longest log
that the file goes on from is its log. A file that goes on from none is a new generation: it gets a branch.
"""

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from history_sink import BadMessage, HistorySink, LogEnd, LogStatus, Status
from history_sink_agents.watch.sources import LineTooLong, Source

log = logging.getLogger("history_sink_agents.watch")

PARTED = (
    "session %s goes on in a branch: its file, as the filters here make its lines, is on no log of it. Either it was"
    " written anew, or what is stored was filtered otherwise, or not at all (its log was begun by the rules: %s)"
)
ASKED_PLACES = 2048
"""So many places of a file are asked about at a time."""


@dataclass(frozen=True, slots=True)
class Place:
    """What is behind `position` follows `end`. `is_inside`: all of the file is on a log that is longer."""

    position: int
    end: LogEnd
    is_inside: bool = False


START = Place(0, LogEnd())


class _Sample:
    """Places along a file, evenly, and never more than twice `ASKED_PLACES`."""

    def __init__(self, first: Place) -> None:
        self.places = [first]
        self.last = first
        self.stride = 1
        self._count = 0

    def add(self, place: Place) -> None:
        self.last = place
        self._count += 1
        if self._count % self.stride == 0:
            self.places.append(place)
        if len(self.places) > ASKED_PLACES:
            self.places = self.places[::2]
            self.stride *= 2


def attach(sink: HistorySink, session: str, source: Source, timeout_seconds: float, start: Place = START) -> Place:
    """Find where to go on with `source`.

    Args:
        sink: The archive.
        session: The session id of the file.
        source: Its lines.
        timeout_seconds: How long to wait for each answer, in seconds.
        start: A place known to be on the log that the file was on; the file is read from there only.

    Returns:
        The place.

    Raises:
        Unavailable: No worker says what the store has.
        OSError: The file cannot be read.
    """
    status = sink.status(session, timeout_seconds, known=())
    if not status.logs:
        return START
    sample = _Sample(start)
    found: Place | None = None
    ends = {(log.bytes, log.chain): log for log in reversed(status.logs)}  # of two that are equal, the main one
    for place in _walk(sink, session, source, start):
        sample.add(place)
        log = ends.get((place.end.bytes, place.end.chain16))
        if log is not None:
            found = _on(log, place)
    if (log := ends.get((start.end.bytes, start.end.chain16))) and found is None:
        found = _on(log, start)
    if found is not None:
        return found
    if start is not START:
        return attach(sink, session, source, timeout_seconds)
    return _place_beside(sink, session, source, timeout_seconds, sample)


def _on(log: LogStatus, place: Place) -> Place:
    return replace(place, end=replace(place.end, branch=log.branch))


def _walk(sink: HistorySink, session: str, source: Source, start: Place) -> Iterator[Place]:
    """The place behind each line, up to one that the archive does not take: who hands the lines over says which."""
    end = start.end
    with suppress(BadMessage, LineTooLong):
        for lines, stops in source.read(start.position):
            for line, stop in zip(lines, stops, strict=True):
                end = sink.measure((line,), end, session_id=session)
                yield Place(stop, end)
            del lines, stops, line  # the next ones are read now, and each may have megabytes


def _place_beside(sink: HistorySink, session: str, source: Source, timeout_seconds: float, sample: _Sample) -> Place:
    """No log ends on the file: it lies inside one, or it parts from all, and then gets a branch."""
    last = sample.last
    if last.position == 0:
        return replace(START, is_inside=True)
    while True:
        asked = [place.end for place in (*sample.places, last) if place.end.bytes]
        status = sink.status(session, timeout_seconds, known=asked)
        best = max(status.logs, key=lambda log: log.common, default=None)
        if best is None:
            return START
        if best.common == last.end.bytes:
            return replace(_on(best, last), is_inside=True)
        held = [place for place in sample.places if place.end.bytes <= best.common]
        before = held[-1] if held else sample.places[0]
        if sample.stride == 1:
            return _open_branch(sink, session, source, status, before)
        count, sample = sample.stride, _Sample(before)
        for _, place in zip(range(count), _walk(sink, session, source, before), strict=False):
            sample.add(place)


def _open_branch(sink: HistorySink, session: str, source: Source, status: Status, common: Place) -> Place:
    """A branch is named after the place behind the first line that is on no log. A taken name is passed over."""
    rules = next((log.rules for log in status.logs if log.branch is None), "")
    if sink.filters or rules:
        log.warning(PARTED, session, rules or "none that are known")
    taken = {log.branch for log in status.logs}
    branch = None
    for place in _walk(sink, status.session, source, common):
        branch = place.end.as_branch
        if branch not in taken:
            break
    return Place(0, LogEnd(branch=branch))
