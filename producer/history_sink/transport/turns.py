"""Turns at a few places, first come, first served."""

import threading
from collections import deque


class Turns:
    """A semaphore that nobody overtakes at.

    At `threading.Semaphore` a thread that comes back at once is served before those that sleep: with 200 threads on 32
    connections some waited for longer than a second while others had three turns.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    def take(self, timeout_seconds: float) -> bool:
        """Wait for a place; False when the time is up. Who has got one gives it back."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            called = threading.Event()
            self._waiting.append(called)
        if called.wait(timeout_seconds):
            return True
        with self._lock:
            if called.is_set():  # between the end of the wait and here
                return True
            self._waiting.remove(called)
            return False

    def give_back(self) -> None:
        """Leave the place to whoever has waited for the longest time."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1
