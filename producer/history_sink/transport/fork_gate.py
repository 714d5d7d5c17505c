"""No fork in the middle of kombu's work.

Kombu's cached properties hold locks of their classes while they are computed, Python holds one for each module that
is being imported. A child that is forked in such a moment has them locked for ever, by a thread that it has not.
"""

import threading

LONGEST_WAIT_SECONDS = 2.0


class ForkGate:
    """Counts who is inside, and keeps everybody out while a fork is on.

    ``with gate:`` no fork while the block runs; waits for one that is on. A thread that is inside may come in again.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._inside = 0
        self._is_shut = False
        self._mine = threading.local()

    def __enter__(self) -> None:
        mine = self._mine
        mine.depth = getattr(mine, "depth", 0) + 1
        if mine.depth > 1:
            return
        with self._condition:
            if self._is_shut:
                self._condition.wait_for(lambda: not self._is_shut, LONGEST_WAIT_SECONDS)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        self._mine.depth -= 1
        if self._mine.depth:
            return
        with self._condition:
            self._inside -= 1
            if self._is_shut:
                self._condition.notify_all()

    def shut(self) -> None:
        """Before a fork: wait until nobody is inside, and let nobody in."""
        with self._condition:
            self._is_shut = True
            self._condition.wait_for(lambda: self._inside == 0, LONGEST_WAIT_SECONDS)

    def open(self) -> None:
        """After the fork, in the parent."""
        with self._condition:
            self._is_shut = False
            self._condition.notify_all()
