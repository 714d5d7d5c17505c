"""Where two logs part: the first line that they do not share."""

from dataclasses import dataclass

from history_sink import HistorySink, PointerHandle
from history_sink_agents.browse.log import RANGE_BYTES, Log, read_range


@dataclass(frozen=True, slots=True)
class Parting:
    """The number of the first line that differs, which is how many are shared, and where it starts."""

    line: int
    offset: int


def find_parting(sink: HistorySink, left: Log, right: Log, timeout_seconds: float = 10.0) -> Parting:
    """Compare two logs from their beginnings on, by ranges. Raises as `read_range`."""
    line = line_start = 0
    end = min(left.end, right.end)
    for start in range(0, end, RANGE_BYTES):
        stop = min(start + RANGE_BYTES, end)
        ours, theirs = (
            read_range(sink, PointerHandle(log.bucket, log.key, (start, stop)), timeout_seconds)
            for log in (left, right)
        )
        same = ours if ours == theirs else ours[: count_same(ours, theirs)]
        line += same.count(b"\n")
        if (newline := same.rfind(b"\n")) >= 0:
            line_start = start + newline + 1
        if len(same) < len(ours):
            break
    return Parting(line, line_start)


def count_same(ours: bytes, theirs: bytes) -> int:
    """How many bytes two texts of the same length share from their beginnings on."""
    low, high = 0, len(ours)
    while low < high:
        middle = (low + high + 1) // 2
        if ours[low:middle] == theirs[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
