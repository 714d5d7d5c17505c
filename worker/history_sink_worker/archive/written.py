"""When lines last came to a log (`hs-written` in its base's metadata): a fold writes the base anew, and brings none.

All by the store's clock, as its LIST has it.
"""

from collections.abc import Mapping

from history_sink_worker.archive.plan import LogListing
from history_sink_worker.store import Entry

_WRITTEN = "hs-written"


def write_written(at: float) -> dict[str, str]:
    """The metadata of a base that holds what was written until `at` (Unix seconds)."""
    return {_WRITTEN: str(round(at * 1000))}


def read_written(meta: Mapping[str, str], base: Entry) -> float:
    """When the lines in this base were written, in Unix seconds.

    A base without the mark was never folded, or a worker that did not know the mark has folded it. Then the base's own
    time is all there is.
    """
    text = meta.get(_WRITTEN, "")
    return int(text) / 1000 if text.isascii() and text.isdigit() and len(text) < 16 else base.modified


def last_write(listing: LogListing, meta: Mapping[str, str]) -> float:
    """When lines last came to a log whose base has this metadata, in Unix seconds; 0 where there is nothing of it.

    Strays do not count: a reader of the log does not get them, and a compaction may turn waiting lines into a stray
    later.
    """
    base = [read_written(meta, listing.base)] if listing.base is not None else []
    return max([*base, *(tail.entry.modified for tail in listing.extents.values())], default=0.0)


def last_activity(listing: LogListing, meta: Mapping[str, str]) -> float:
    """The same with all that lies beside the log."""
    beside = (tail.entry.modified for tail in (*listing.strays, *listing.undecided))
    return max([last_write(listing, meta), *beside])


def is_told_by_list(listing: LogListing) -> bool:
    """Whether the LIST alone tells it: where the base is not the newest of it."""
    return listing.base is None or last_write(listing, {}) > listing.base.modified
