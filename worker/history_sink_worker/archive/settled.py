"""How far a base has been settled: which length it has had for at least T (`hs-settled` in its metadata).

Only extents below that length may be deleted. A writer may claim a name by a hint until the hint is T/2 old. If the
name were freed before, that writer's acknowledged lines would go with the next sweep.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

from history_sink_worker.store import Info


class Settled(NamedTuple):
    """The base has had `settled_bytes` for T or longer; at `marked_at` (Unix seconds) it had `marked_bytes`."""

    settled_bytes: int
    marked_bytes: int
    marked_at: float

    def write(self) -> str:
        return f"{self.settled_bytes},{self.marked_bytes},{math.ceil(self.marked_at * 1000)}"


def read_settled(info: Info) -> Settled:
    """What the base's metadata says; a base that was never folded has had its length since it was written."""
    try:
        settled, marked, at_ms = (int(number) for number in info.meta["hs-settled"].split(","))
        return Settled(settled, marked, at_ms / 1000)
    except (KeyError, ValueError, OverflowError):
        return Settled(0, info.size_bytes, info.modified)


def settled_limit(info: Info, now: float, settle_seconds: float) -> int:
    """The length that this base has had for at least T."""
    mark = read_settled(info)
    if now - info.modified >= settle_seconds:
        return info.size_bytes
    return mark.marked_bytes if now - mark.marked_at >= settle_seconds else mark.settled_bytes


def next_settled(info: Info, now: float, settle_seconds: float) -> Settled:
    """What the metadata of the base that replaces this one must say."""
    mark, limit = read_settled(info), settled_limit(info, now, settle_seconds)
    return Settled(limit, info.size_bytes, now) if limit >= mark.marked_bytes else mark


def base_meta(meta: Mapping[str, str], size_bytes: int, settled: Settled | None = None) -> dict[str, str]:
    """The metadata of a base of this size, from that of its lines."""
    sized = {**meta, "hs-bytes": str(size_bytes)}
    return {**sized, "hs-settled": settled.write()} if settled else sized
