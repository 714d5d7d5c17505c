"""The watch itself: threads that archive what waits, and a loop that learns what has changed."""

import math
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from stat import S_ISREG

from history_sink import Unavailable
from history_sink_agents.formats import Found
from history_sink_agents.formats.folders import open_regular
from history_sink_agents.watch.backlog import Backlog, Job, Key, count_open_files, key_of, open_job
from history_sink_agents.watch.carry import QUIET_SECONDS, Carried, Carrier
from history_sink_agents.watch.deliveries import Deleted, Unconfirmed
from history_sink_agents.watch.handover import Refused, Stopped
from history_sink_agents.watch.look import Look, is_unchanged
from history_sink_agents.watch.sources import Busy, LineTooLong
from history_sink_agents.watch.state import State
from history_sink_agents.watch.teller import Counts, Teller

THREADS = 4
"""Each waits for the store most of the time."""

_MOST_INTERRUPTED = 8
"""So many large files one thread may have begun: each gives way to fresh ones, which may be large themselves."""

_LAST_PAUSE_SECONDS = 30.0
"""How long nothing is tried, at most, where the queue, the workers or the store are away."""

_TOLD_ATTEMPTS = 5
_FAILED = "failed with "

_RETRY_SECONDS, _LAST_RETRY_SECONDS = 5.0, 600.0

_LAST_BUSY_SECONDS = 10.0
"""A document that its agent has left half written is parsed no more often than so."""


Told = tuple[int, int, int, int, int]
"""What a file's inode tells: device, inode, size, when it was written to, when anything of it changed."""


