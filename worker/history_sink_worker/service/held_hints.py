"""Hints that wait for the result of the save that made them: one round trip to Redis, and one wait for its disk.

Whoever asks in this process sees what is held already. Other processes see it a moment later, which costs them no more
than any hint that is a moment old.
"""

import threading
from typing import Any

from history_sink_worker.archive.hint import Hint, Hints
from history_sink_worker.service.redis_hints import RedisHints


class HeldHints(Hints):
    """Before `RedisHints`. Without `hold` all is as without it."""

    def __init__(self, hints: RedisHints) -> None:
        self._hints = hints
        self._held: dict[str, Hint] = {}
        self._here = threading.local()

    def get(self, root: str) -> Hint | None:
        """What is held, or what Redis has."""
        return self._held.get(root) or self._hints.get(root)

    def put(self, root: str, hint: Hint) -> None:
        """Hold it where this thread does so, else tell Redis now."""
        mine: set[str] | None = getattr(self._here, "roots", None)
        if mine is None:
            self._hints.put(root, hint)
        else:
            self._held[root] = hint
            mine.add(root)

    def hold(self) -> None:
        """From now on this thread's hints wait for `take` or `release`."""
        self._here.roots = set()

    def take(self) -> "TakenHints":
        """What this thread holds, to be told along with something else. Others see it until that has ended."""
        return TakenHints(self, self._take())

    def release(self) -> None:
        """Put what this thread holds, in a round trip of its own."""
        self.take().put()

    def _put(self, found: dict[str, Hint]) -> None:
        for root, hint in found.items():
            self._hints.put(root, hint)

    def _take(self) -> dict[str, Hint]:
        roots, self._here.roots = getattr(self._here, "roots", None) or (), None
        # Another thread may have gone on from it: then the newer one is told, now and by that thread.
        return {root: hint for root in roots if (hint := self._held.get(root)) is not None}

    def _drop(self, told: dict[str, Hint]) -> None:
        for root, hint in told.items():
            if self._held.get(root) is hint:
                self._held.pop(root, None)


class TakenHints:
    """Some held hints, on their way to Redis."""

    def __init__(self, held: HeldHints, found: dict[str, Hint]) -> None:
        self._held, self._found = held, found

    def add(self, pipeline: Any) -> int:
        """Add them to a pipeline of redis-py; how many commands that are."""
        return sum(self._held._hints.add(pipeline, *each) for each in self._found.items())

    def end(self, is_told: bool) -> None:
        """Redis has answered. Untold they are forgotten, and the next save looks; that these logs have moved is told
        later.
        """
        hints = self._held._hints
        if is_told:
            hints.tell_untold()
        else:
            for root, hint in self._found.items():
                hints.tell_later(root, hint)
        self._held._drop(self._found)

    def put(self) -> None:
        """In a round trip of their own, after all."""
        self._held._put(self._found)
        self._held._drop(self._found)
