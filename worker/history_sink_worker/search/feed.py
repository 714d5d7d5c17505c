"""Bring an index up to what the bucket holds, log by log. Thin: `archive` knows what a log is, `Index` what a word is.

A flat LIST tells which logs have changed: names carry offsets, and the LIST has sizes and ETags. Of a log that has
grown only what is new is read. Its chain is followed on the way: so what another program has overwritten is noticed.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from history_sink.protocol.chain import ORIGIN, advance, shorten, split_lines
from history_sink_worker import log as log_of
from history_sink_worker.archive.changed import look_again
from history_sink_worker.archive.names import Log, TailName
from history_sink_worker.archive.piece import read_tail_meta
from history_sink_worker.archive.snapshot import LogSnapshot, look
from history_sink_worker.archive.tombstone import Deleted
from history_sink_worker.archive.trace import Walk, trace
from history_sink_worker.archive.written import last_write
from history_sink_worker.search.extraction import Extract, extract
from history_sink_worker.search.index import Index
from history_sink_worker.search.listed import arrange_logs, by_session, needs_look
from history_sink_worker.search.places import Cursor, Place
from history_sink_worker.service.service import Service
from history_sink_worker.store import Blob, Corrupt, Entry, Get, Steps, StoreError
from history_sink_worker.task_errors import unexpected

COMMIT_MESSAGES = 5000
"""So many are committed at once; a log may have any number."""

_LOOKS_KEPT = 20_000
_MOST_FAILURES = 3
_log = log_of.get("history_sink_worker")
_Name = tuple[str, str | None]
"""A log's session and branch."""


@dataclass(slots=True)
class Done:
    """What a feed has done since it began."""

    messages: int = 0
    size_bytes: int = 0
    dropped: int = 0


class Feed:
    """Feeds one index. For one thread."""

    def __init__(self, work: Service, index: Index) -> None:
        self.index = index
        self.done = Done()
        self.uncommitted = 0
        self.newest_write, self.sealed = 0.0, 0
        for cursor in index.cursors():
            self.newest_write = max(self.newest_write, cursor.written_at)
            self.sealed += cursor.sealed
        self._service = work
        self._moved: dict[_Name, Cursor | None] = {}
        self._looked_at: OrderedDict[_Name, float] = OrderedDict()
        self.failed: set[Log] = set()
        """Logs that a comparison could not read, and went on."""

    @property
    def has_uncommitted(self) -> bool:
        """Whether a commit would change anything."""
        return bool(self._moved)

    def commit(self) -> None:
        """Make visible what was done."""
        for cursor in self._moved.values():
            if cursor is not None:
                self.index.put_cursor(cursor)
        self.index.commit()
        self._moved.clear()
        self.uncommitted = 0

    def cursor(self, log: Log) -> Cursor | None:
        """How far a log is indexed, what is not committed included."""
        name = log.session, log.branch
        return self._moved[name] if name in self._moved else self.index.cursor(*name)

    def update(self, log: Log, offset: int = 0) -> None:
        """Index what is new on a log. Raises `StoreError`.

        `offset` is where the log is known to reach, 0 where that is not known. Where it is indexed up to there, nothing
        is asked.
        """
        cursor = self.cursor(log)
        if cursor is not None and 0 < offset <= cursor.offset:
            return
        try:
            self._service.run(self._follow(log, offset))
        except Deleted:
            self._drop_session(log.session)
        except Corrupt:
            # `status` and `verify` tell of it. A search does not stop at it, nor show what nobody can vouch for.
            self._drop_log(log)

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
        changed = [log for log, listing in listings.items() if needs_look(listing, self.cursor(log))]
        changed += [log for log in known - listings.keys() if self.cursor(log) is not None]
        return sorted(changed, key=lambda log: log.branch or "")

    def _drop_log(self, log: Log) -> None:
        cursor = self.cursor(log)
        if cursor is not None:
            self.index.drop_log(log.session, log.branch)
            self._forget(cursor)

    def _drop_session(self, session: str) -> None:
        branches = {branch for name, branch in self._moved if name == session}
        branches |= {cursor.branch for cursor in self.index.cursors(session)}
        cursors = [self.cursor(Log("", session, branch)) for branch in branches]
        known = [cursor for cursor in cursors if cursor is not None]
        if known:
            self.index.drop_session(session)
        for cursor in known:
            self._forget(cursor)

    def _forget(self, cursor: Cursor) -> None:
        name = cursor.session, cursor.branch
        self._moved[name] = None
        self._looked_at.pop(name, None)
        self.sealed -= cursor.sealed
        self.done.dropped += 1

    def _follow(self, log: Log, offset: int) -> Steps[None]:
        if offset and self._service.context.is_fresh(self._looked_at.get((log.session, log.branch), 0.0)):
            yield from self._follow_names(log, offset)
            cursor = self.cursor(log)
            if cursor is not None and cursor.offset >= offset:
                return
        yield from look_again(log, lambda: self._look(log))

    def _follow_names(self, log: Log, offset: int) -> Steps[None]:
        """Read the extents behind the cursor by their names: one request each.

        Only soon after a look: later a name could be free again, and taken by lines that are not on the log.
        """
        while (cursor := self.cursor(log)) is not None and cursor.offset < offset:
            chain = bytes.fromhex(cursor.chain)
            name = TailName(cursor.offset, shorten(chain))
            blob: Blob | None = yield Get(log.key(name))
            fact = read_tail_meta(blob.info.meta, name) if isinstance(blob, Blob) else None
            if not isinstance(blob, Blob) or fact is None or fact.before != chain:
                return
            lines = split_lines(blob.body)
            reader, walk = _Reader(self, cursor), Walk(cursor.offset, chain)
            for line in lines:
                walk.chain, walk.offset = advance(walk.chain, line), walk.offset + len(line)
                reader.take(line, walk)
            self._move(replace(reader.cursor, written_at=max(cursor.written_at, blob.info.modified)))
            if walk.chain != fact.after or not lines:
                raise Corrupt(f"{log.key(name)} does not hold the lines that its metadata promises")

    def _look(self, log: Log) -> Steps[None]:
        asked_at = self._service.context.now()
        seen = yield from look(self._service.context, log)
        cursor = self.cursor(log)
        if seen.line is None:
            self._drop_log(log)
            return
        if cursor is not None and not (yield from self._read(cursor, seen)):
            self._drop_log(log)  # another program has overwritten it: what was indexed is not there any more
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
        end, base, reader = seen.line.end, seen.listing.base, _Reader(self, cursor)
        known = seen.line.known().get(cursor.offset)
        if cursor.offset > end.offset or (known is not None and known.hex() != cursor.chain):
            return False
        chain = bytes.fromhex(cursor.chain)
        try:
            walk = yield from trace(seen.line.segments, cursor.offset, chain, end.offset, reader.take)
        finally:
            self._move(reader.cursor)  # what was taken is in the index, whatever has ended it
        written_at = max(cursor.written_at, last_write(seen.listing, seen.info.meta))
        self._move(replace(reader.cursor, base_bytes=base.size_bytes, base_etag=base.etag, written_at=written_at))
        return walk.chain == end.chain

    def _move(self, cursor: Cursor) -> None:
        self._moved[cursor.session, cursor.branch] = cursor
        self.newest_write = max(self.newest_write, cursor.written_at)

    def take(self, place: Place, line: bytes, project: str) -> tuple[str, bool]:
        """Not public. Index one line; returns the project that it is of, and whether it is sealed."""
        what = _extract(line)
        project = what.project or project
        self.uncommitted += self.index.add(place, what, project)
        self.sealed += what.is_sealed
        return project, what.is_sealed

    def note(self, cursor: Cursor) -> None:
        """Not public. Commit, in the middle of a log, where much has come together."""
        if self.uncommitted >= COMMIT_MESSAGES:
            self._move(cursor)
            self.commit()


