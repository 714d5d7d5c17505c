"""What the watch remembers on disk: how far each file is archived. Only a hint: deleted, the store tells.

A mark is of one archive. Where the watch is pointed at another queue, it begins without marks.
"""

import json
import os
import sqlite3
import threading
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from history_sink import LogEnd
from history_sink_agents.formats import Found
from history_sink_agents.watch.look import Mark

_VERSION = "1"
_FILE = "watch.sqlite"


class State:
    """Safe for threads. Whatever is wrong with the file costs requests to the store, and nothing else."""

    def __init__(self, folder: Path, archive: str) -> None:
        """Open the state, or begin one.

        Args:
            folder: Where it lies; made for the user alone.
            archive: What names the archive, such as the queue's host.

        Raises:
            OSError: The folder cannot be made.
        """
        self._lock = threading.Lock()
        self.problem: str | None = None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / _FILE
        try:
            self._database = _open(path, archive)
        except (sqlite3.Error, OSError):  # it is damaged, and was only a hint
            for name in (_FILE, f"{_FILE}-wal", f"{_FILE}-shm"):
                with suppress(OSError):
                    (folder / name).unlink()
            try:
                self._database = _open(path, archive)
            except (sqlite3.Error, OSError) as error:  # a full disk, say
                self.problem = f"{path}: {error}"
                self._database = _open(None, archive)

    def get_mark(self, found: Found) -> Mark | None:
        """The mark of a file."""
        with self._lock:
            row = self._try("SELECT mark FROM marks WHERE path = ? AND session = ?", found.name, found.session)
        return _decode(row[0]) if row else None

    def set_mark(self, found: Found, mark: Mark) -> None:
        """Remember a mark."""
        with self._lock:
            value = json.dumps(asdict(mark))
            self._try("INSERT OR REPLACE INTO marks VALUES (?, ?, ?)", found.name, found.session, value)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def _try(self, query: str, *values: str) -> tuple[Any, ...] | None:
        try:
            row: tuple[Any, ...] | None = self._database.execute(query, values).fetchone()
            self.problem = None
            return row
        except sqlite3.Error as error:  # the disk is full, say: the store will tell
            self.problem = f"the state cannot be kept: {error}"
            return None


def _open(path: Path | None, archive: str) -> sqlite3.Connection:
    if path is not None:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    database = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None, timeout=1.0)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA cache_size = -1000")
        database.execute("CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT)")
        wanted = {"version": _VERSION, "archive": archive}
        if dict(database.execute("SELECT name, value FROM facts")) != wanted:
            database.execute("DROP TABLE IF EXISTS marks")  # another version's may have other columns
            database.execute("DELETE FROM facts")
            database.executemany("INSERT INTO facts VALUES (?, ?)", wanted.items())
        database.execute(
            "CREATE TABLE IF NOT EXISTS marks (path TEXT, session TEXT, mark TEXT, PRIMARY KEY (path, session))"
        )
    except sqlite3.Error:
        database.close()
        raise
    return database


def _decode(text: str) -> Mark | None:
    try:
        value = json.loads(text)
        end = value.pop("end")
        mark = Mark(**value, end=LogEnd(**end) if end else None)
        is_sound = all(type(each) is int for each in (mark.size_bytes, mark.mtime_ns, mark.position))
        return mark if is_sound and mark.position >= 0 and isinstance(mark.manifest, str) else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
