"""What an index has been given since its last commit, and how far each log is indexed with it."""

from dataclasses import dataclass

from history_sink_worker.archive.names import Log
from history_sink_worker.search.extraction import Extract
from history_sink_worker.search.folder import mark_dropped
from history_sink_worker.search.index import Index
from history_sink_worker.search.places import Cursor, Place

COMMIT_MESSAGES = 20_000
"""So many are committed at once; a log may have any number. Of fewer, each would be merged twice."""

Name = tuple[str, str | None]
"""A log's session and branch."""


@dataclass(slots=True)
class Done:
    """What was done with an index since it was opened."""

    messages: int = 0
    size_bytes: int = 0
    dropped: int = 0


class Draft:
    """For one thread. `newest_write` is in Unix seconds; `sealed` lines are in no index."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.done = Done()
        self.newest_write, self.sealed = 0.0, 0
        for cursor in index.cursors():
            self.newest_write = max(self.newest_write, cursor.written_at)
            self.sealed += cursor.sealed
        self._moved: dict[Name, Cursor | None] = {}
        self._messages = 0

    @property
    def is_empty(self) -> bool:
        """Whether a commit would change nothing."""
        return not self._moved

    @property
    def is_full(self) -> bool:
        """Whether it is to be committed, even in the middle of a log."""
        return self._messages >= COMMIT_MESSAGES

    def commit(self) -> None:
        """Make visible what was done."""
        for cursor in self._moved.values():
            if cursor is not None:
                self.index.put_cursor(cursor)
        self.index.commit()
        self._moved.clear()
        self._messages = 0

    def cursor(self, log: Log) -> Cursor | None:
        """How far a log is indexed, what is not committed included."""
        return self._find(log.session, log.branch)

    def add(self, place: Place, what: Extract, project: str, is_secret: bool) -> None:
        """Index one message. `is_secret`: its line is sealed."""
        self._messages += self.index.add(place, what, project, is_secret)
        self.sealed += what.is_sealed

    def move(self, cursor: Cursor) -> None:
        """Say how far a log is indexed."""
        self._moved[cursor.session, cursor.branch] = cursor
        self.newest_write = max(self.newest_write, cursor.written_at)

    def drop_log(self, log: Log) -> None:
        """Remove one log."""
        cursor = self.cursor(log)
        if cursor is not None:
            self.index.drop_log(log.session, log.branch)
            self._forget(cursor)

    def drop_session(self, session: str) -> None:
        """Remove all logs of a session."""
        branches = {branch for name, branch in self._moved if name == session}
        branches |= {cursor.branch for cursor in self.index.cursors(session)}
        known = [cursor for branch in branches if (cursor := self._find(session, branch)) is not None]
        if known:
            self.index.drop_session(session)
        for cursor in known:
            self._forget(cursor)

    def _find(self, session: str, branch: str | None) -> Cursor | None:
        name = session, branch
        return self._moved[name] if name in self._moved else self.index.cursor(*name)

    def _forget(self, cursor: Cursor) -> None:
        mark_dropped(self.index.folder)
        self._moved[cursor.session, cursor.branch] = None
        self.sealed -= cursor.sealed
        self.done.dropped += 1