def _extract(line: bytes) -> Extract:
    """A line that we cannot read is a defect of ours: it is told, and keeps no other line out of the index."""
    try:
        return extract(line)
    except Exception as error:  # noqa: BLE001
        _log.error("line not indexed", error=str(unexpected(error)), bytes=len(line))
        return Extract()


class _Reader:
    """Takes the lines behind a cursor, and moves it. Of a branch those are indexed that are on no other log."""

    def __init__(self, feed: Feed, cursor: Cursor) -> None:
        self._feed = feed
        self._start = cursor
        self._parts_at = int(cursor.branch.partition("-")[0]) if cursor.branch else 0
        self._offset, self._chain, self._messages = cursor.offset, bytes.fromhex(cursor.chain), cursor.messages
        self._project, self._sealed = cursor.project, cursor.sealed

    @property
    def cursor(self) -> Cursor:
        """Where it stands."""
        return replace(
            self._start,
            offset=self._offset,
            chain=self._chain.hex(),
            messages=self._messages,
            project=self._project,
            sealed=self._sealed,
        )

    def take(self, line: bytes, walk: Walk) -> bool:
        """Index the line before `walk`."""
        feed = self._feed
        if walk.offset >= self._parts_at:
            start = self._start
            place = Place(start.session, start.branch, walk.offset - len(line), walk.offset, self._messages)
            self._project, is_sealed = feed.take(place, line, self._project)
            self._sealed += is_sealed
        self._offset, self._chain, self._messages = walk.offset, walk.chain, self._messages + 1
        feed.done.messages, feed.done.size_bytes = feed.done.messages + 1, feed.done.size_bytes + len(line)
        if feed.uncommitted >= COMMIT_MESSAGES:
            feed.note(self.cursor)
        return False