class Runner:
    """Archives files in threads of its own, the newest first."""

    def __init__(
        self,
        make_carrier: Callable[[Callable[[], bool]], Carrier],
        state: State,
        teller: Teller,
        *,
        threads: int = THREADS,
        open_files: int | None = None,
        attempts: float = math.inf,
    ) -> None:
        self.backlog = Backlog()
        self.counts = Counts()
        self.outage: Unavailable | None = None
        self._carrier = make_carrier(lambda: self.backlog.is_stopped)
        self._state = state
        self._teller = teller
        self._seen: dict[Key, int] = {}  # hashes of what was told: of ten thousand files it is all in memory
        self._deleted: set[str] = set()
        self._lock = threading.Lock()
        self._open_files = 0
        self._most_open = count_open_files() if open_files is None else open_files
        self._failures = 0
        self._attempts = attempts
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """End the threads. What is not archived then is, at the next start."""
        self.backlog.stop()
        deadline = time.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def look(self, found: Found, version: Told | None = None, delay_seconds: float = 0.0) -> bool:
        """Have a file archived if it has changed.

        Args:
            found: The file.
            version: What tells versions apart, where the inode does not: of a session in a database.
            delay_seconds: Not before so many seconds.

        Returns:
            Whether it waits now.
        """
        if found.session in self._deleted:
            return False
        try:
            stat = os.stat(found.name, follow_symlinks=False)
        except OSError:  # it has vanished: what is in the archive stays
            return False
        if not S_ISREG(stat.st_mode):  # something else has its name now
            return False
        told = version or _tell(stat)
        if self._is_seen(found, told):
            return False
        with self._lock:
            keeps_open = self._open_files < self._most_open
        try:
            job = open_job(found, stat, keeps_open=keeps_open)
        except FileNotFoundError:
            return False
        except OSError as error:
            self._fail(found, f"cannot be read: {error.strerror}")
            return False
        if job.file is not None:
            with self._lock:
                self._open_files += 1
        job.version = version
        if not self.backlog.add(job, delay_seconds):
            self._close(job)
            return False
        return True

    def _is_seen(self, found: Found, told: Told) -> bool:
        key = key_of(found)
        if (
            key not in self._seen
            and found.kind != "database"
            and is_unchanged(self._state.get_mark(found), Look(*told))
        ):
            self._seen[key] = hash(told)
        return self._seen.get(key) == hash(told)

    def _work(self) -> None:
        while (job := self.backlog.take()) is not None:
            self._do(job, 0)

    def _give_way(self, depth: int) -> None:
        """Between two batches of a large file: archive what was written meanwhile to others."""
        while depth <= _MOST_INTERRUPTED and (job := self.backlog.take_fresh()) is not None:
            self._do(job, depth)

    def _do(self, job: Job, depth: int) -> None:
        try:
            self._carry(job, depth)
        finally:
            self._close(job)
            self.backlog.finish(job)

    def _carry(self, job: Job, depth: int) -> None:
        found = job.found
        try:
            file = job.file or (None if found.kind == "database" else open_regular(found.name))
            try:
                told = job.version or (None if file is None else _tell(os.fstat(file.fileno())))
                carried = self._carrier.carry(found, file, partial(self._give_way, depth + 1))
            finally:
                if file is not None and file is not job.file:
                    file.close()
        except FileNotFoundError:
            return
        except Busy:
            delay = back_off(QUIET_SECONDS / 2, job.attempts, _LAST_BUSY_SECONDS)
            self._again(job, delay, "is being rewritten all the time")
        except Unavailable as error:
            self._pause(error)
            self._again(job, back_off(1.0, job.attempts, _LAST_PAUSE_SECONDS), str(error))
        except Unconfirmed:
            delay = back_off(_RETRY_SECONDS, job.attempts, _LAST_RETRY_SECONDS)
            self._again(job, delay, "is handed over, and the store has not confirmed it yet")
        except Deleted:
            self._deleted.add(found.session)
            self._fail(found, "an operator has deleted the session: it is archived no more")
        except Stopped:
            return
        except (Refused, LineTooLong) as error:
            self._note(job, told)  # until it changes
            self._fail(found, str(error))
        except OSError as error:
            self._fail(found, f"cannot be read: {error.strerror or error}")
        except Exception as error:  # noqa: BLE001  # one file must not end the watch of all others
            delay = back_off(_RETRY_SECONDS, job.attempts, _LAST_RETRY_SECONDS)
            self._again(job, delay, _FAILED + type(error).__name__)
        else:
            self._succeed(job, told, carried)

    def _succeed(self, job: Job, told: Told | None, carried: Carried) -> None:
        self._note(job, told)
        with self._lock:
            is_back, self.outage, self._failures = self.outage is not None, None, 0
            self.counts.files += carried.messages > 0
            self.counts.messages += carried.messages
            self.counts.bytes += carried.bytes
        if is_back:
            self._teller.back()
        self._teller.carried(job.found, carried)

    def _note(self, job: Job, told: Told | None) -> None:
        if told is not None:
            self._seen[job.key] = hash(told)

    def _fail(self, found: Found, reason: str) -> None:
        with self._lock:
            self.counts.problems += 1
        self._teller.problem(found, reason)

    def _pause(self, error: Unavailable) -> None:
        """One failure may be about one session. From the second on nothing is tried for a while."""
        with self._lock:
            self._failures += 1
            if self._failures < 2:
                return
            is_new, self.outage = self.outage is None, error
            self.backlog.pause(back_off(1.0, self._failures - 2, _LAST_PAUSE_SECONDS))
        if is_new:
            self._teller.away(str(error))

    def _again(self, job: Job, delay_seconds: float, reason: str) -> None:
        """Look again, with the same open file: the agent may have deleted it."""
        if job.attempts + 1 >= self._attempts:
            self._fail(job.found, reason)
            return
        if job.attempts + 1 == _TOLD_ATTEMPTS:
            self._teller.problem(job.found, reason)
        again = replace(job, attempts=job.attempts + 1)
        if self.backlog.add(again, delay_seconds):
            job.file = None

    def _close(self, job: Job) -> None:
        if job.file is not None:
            job.close()
            with self._lock:
                self._open_files -= 1


def back_off(first_seconds: float, failures: int, longest_seconds: float) -> float:
    """How long to wait after so many failures before this one: twice as long each time, however many there were."""
    return min(first_seconds * 2.0 ** min(failures, 30), longest_seconds)


def _tell(stat: os.stat_result) -> Told:
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
