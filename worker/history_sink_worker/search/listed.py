"""What a flat LIST of the bucket tells of logs: whose they are, and which of them an index must look at. Pure."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from history_sink.protocol.chain import shorten
from history_sink_worker.archive import plan
from history_sink_worker.archive.names import Log, owner_of, parse_key
from history_sink_worker.archive.plan import LogListing
from history_sink_worker.archive.tombstone import TOMBSTONE_BYTES
from history_sink_worker.search.places import Cursor
from history_sink_worker.store import Entry


def by_session(prefix: str, entries: Iterable[Entry]) -> Iterator[tuple[str, list[Entry]]]:
    """The objects of one session after the other, in the order of the LIST. What is no session's is passed over."""
    for session, group in groupby(entries, lambda entry: owner_of(prefix, entry.key)):
        if session:
            yield session, list(group)


def arrange_logs(prefix: str, entries: Iterable[Entry]) -> dict[Log, LogListing]:
    """One session's objects, log by log."""
    objects: dict[Log, list[Entry]] = {}
    for entry in entries:
        found = parse_key(prefix, entry.key)
        if found is not None:
            objects.setdefault(found[0], []).append(entry)
    return {log: plan.arrange(log, each) for log, each in objects.items()}


def needs_look(listing: LogListing, cursor: Cursor | None) -> bool:
    """Whether a log may hold what an index does not, or no longer what it does.

    A fold changes nothing: its base is another object, and reaches no further than the cursor.
    """
    base = listing.base
    if base is None or cursor is None:
        return base is not None or cursor is not None
    if base.etag == cursor.base_etag:
        is_other = False
    else:  # grown by a fold, or a tombstone, or another program's
        is_other = base.size_bytes <= max(cursor.base_bytes, TOMBSTONE_BYTES)
    chain16 = shorten(bytes.fromhex(cursor.chain))
    return is_other or base.size_bytes > cursor.offset or (cursor.offset, chain16) in listing.extents
