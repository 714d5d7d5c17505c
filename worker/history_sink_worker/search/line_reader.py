"""Take the lines behind a cursor into an index, and move the cursor."""

from dataclasses import replace

from history_sink_worker import log
from history_sink_worker.archive.trace import Walk
from history_sink_worker.search.draft import Draft
from history_sink_worker.search.extraction import Extract, extract
from history_sink_worker.search.places import Cursor, Place
from history_sink_worker.search.sealed import open_line
from history_sink_worker.task_errors import unexpected

_log = log.get("history_sink_worker")
_SPEAKERS_KEPT = 8


class LineReader:
    """Of one log. Of a branch those lines are indexed that are on no other log."""

    def __init__(self, draft: Draft, cursor: Cursor) -> None:
        self._draft = draft
        self._start = cursor
        self._parts_at = int(cursor.branch.partition("-")[0]) if cursor.branch else 0
        self._offset, self._chain, self._messages = cursor.offset, bytes.fromhex(cursor.chain), cursor.messages
        self._project, self._sealed, self._speakers = cursor.project, cursor.sealed, dict(cursor.speakers)

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
            speakers=dict(self._speakers),
        )

    def take(self, line: bytes, walk: Walk) -> bool:
        """Index the line before `walk`. Commits, in the middle of a log, where much has come together."""
        draft, start = self._draft, self._start
        if walk.offset >= self._parts_at:
            opened = open_line(start.session, line)
            what = self._find_speaker(_extract(opened))
            self._project = what.project or self._project
            self._sealed += what.is_sealed
            place = Place(start.session, start.branch, walk.offset - len(line), walk.offset, self._messages)
            draft.add(place, what, self._project, is_secret=opened is not line)
        self._offset, self._chain, self._messages = walk.offset, walk.chain, self._messages + 1
        draft.done.messages, draft.done.size_bytes = draft.done.messages + 1, draft.done.size_bytes + len(line)
        if draft.is_full:
            draft.move(self.cursor)
            draft.commit()
        return False

    def _find_speaker(self, what: Extract) -> Extract:
        """A part of OpenCode's does not say who speaks: a line before it does, which tells of its message."""
        if not what.message or not what.role:
            return what._replace(role=self._speakers.get(what.message, "")) if what.message else what
        self._speakers.pop(what.message, None)
        self._speakers[what.message] = what.role
        if len(self._speakers) > _SPEAKERS_KEPT:
            del self._speakers[next(iter(self._speakers))]
        return what


def _extract(line: bytes) -> Extract:
    """A line that we cannot read is a defect of ours: it is told, and keeps no other line out of the index."""
    try:
        return extract(line)
    except Exception as error:  # noqa: BLE001
        _log.error("line not indexed", error=str(unexpected(error)), bytes=len(line))
        return Extract()
