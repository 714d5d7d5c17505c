"""Made-up homes of agents: their files as the real programs lay them out, with nobody's words in them."""

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from history_sink import HistorySink
from history_sink_agents.formats import FORMATS, Found
from history_sink_agents.formats.manifest import cut_lines, make_line
from history_sink_agents.formats.names import name_manifest
from history_sink_agents.formats.opencode import read_lines as read_events

A, B, C = (f"{digit * 8}-1111-4222-8333-{digit * 12}" for digit in "abc")
"""Ids of sessions."""


def put(home: Path, relative: str, *records: object, end: str = "\n") -> Path:
    """A file of JSON lines."""
    path = home / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record, separators=(",", ":")) + end for record in records))
    return path


def put_text(home: Path, relative: str, text: str) -> Path:
    path = home / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


SCHEMA = """
    CREATE TABLE session (id text PRIMARY KEY, project_id text, slug text, directory text, title text, version text,
        time_created integer, time_updated integer);
    CREATE TABLE event (id text PRIMARY KEY, aggregate_id text, seq integer, type text, data text);
    CREATE TABLE message (id text PRIMARY KEY, session_id text, time_created integer, time_updated integer, data text);
    CREATE TABLE part (id text PRIMARY KEY, message_id text, session_id text, time_created integer,
        time_updated integer, data text);
    CREATE TABLE account (access_token text);
"""


def open_opencode(home: Path) -> sqlite3.Connection:
    """OpenCode's database with the tables that are read, all of it in the write-ahead log as long as it is open."""
    home.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(home / "opencode.db", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA wal_autocheckpoint=0")
    database.executescript(SCHEMA)
    return database


def add_session(database: sqlite3.Connection, session: str, directory: str = "/w/proj") -> None:
    row = (session, "global", "slug", directory, "title", "1.18", 1, 2)
    database.execute("INSERT INTO session VALUES (?,?,?,?,?,?,?,?)", row)


def add_events(database: sqlite3.Connection, session: str, events: Sequence[tuple[str, object]]) -> None:
    """Behind those that there are."""
    (first,) = database.execute("SELECT count(*) FROM event WHERE aggregate_id = ?", (session,)).fetchone()
    for seq, (kind, data) in enumerate(events, first):
        row = (f"evt_{session}_{seq:04d}", session, seq, f"{kind}.1", json.dumps(data, separators=(",", ":")))
        database.execute("INSERT INTO event VALUES (?,?,?,?,?)", row)


def message(session: str, name: str, role: str = "user") -> tuple[str, object]:
    return "message.updated", {"sessionID": session, "info": {"id": name, "sessionID": session, "role": role}}


def text(session: str, name: str, words: str) -> tuple[str, object]:
    part = {"id": f"prt_{name}", "messageID": name, "sessionID": session, "type": "text", "text": words}
    return "message.part.updated", {"sessionID": session, "part": part}


def created(session: str, directory: str = "/w/proj") -> tuple[str, object]:
    info = {"id": session, "directory": directory, "title": "title", "version": "1.18", "time": {"created": 1}}
    return "session.created", {"sessionID": session, "info": info}


def archive_home(sink: HistorySink, agent: str, home: Path) -> list[Found]:
    """Archive what is found, as a watcher does: each file a log of its own, and its manifest beside it."""
    found = [*FORMATS[agent].find(home)]
    for each in found:
        whole = each.path.read_bytes() if each.kind == "whole" else None
        if each.kind == "database":
            lines = [*read_events(each)]
        else:
            lines = cut_lines(whole) if whole is not None else each.path.read_bytes().split(b"\n")[:-1]
        manifest = make_line(FORMATS[agent].manifest(each), whole)
        assert sink.append(name_manifest(each.session), manifest).state == "enqueued"
        assert sink.save(each.session, lines).state in ("enqueued", "unchanged")
        assert sink.flush(each.session)
        assert sink.flush(name_manifest(each.session))
    return found
