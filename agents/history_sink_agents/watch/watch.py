"""What is to be archived, and when: all files at the start and now and then, and each one that has changed."""

import logging
import os
import stat
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event

from history_sink_agents.formats import Found, Unreadable
from history_sink_agents.formats.opencode import count_events
from history_sink_agents.restored import recall
from history_sink_agents.watch.carry import QUIET_SECONDS, is_fresh
from history_sink_agents.watch.follow import follow
from history_sink_agents.watch.homes import Home
from history_sink_agents.watch.runner import Runner, Told

log = logging.getLogger("history_sink_agents.watch")

RECONCILE_SECONDS = 60.0
"""All files are looked at so often, whatever the system has told; less often where that takes long."""

_MANY, _PATIENCE_SECONDS = 100, 600.0
"""While more files than this wait, all are looked at so much later: what is known of each would be in memory twice."""

_SHARE = 200
"""A look at all files is this many times rarer than it is long: half a percent of a core."""

_FIND_SECONDS = 1.0
"""One agent's files are listed anew at most so often."""

_ROWS_SECONDS = 0.5


class Watch:
    """Not for two threads at once."""

    def __init__(self, runner: Runner, homes: Sequence[Home], state_folder: Path) -> None:
        self._runner = runner
        self._homes = homes
        self._state_folder = state_folder
        self._files: dict[str, tuple[Found, ...]] = {}
        self._before: dict[str, tuple[Found, ...]] = {}  # while all are listed: what is the same is kept once
        self._due: dict[Home, float] = {}  # when an agent's files are to be listed
        self._rows_due: dict[str, float] = {}  # when a database is to be asked
        self._last: dict[Home | str, float] = {}  # when that was done last
        self._problems: set[str] = set()
        self.listed = 0

    def look_at_all(self) -> int:
        """List all files, and have those archived that have changed. Returns how many those are."""
        self._before, self._files = self._files, {}
        count = sum(self._list(home) for home in self._homes)
        self._before = {}
        self.listed = sum(map(len, self._files.values()))
        return count

    def run(self, stop: Event) -> None:
        """Follow the files until `stop` is set."""
        while not stop.is_set():
            homes, next_look = self._existing(), 0.0
            for changed in follow([path for path, *_ in homes], stop):
                self._note(changed)
                self._do_due()
                if time.monotonic() >= next_look + (_PATIENCE_SECONDS if self._is_busy else 0.0):
                    next_look = self._reconcile()
                if self._existing() != homes:
                    break  # the system is asked about the new one, too

    @property
    def _is_busy(self) -> bool:
        return len(self._runner.backlog) > _MANY

    def _existing(self) -> list[tuple[Path, int, int]]:
        """Homes that are there, and what tells them from others that were made in their place."""
        existing = []
        for home in self._homes:
            with suppress(OSError):
                told = os.stat(home.path)
                if stat.S_ISDIR(told.st_mode):
                    existing.append((home.path, told.st_dev, told.st_ino))
        return existing

    def _reconcile(self) -> float:
        start = time.thread_time()
        self.look_at_all()
        return time.monotonic() + max(RECONCILE_SECONDS, _SHARE * (time.thread_time() - start))

    def _list(self, home: Home) -> int:
        """The files of one agent."""
        notes = recall(self._state_folder)
        try:
            found = [*home.find()]
            self._problems.discard(home.format.name)
        except Unreadable as error:
            if home.format.name not in self._problems:
                log.warning("%s", error)
            self._problems.add(home.format.name)
            return 0
        count = 0
        databases: dict[str, list[Found]] = {}
        for each in found:
            note = notes.get(name := each.name)
            each = replace(each, session=note.session) if note and each.kind != "database" else each
            if each.kind == "database":
                databases.setdefault(name, []).append(each)
            else:
                known = self._files.get(name) or self._before.get(name)
                self._files[name] = known if known and known[0] == each else (each,)
                count += self._look(self._files[name][0])
        for path, sessions in databases.items():
            self._files[path] = (*sessions,)
            count += self._look_at_rows(path, is_all=True)
        return count

    def _look(self, found: Found) -> bool:
        return self._runner.look(found, delay_seconds=QUIET_SECONDS if _is_fresh(found) else 0.0)

    def _look_at_rows(self, path: str, *, is_all: bool = False) -> int:
        """Have those sessions of a database archived that have grown."""
        counts, count = count_events(Path(path)), 0
        stamp = _stamp(path) if is_all else 0
        for found in self._files.get(path, ()):
            session, _, part = found.session.removeprefix(f"{found.agent}.").partition(".")
            version: Told = (*counts.pop(session, (0, 0)), 0, stamp if part else 0, 0)
            if is_all or not part:
                count += self._runner.look(found, version)
        if counts and not is_all:  # of sessions that are new
            self._note_unknown(path)
        return count

    def _note(self, changed: Iterable[str]) -> None:
        for path in changed:
            database = path.removesuffix("-wal").removesuffix("-shm")
            files = self._files.get(database, ())
            if files and files[0].kind == "database":
                self._rows_due.setdefault(database, self._last.get(database, 0.0) + _ROWS_SECONDS)
            elif path in self._files:
                for found in self._files[path]:
                    self._look(found)
            else:
                self._note_unknown(path)

    def _note_unknown(self, path: str) -> None:
        for home in self._homes:
            if home.is_of_interest(path):
                self._due.setdefault(home, self._last.get(home, 0.0) + _FIND_SECONDS)

    def _do_due(self) -> None:
        now = time.monotonic()
        for path in [path for path, due in self._rows_due.items() if due <= now]:
            del self._rows_due[path]
            self._last[path] = now
            self._look_at_rows(path)
        for home in [home for home, due in self._due.items() if due <= now]:
            del self._due[home]
            self._list(home)
            self._last[home] = now


def _is_fresh(found: Found) -> bool:
    """Whether a file that is rewritten in place was just written to."""
    if found.kind != "whole":
        return False
    try:
        return is_fresh(os.stat(found.name).st_mtime_ns, time.time())
    except OSError:
        return False


def _stamp(path: str) -> int:
    """When a database was written to last."""
    stamps = [0]
    for each in (path, f"{path}-wal"):
        with suppress(OSError):
            stamps.append(os.stat(each).st_mtime_ns)
    return max(stamps)
