"""One at a time for each log, in order of arrival.

Two saves of one log that are stored side by side miss each other's hint, and each then has to look at the whole
log. This is speed only: nothing is wrong when somebody gets past.
"""

import threading
from collections import deque
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from history_sink_worker.store import Away, Denied, StoreError


class _Ticket(threading.Event):
    """Whose turn it is has it set; or learns that there is nothing to wait for."""

    error: StoreError | None = None


class Turnstile:
    """Lets the threads of this process through, one for each key at a time."""

    def __init__(self, patience_seconds: float = 30.0) -> None:
        """Nobody waits longer than `patience_seconds`: a store that hangs must not hold up all of a log's saves."""
        self._patience_seconds = patience_seconds
        self._lock = threading.Lock()
        self._lines: dict[Hashable, deque[_Ticket]] = {}

    @contextmanager
    def turn(self, key: Hashable) -> Iterator[None]:
        """Wait for your turn, and have it until the end of the block.

        Raises `StoreError` if whoever was before you met it: one after the other would wait for a store that hangs.
        """
        ticket = _Ticket()
        with self._lock:
            line = self._lines.setdefault(key, deque())
            line.append(ticket)
            line[0].set()
        try:
            ticket.wait(self._patience_seconds)
            if ticket.error is not None:
                raise type(ticket.error)(str(ticket.error))
            try:
                yield
            except (Away, Denied) as error:
                self._tell(key, error)
                raise
        finally:
            with self._lock:
                line.remove(ticket)
                if line:
                    line[0].set()
                else:
                    del self._lines[key]

    def _tell(self, key: Hashable, error: StoreError) -> None:
        with self._lock:
            for ticket in self._lines[key]:
                ticket.error = error
                ticket.set()

    def __len__(self) -> int:
        """How many keys somebody is at."""
        return len(self._lines)
