"""A short memory of failure: while the broker is known to be away, nobody waits to find it out again."""

import threading
import time
from collections.abc import Callable

from history_sink.errors import Unavailable

PAUSE_SECONDS = 1.0


class Breaker:
    """After a failure, one try a second; all others are told at once."""

    def __init__(self, pause_seconds: float = PAUSE_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause_seconds = pause_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._reason: str | None = None
        self._next_try = 0.0

    def check(self) -> None:
        """Raise `Unavailable` if the last failure is too short a time ago."""
        if self._reason is not None and self._clock() < self._next_try:
            raise Unavailable(self._reason)

    def enter(self) -> None:
        """Begin a try, or raise `Unavailable`: of all who come after the pause, one tries."""
        with self._lock:
            self.check()
            self._next_try = self._clock() + self._pause_seconds

    def fail(self, reason: str) -> Unavailable:
        """The try failed; the error to raise."""
        with self._lock:
            self._reason = reason
            self._next_try = self._clock() + self._pause_seconds
        return Unavailable(reason)

    def succeed(self) -> None:
        self._reason = None
