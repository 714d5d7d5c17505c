"""OpenCode: the event table of its database, read without writing, one line an event.

The tables of accounts and credentials lie in the same file, so the file itself is never sent. An undo deletes rows,
and a deletion takes the events too; what was archived stays. A session that was imported has events only from then on:
they are a log of their own, and what is older is a third one, made of the rows.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from history_sink_agents.formats.format import Found, Unreadable
from history_sink_agents.formats.names import name_part, name_session
from history_sink_agents.formats.patterns import describe_file

DATABASE = "opencode.db"
OLDER = "older"
"""The part of a session that no event tells."""

_CREATED = "session.created.1"
_FIRST = """
    SELECT s.id, e.id, e.type FROM session s LEFT JOIN event e ON e.aggregate_id = s.id
    AND e.seq = (SELECT min(seq) FROM event WHERE aggregate_id = s.id)
"""
_EVENTS = "SELECT id, seq, type, data FROM event WHERE aggregate_id = ? ORDER BY seq LIMIT -1 OFFSET ?"
_UNTOLD = """
    SELECT id, data FROM message WHERE session_id = ? AND id NOT IN (
        SELECT json_extract(data, '$.info.id') FROM event WHERE aggregate_id = ? AND type = 'message.updated.1'
    ) ORDER BY time_created, id
"""
_COUNT = "SELECT aggregate_id, count(*), max(seq) FROM event GROUP BY aggregate_id"
_PARTS = "SELECT id, data FROM part WHERE message_id = ? ORDER BY id"


class OpenCodeFormat:
    """Each session of the database is found by itself; all have the same path."""

    name = "opencode"

    def home(self, environ: Mapping[str, str], user_home: Path) -> Path:
        """See `Format`."""
        given = environ.get("XDG_DATA_HOME", "")
        return (Path(given).absolute() if given else user_home / ".local" / "share") / "opencode"

    def find(self, home: Path) -> Iterator[Found]:
        """See `Format`."""
        path = home / DATABASE
        if not _is_file(path):
            return
        for session, first, kind in _ask(path, _FIRST):
            if name_part(session) != session:  # else no id could be read from the name again
                continue
            if first and kind == _CREATED:
                yield self._name(home, session)
                continue
            yield self._name(home, session, OLDER)
            if first:
                yield self._name(home, session, f"from-{first}")

    def manifest(self, found: Found) -> Mapping[str, object]:
        """See `Format`."""
        rows = _ask(found.path, "SELECT directory FROM session WHERE id = ?", _read_id(found))
        return describe_file(found, rows[0][0] if rows else None)

    def _name(self, home: Path, session: str, part: str = "") -> Found:
        return Found(self.name, home, DATABASE, name_session(self.name, session, part), "database")


OPENCODE = OpenCodeFormat()


def read_lines(found: Found, skip: int = 0) -> Iterator[bytes]:
    """The lines of a session, each with its newline, but for the first `skip`.

    Events only come to be, in order, until the agent deletes the session: then there are none.

    Raises:
        Unreadable: The database cannot be read.
    """
    session = _read_id(found)
    if found.session.endswith(f".{OLDER}"):
        yield from _read_older(found.path, session)[skip:]
        return
    with closing(_open(found.path)) as database:
        try:
            for event, seq, kind, data in database.execute(_EVENTS, (session, skip)):
                yield _make_line(event, seq, kind, data)
        except sqlite3.Error as error:
            raise Unreadable(f"{found.path}: {error}") from None


def count_events(path: Path) -> dict[str, tuple[int, int]]:
    """How many events each session has, and the last one's number; nothing where that cannot be told now."""
    try:
        return {session: (events, last) for session, events, last in _ask(path, _COUNT)}
    except Unreadable:
        return {}


def _read_older(path: Path, session: str) -> list[bytes]:
    """What no event tells, written as events without a number: the session, its messages, their parts."""
    lines = [
        _make_line(None, None, _CREATED, json.dumps({"sessionID": session, "info": _describe(dict(row))}))
        for row in _ask(path, "SELECT * FROM session WHERE id = ?", session)
    ]
    for message, data in _ask(path, _UNTOLD, session, session):
        info = {**json.loads(data), "id": message, "sessionID": session}
        lines.append(_make_line(None, None, "message.updated.1", json.dumps({"sessionID": session, "info": info})))
        for part, inner in _ask(path, _PARTS, message):
            whole = {**json.loads(inner), "id": part, "sessionID": session, "messageID": message}
            lines.append(
                _make_line(None, None, "message.part.updated.1", json.dumps({"sessionID": session, "part": whole}))
            )
    return lines


def _describe(row: Mapping[str, Any]) -> dict[str, Any]:
    """The session's row as its events tell it."""
    names = {"projectID": "project_id", "parentID": "parent_id"}
    names |= {name: name for name in ("id", "slug", "directory", "path", "title", "version", "agent", "cost")}
    info = {name: row[column] for name, column in names.items() if row.get(column) is not None}
    for name in ("model", "permission"):
        if row.get(name):
            info[name] = json.loads(row[name])
    tokens = {name: row.get(f"tokens_{name}", 0) for name in ("input", "output", "reasoning")}
    cache = {name: row.get(f"tokens_cache_{name}", 0) for name in ("read", "write")}
    time = {"created": row["time_created"], "updated": row["time_updated"]}
    return {**info, "tokens": {**tokens, "cache": cache}, "time": time}


def _make_line(event: str | None, seq: int | None, kind: str, data: str) -> bytes:
    """The event's own data stays as it is, unless it has a newline in it."""
    head = json.dumps({"id": event, "seq": seq, "type": kind}, separators=(",", ":"))[:-1]
    data = json.dumps(json.loads(data), ensure_ascii=False) if "\n" in data else data
    return f'{head},"data":{data}}}\n'.encode("utf-8", "surrogatepass")


def _read_id(found: Found) -> str:
    return found.session.split(".")[1]


def _is_file(path: Path) -> bool:
    return os.path.isfile(path) and not os.path.islink(path)


def _open(path: Path) -> sqlite3.Connection:
    if not _is_file(path):  # SQLite would wait for who writes to a pipe
        raise Unreadable(f"{path}: there is no such file")
    try:  # without mode=ro, the last one to close the database would fold its log in
        return sqlite3.connect(f"file:{quote(os.fspath(path))}?mode=ro", uri=True, timeout=2.0)
    except sqlite3.Error as error:
        raise Unreadable(f"{path}: {error}") from None


def _ask(path: Path, query: str, *values: object) -> list[sqlite3.Row]:
    with closing(_open(path)) as database:
        database.row_factory = sqlite3.Row
        try:
            return database.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise Unreadable(f"{path}: {error}") from None
