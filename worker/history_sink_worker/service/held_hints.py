"""Hints that wait for the result of the save that made them: one round trip to Redis, and one wait for its disk.

Whoever asks in this process sees what is held already. Other processes see it a moment later, which costs them no more
than any hint that is a moment old.
"""

import threading
from collections.abc import Callable
from typing import Any, TypeAlias

from history_sink_worker.archive.hint import Hint, Hints
from history_sink_worker.service.redis_hints import RedisHints

Add: TypeAlias = Callable[[Any], int]
"""Adds commands to a pipeline of redis-py, and tells how many."""


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
        """From now on this thread's hints wait for `tell` or `release`."""
        self._here.roots = set()

    def tell(self, send: Callable[[Add], bool]) -> bool:
        """Let `send` add the hints that this thread holds to a pipeline. Where it returns False, they are put.

        Where `send` raises they are forgotten, and the next save looks; that these logs have moved is told later.
        """
        found, is_told = self._take(), True
        try:
            is_told = send(lambda pipeline: sum(self._hints.add(pipeline, *each) for each in found.items()))
        except Exception:
            for root, hint in found.items():
                self._hints.tell_later(root, hint)
            raise
        else:
            if is_told:
                self._hints.tell_untold()
            else:
                self._put(found)
        finally:
            self._drop(found)
        return is_told

    def release(self) -> None:
        """Put what this thread holds, in a round trip of its own."""
        found = self._take()
        self._put(found)
        self._drop(found)

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
