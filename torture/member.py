"""A worker or a producer: killed, stopped, and started again whenever it is not there, as by a supervisor."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from stack.processes import Process

EPITAPH = "killed by a message"
"""What a worker says, with its number, before the planted task kills it."""

_PAUSE_SECONDS = 0.5  # between an end that nobody asked for and the next start


class Member:
    """`ends` are those that nobody asked for: each with the end of the log."""

    def __init__(self, process: Process, ready_mark: str = "") -> None:
        """`ready_mark` is what its log says once it is at work."""
        self.process = process
        self._ready_mark = ready_mark
        self._is_ready = False
        self.ends: list[str] = []
        self.deaths_by_message = 0
        self.peak_rss_bytes = 0
        self._starts_at: float | None = 0.0
        """None while it runs."""

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process.is_running else None

    @property
    def is_ready(self) -> bool:
        """Whether it runs and has got to work."""
        if self.process.is_running and not self._is_ready:
            self._is_ready = self._ready_mark in self.process.log()
        return self.process.is_running and self._is_ready

    def tend(self) -> None:
        """Start it, if it is time to."""
        if self.process.is_running:
            return
        now = time.monotonic()
        if self._starts_at is None:
            self._note_end()
            self._starts_at = now + _PAUSE_SECONDS
        elif now >= self._starts_at:
            self.process.kill()  # what is left of its group
            self.process.launch()
            self._starts_at, self._is_ready = None, False

    def _note_end(self) -> None:
        if f"{EPITAPH} {self.process.pid}\n" in self.process.log_tail():
            self.deaths_by_message += 1
        else:
            self.ends.append(
                f"{self.process.name} ended with status {self.process.exit_status}:\n{self.process.log_tail()[-2500:]}"
            )

    def kill(self, down_seconds: float) -> None:
        """With everything it has started; it is started again after `down_seconds`."""
        self.measure()
        if self.process.is_running:
            self._starts_at = time.monotonic() + down_seconds
            self.process.kill()

    def kill_child(self) -> bool:
        """Kill one of a prefork worker's children; whether there was one."""
        children = children_of(self.pid) if self.pid else []
        with suppress(ProcessLookupError):
            if children:
                os.kill(children[0], signal.SIGKILL)
        return bool(children)

    def pause(self) -> None:
        """SIGSTOP."""
        if self.process.is_running:
            self.process.pause()

    def resume(self) -> None:
        """SIGCONT."""
        if self.process.is_running:
            self.process.resume()

    def measure(self) -> int:
        """The resident size of it and its children now; the greatest that one of them has ever had is kept."""
        total = 0
        for pid in (self.pid, *children_of(self.pid)) if self.pid else ():
            now_bytes, peak_bytes = _read_rss(pid)
            total += now_bytes
            self.peak_rss_bytes = max(self.peak_rss_bytes, peak_bytes)
        return total


def children_of(pid: int) -> list[int]:
    """The processes that any thread of `pid` has started; none where it is gone."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += [int(child) for child in path.read_text().split()]
    return found


def _read_rss(pid: int) -> tuple[int, int]:
    """Its resident bytes, now and at most ever; 0 where it is gone. See proc_pid_status(5)."""
    try:
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        return int(fields["VmRSS"].split()[0]) * 1024, int(fields["VmHWM"].split()[0]) * 1024
    except (OSError, KeyError):  # a zombie has no memory
        return 0, 0
