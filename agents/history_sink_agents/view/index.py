"""Where the lines of a log start, as far as somebody has looked: so that a long log is shown piece by piece."""

from array import array
from bisect import bisect_right
from collections import OrderedDict
from threading import Lock

from history_sink import HistorySink
from history_sink_agents.browse.log import Log, read_lines, read_pieces, split_lines
from history_sink_agents.render import Turn, Who, render, speakers_of
from history_sink_agents.sealing.showing import open_for_show

PIECE_TURNS = 100
PIECE_BYTES = 1024 * 1024
"""A piece ends at so many turns or bytes, whichever comes first; one line is always in it."""

_FIRST_BYTES = 256 * 1024
_MOST_INDEXES = 64


class LineIndex:
    """The places of one log's lines. It grows as far as it is asked for; the log only grows, too."""

    def __init__(self) -> None:
        self._starts = array("Q", [0])
        self._speakers: dict[str, Who] = {}
        self._lock = Lock()

    def reach(self, sink: HistorySink, log: Log, line: int | None = None, offset: int | None = None) -> None:
        """Look as far as behind this line, or this offset, or to the log's end. Raises as `read_lines`."""
        with self._lock:
            if self._is_behind(log, line, offset):
                return
            for lines in read_lines(sink, log, self._starts[-1], log.end):
                self._add(lines)
                if self._is_behind(log, line, offset):
                    return

    def _is_behind(self, log: Log, line: int | None, offset: int | None) -> bool:
        end = self._starts[-1]
        if line is not None:
            return len(self._starts) - 1 > line or end >= log.end
        return end >= (log.end if offset is None else min(offset + 1, log.end))

    def _add(self, lines: list[bytes]) -> None:
        end = self._starts[-1]
        named = [line for line in lines if b"message.updated" in line]
        self._speakers |= speakers_of(render(named))
        for line in lines:
            end += len(line)
            self._starts.append(end)

    @property
    def lines(self) -> int:
        """How many lines are known."""
        return len(self._starts) - 1

    @property
    def speakers(self) -> dict[str, Who]:
        """As `render.speakers_of`, of the lines that are known."""
        return dict(self._speakers)

    def find_line(self, offset: int) -> int:
        """The number of the line that has the byte at `offset`, or of the last one that is known."""
        return max(0, min(bisect_right(self._starts, offset) - 1, self.lines - 1))

    def find_start(self, line: int) -> int | None:
        """Where a line starts, or the log ends; None where nobody has looked as far."""
        return self._starts[line] if line < len(self._starts) else None

    def learn(self, turns: list[Turn]) -> None:
        """Keep who speaks, as these turns tell."""
        with self._lock:
            self._speakers |= speakers_of(turns)


class Indexes:
    """The indexes of the logs that were looked at last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], LineIndex] = OrderedDict()
        self._lock = Lock()

    def get(self, log: Log) -> LineIndex:
        """The index of a log, empty at first."""
        with self._lock:
            index = self._kept.setdefault((log.bucket, log.key), LineIndex())
            self._kept.move_to_end((log.bucket, log.key))
            while len(self._kept) > _MOST_INDEXES:
                self._kept.popitem(last=False)
            return index


def read_turns(sink: HistorySink, log: Log, index: LineIndex, first: int, offset: int | None = None) -> list[Turn]:
    """The turns of a piece from `first` on; none where the log ends before it. Raises as `read_lines`.

    `offset` is where the line `first` starts, as the piece before has told. Without it the log is read up to there.
    """
    if offset is None:
        index.reach(sink, log, line=first)
        offset = index.find_start(first)
    if offset is None or offset >= log.end:
        return []
    lines = take_lines(sink, log, offset)
    turns = render(lines, first, offset, index.speakers, open_for_show(log.session))
    index.learn(turns)
    return turns


def take_lines(sink: HistorySink, log: Log, offset: int) -> list[bytes]:
    """The lines of a piece from `offset` on: one at least. Raises as `read_lines`."""
    taken: list[bytes] = []
    size_bytes = 0
    for lines in read_lines(sink, log, offset, log.end, first_bytes=_FIRST_BYTES):
        for line in lines:
            size_bytes += len(line)
            if taken and (len(taken) == PIECE_TURNS or size_bytes > PIECE_BYTES):
                return taken
            taken.append(line)
    return taken


def read_tail(sink: HistorySink, log: Log, index: LineIndex) -> list[Turn]:
    """The last turns of a log, without reading what comes before: a worker has counted them. Raises as `read_range`."""
    width = _FIRST_BYTES
    while True:
        start = max(0, log.end - width)
        body = b"".join(read_pieces(sink, log, start, log.end))
        offset = start + (body.find(b"\n") + 1 if start else 0)
        if offset < log.end:
            break
        width *= 4  # one line is all that there is, and longer
    lines = split_lines(body[offset - start :])
    kept = lines[-PIECE_TURNS:]
    offset += sum(map(len, lines[: len(lines) - len(kept)]))
    return render(kept, log.messages - len(kept), offset, index.speakers, open_for_show(log.session))
