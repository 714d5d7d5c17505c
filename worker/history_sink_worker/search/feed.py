"""Bring an index up to what the bucket holds, log by log. Thin: `archive` knows what a log is, `Index` what a word is.

A flat LIST tells which logs have changed: names carry offsets, and the LIST has sizes and ETags. Of a log that has
grown only what is new is read. Its chain is followed on the way: so what another program has overwritten is noticed.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from history_sink.protocol.chain import ORIGIN, advance, shorten, split_lines
from history_sink_worker.archive.changed import look_again
from history_sink_worker.archive.names import Log, TailName
from history_sink_worker.archive.piece import read_tail_meta
from history_sink_worker.archive.snapshot import LogSnapshot, look
from history_sink_worker.archive.tombstone import Deleted
from history_sink_worker.archive.trace import Walk, trace
from history_sink_worker.archive.written import last_write
from history_sink_worker.search.draft import Draft, Name
from history_sink_worker.search.index import Index
from history_sink_worker.search.line_reader import LineReader
from history_sink_worker.search.listed import arrange_logs, by_session, needs_look
from history_sink_worker.search.places import Cursor
from history_sink_worker.service.service import Service
from history_sink_worker.store import Blob, Corrupt, Entry, Get, Steps, StoreError

_LOOKS_KEPT = 20_000
_MOST_FAILURES = 3


class Feed:
    """Feeds one index. For one thread."""

    def __init__(self, work: Service, index: Index) -> None:
        self.index = index
        self.draft = Draft(index)
        self._service = work
        self._looked_at: OrderedDict[Name, float] = OrderedDict()
        self.failed: set[Log] = set()
        """Logs that a comparison could not read, and went on."""

    def update(self, log: Log, offset: int = 0) -> None:
        """Index what is new on a log. Raises `StoreError`.

        `offset` is where the log is known to reach, 0 where that is not known. Where it is indexed up to there, nothing
        is asked.
        """
        cursor = self.draft.cursor(log)
        if cursor is not None and 0 < offset <= cursor.offset:
            return
        try:
            self._service.run(self._follow(log, offset))
        except Deleted:
            self.draft.drop_session(log.session)
        except Corrupt:
            # `status` and `verify` tell of it. A search does not stop at it, nor show what nobody can vouch for.
            self.draft.drop_log(log)

    def reconcile(self) -> Iterator[int]:
        """Compare the index with a LIST of all logs, and read what has changed. Raises `StoreError`.

        Yields the number of objects listed so far, after each log.
        """
        prefix, seen, objects, failures = self._service.settings.prefix, set[int](), 0, 0
        for session, entries in by_session(prefix, self._service.walk(prefix)):
            objects += len(entries)
            seen.add(hash(session))
            for log in self._find_changed(session, entries):
                try:
                    self.update(log)
                    failures = 0
                except StoreError:
                    self.failed.add(log)
                    failures += 1
                    if failures >= _MOST_FAILURES:  # then it is not this log's trouble
                        raise
                yield objects
            yield objects
        unseen = [cursor for cursor in self.index.cursors() if hash(cursor.session) not in seen]
        for cursor in unseen:
            self.update(Log(prefix, cursor.session, cursor.branch))  # which asks again: it may have come since the LIST
            yield objects

    def _find_changed(self, session: str, entries: Iterable[Entry]) -> list[Log]:
        prefix = self._service.settings.prefix
        listings = arrange_logs(prefix, entries)
        known = {Log(prefix, session, cursor.branch) for cursor in self.index.cursors(session)}
        changed = [log for log, listing in listings.items() if needs_look(listing, self.draft.cursor(log))]
        changed += [log for log in known - listings.keys() if self.draft.cursor(log) is not None]
        return sorted(changed, key=lambda log: log.branch or "")

    def _follow(self, log: Log, offset: int) -> Steps[None]:
        if offset and self._service.context.is_fresh(self._looked_at.get((log.session, log.branch), 0.0)):
            yield from self._follow_names(log, offset)
            cursor = self.draft.cursor(log)
            if cursor is not None and cursor.offset >= offset:
                return
        yield from look_again(log, lambda: self._look(log))

    def _follow_names(self, log: Log, offset: int) -> Steps[None]:
        """Read the extents behind the cursor by their names: one request each.

        Only soon after a look: later a name could be free again, and taken by lines that are not on the log.
        """
        while (cursor := self.draft.cursor(log)) is not None and cursor.offset < offset:
            chain = bytes.fromhex(cursor.chain)
            name = TailName(cursor.offset, shorten(chain))
            blob: Blob | None = yield Get(log.key(name))
            fact = read_tail_meta(blob.info.meta, name) if isinstance(blob, Blob) else None
            if not isinstance(blob, Blob) or fact is None or fact.before != chain:
                return
            lines = split_lines(blob.body)
            reader, walk = LineReader(self.draft, cursor), Walk(cursor.offset, chain)
            for line in lines:
                walk.chain, walk.offset = advance(walk.chain, line), walk.offset + len(line)
                reader.take(line, walk)
            self.draft.move(replace(reader.cursor, written_at=max(cursor.written_at, blob.info.modified)))
            if walk.chain != fact.after or not lines:
                raise Corrupt(f"{log.key(name)} does not hold the lines that its metadata promises")

    def _look(self, log: Log) -> Steps[None]:
        asked_at = self._service.context.now()
        seen = yield from look(self._service.context, log)
        cursor = self.draft.cursor(log)
        if seen.line is None:
            self.draft.drop_log(log)
            return
        if cursor is not None and not (yield from self._read(cursor, seen)):
            self.draft.drop_log(log)  # another program has overwritten it: what was indexed is not there any more
            cursor = None
        start = Cursor(log.session, log.branch, 0, ORIGIN.hex(), 0)
        if cursor is None and not (yield from self._read(start, seen)):
            raise Corrupt(f"{log.base} does not hold the lines that its metadata promises")
        self._looked_at[log.session, log.branch] = asked_at
        while len(self._looked_at) > _LOOKS_KEPT:
            self._looked_at.popitem(last=False)

    def _read(self, cursor: Cursor, seen: LogSnapshot) -> Steps[bool]:
        """Index what a log has behind the cursor; False where the cursor is not on it."""
        assert seen.line is not None
        assert seen.listing.base is not None
        assert seen.info is not None
        end, base, reader = seen.line.end, seen.listing.base, LineReader(self.draft, cursor)
        known = seen.line.known().get(cursor.offset)
        if cursor.offset > end.offset or (known is not None and known.hex() != cursor.chain):
            return False
        chain = bytes.fromhex(cursor.chain)
        try:
            walk = yield from trace(seen.line.segments, cursor.offset, chain, end.offset, reader.take)
        finally:
            self.draft.move(reader.cursor)  # what was taken is in the index, whatever has ended it
        written_at = max(cursor.written_at, last_write(seen.listing, seen.info.meta))
        self.draft.move(replace(reader.cursor, base_bytes=base.size_bytes, base_etag=base.etag, written_at=written_at))
        return walk.chain == end.chain
