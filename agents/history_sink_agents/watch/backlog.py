"""The files that wait to be archived: one of a session at a time, some not before their time.

What was written just now goes first, in turn. The rest is an archive's first years: the newest goes first.
"""

import heapq
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import BinaryIO, TypeAlias

from history_sink_agents.formats import Found
from history_sink_agents.formats.folders import open_regular
from history_sink_agents.formats.names import name_whole

Key: TypeAlias = int

FRESH_SECONDS = 60.0
"""A file that was written to within this time is fresh: who archives a large one lets it go first."""


def key_of(found: Found) -> Key:
    """What tells one file from another: a hash of its path and its session, as one path may hold many."""
    return hash((found.name, found.session))


@dataclass(slots=True, eq=False)
class Job:
    """A file to look at. `file` is open where it could be: if the agent deletes it now, it can still be read.

    `version` tells versions apart where the inode does not: of a session in a database.
    """

    found: Found
    mtime_ns: int
    file: BinaryIO | None = None
    inode: tuple[int, int] = (0, 0)
    attempts: int = 0
    version: tuple[int, int, int, int, int] | None = None

    @property
    def key(self) -> Key:
        return key_of(self.found)

    def close(self) -> None:
        """Let go of the file."""
        if self.file is not None:
            self.file.close()
            self.file = None


@dataclass(slots=True)
class _Heaps:
    ready: list[tuple[bool, int, int, Job]] = field(default_factory=list)  # False: fresh
    later: list[tuple[float, int, Job]] = field(default_factory=list)


class Backlog:
    """Safe for threads."""

    def __init__(self, now: Callable[[], float] = time.monotonic, clock: Callable[[], float] = time.time) -> None:
        self._now = now
        self._clock = clock
        self._changed = threading.Condition()
        self._heaps = _Heaps()
        self._numbers = count()
        self._waiting: dict[Key, list[Job]] = {}
        self._busy: set[str] = set()
        self._paused_until = 0.0
        self._is_stopped = False

    def __len__(self) -> int:
        """How many wait, and how many are being archived."""
        with self._changed:
            return sum(map(len, self._waiting.values())) + len(self._busy)

    @property
    def is_stopped(self) -> bool:
        """Whether nothing is handed out any more."""
        return self._is_stopped

    def add(self, job: Job, delay_seconds: float = 0.0) -> bool:
        """Have a file looked at, unless it waits already or nothing is any more. Returns whether it was taken."""
        with self._changed:
            if self._is_stopped:
                return False
            waiting = self._waiting.setdefault(job.key, [])
            if any(other.inode == job.inode for other in waiting):
                return False
            waiting.append(job)
            self._push(job, delay_seconds)
            self._changed.notify()
            return True

    def take(self) -> Job | None:
        """Wait for the next file. None: the backlog was stopped."""
        with self._changed:
            while not self._is_stopped:
                job = self._pop()
                if job is not None:
                    return job
                self._changed.wait(self._seconds_to_wait())
            return None

    def take_fresh(self) -> Job | None:
        """The next file if it is fresh; waits for none."""
        with self._changed:
            return None if self._is_stopped else self._pop(is_fresh=True)

    def finish(self, job: Job) -> None:
        """Note that a file that was taken has been looked at."""
        with self._changed:
            self._busy.discard(name_whole(job.found.session))
            self._changed.notify_all()

    def pause(self, seconds: float) -> None:
        """Hand out nothing for so long."""
        with self._changed:
            self._paused_until = self._now() + seconds
            self._changed.notify_all()

    def stop(self) -> None:
        """Hand out nothing any more, and let go of all files."""
        with self._changed:
            self._is_stopped = True
            for jobs in self._waiting.values():
                for job in jobs:
                    job.close()
            self._waiting.clear()
            self._changed.notify_all()

    def _push(self, job: Job, delay_seconds: float) -> None:
        number = next(self._numbers)
        if delay_seconds > 0:
            heapq.heappush(self._heaps.later, (self._now() + delay_seconds, number, job))
        else:
            is_old = abs(self._clock() - job.mtime_ns / 1e9) > FRESH_SECONDS
            heapq.heappush(self._heaps.ready, (is_old, -job.mtime_ns if is_old else 0, number, job))

    def _pop(self, *, is_fresh: bool = False) -> Job | None:
        now = self._now()
        if now < self._paused_until:
            return None
        while self._heaps.later and self._heaps.later[0][0] <= now:
            self._push(heapq.heappop(self._heaps.later)[2], 0.0)
        blocked, found = [], None
        while self._heaps.ready and found is None and not (is_fresh and self._heaps.ready[0][0]):
            entry = heapq.heappop(self._heaps.ready)
            if name_whole(entry[-1].found.session) in self._busy:
                blocked.append(entry)
            else:
                found = entry[-1]
        for entry in blocked:
            heapq.heappush(self._heaps.ready, entry)
        if found is not None:
            self._busy.add(name_whole(found.found.session))
            self._forget(found)
        return found

    def _forget(self, job: Job) -> None:
        jobs = self._waiting[job.key]
        jobs.remove(job)
        if not jobs:
            del self._waiting[job.key]

    def _seconds_to_wait(self) -> float | None:
        now = self._now()
        if now < self._paused_until:
            return self._paused_until - now
        return max(self._heaps.later[0][0] - now, 0.0) if self._heaps.later else None


def open_job(found: Found, told: os.stat_result, *, keeps_open: bool) -> Job:
    """A job for a file that was just seen. Raises `OSError` where it cannot be opened."""
    inode = told.st_dev, told.st_ino
    if found.kind == "database" or not keeps_open:
        return Job(found, told.st_mtime_ns, None, inode)
    file = open_regular(found.name)
    told = os.fstat(file.fileno())
    return Job(found, told.st_mtime_ns, file, (told.st_dev, told.st_ino))


def count_open_files() -> int:
    """How many files may be held open while they wait: a part of what the system allows."""
    if sys.platform == "win32":
        return 128
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, min(512, soft // 4))
