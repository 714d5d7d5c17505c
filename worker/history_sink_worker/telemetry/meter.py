"""Numbers from all processes of one worker, brought together in the main one, which is asked for them.

With prefork the children do the work. prometheus_client's own way for several processes, files that all of them map,
needs a disk that can be written to, and leaves a file behind for each child that ever was. Here a child writes each
number into a pipe, one line at a time, which the system does not tear apart (POSIX, `write`: up to PIPE_BUF). So the
library's locks, too, are only ever taken in the main process: a fork cannot leave one locked in a child.
"""

import json
import os
import threading
from collections.abc import Callable
from typing import Any, TypeAlias

Record: TypeAlias = Callable[[str, float, tuple[str, ...]], None]
"""Takes a metric's name, a number, and the values of its labels."""

LOST = "history_sink_lost_measurements"


class Meter:
    """One for each worker. `tell` never waits and never raises: a number is not worth a save."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._ends: tuple[int, int] | None = None
        self._is_child = False
        self._lost = 0
        os.register_at_fork(after_in_child=self._become_child)

    def open(self) -> None:
        """Take in what children will tell: to be called in the main process, before it forks."""
        if self._ends is None:
            self._ends = reader, writer = os.pipe()
            os.set_blocking(writer, False)  # a main process that is stopped must not stop the children's work
            threading.Thread(target=self._read, args=(reader,), name="meter", daemon=True).start()

    def tell(self, name: str, number: float, labels: tuple[str, ...] = ()) -> None:
        """Record a number, in the main process in the end. Without `open` a child's are forgotten."""
        if not self._is_child:
            self._record(name, number, labels)
        elif self._ends is not None:
            if self._lost and self._send(LOST, self._lost, ()):
                self._lost = 0
            self._lost += not self._send(name, number, labels)

    def _become_child(self) -> None:
        if self._ends is not None and not self._is_child:
            os.close(self._ends[0])
        self._is_child = True

    def _send(self, name: str, number: float, labels: tuple[str, ...]) -> bool:
        assert self._ends is not None
        try:
            os.write(self._ends[1], json.dumps([name, number, labels]).encode() + b"\n")
        except OSError:  # it is full, or the main process has gone
            return False
        return True

    def _read(self, reader: int) -> None:
        rest = b""
        while data := os.read(reader, 65536):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                told: Any = json.loads(line)
                self._record(told[0], told[1], tuple(told[2]))
