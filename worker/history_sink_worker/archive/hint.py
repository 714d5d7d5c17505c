"""What a worker remembers of a log's end, so that the next save needs no look at the store.

Never the truth: it may be missing, old or rolled back at any time. What it says was true once, though: a made-up
junction would be believed.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Hint:
    """This junction is on the main line; at `proved_at` (Unix seconds) the base did not reach past it.

    `proved_at` is taken before the last look at the log (or the write of its base) that it stands on: saves that go on
    from there, each proved by the hint before it, keep that time. `extents` and `base_bytes` (the tail's length, the
    base's size as last seen) only say when a compaction may be worth asking for, `moved_at` (Unix seconds) whether the
    log is being written to.
    """

    offset: int
    chain16: str
    proved_at: float
    extents: int = 0
    base_bytes: int = 0
    moved_at: float = 0.0


class Hints(Protocol):
    """Where hints are kept, by the root of their log. Neither call may raise or take long."""

    def get(self, root: str) -> Hint | None: ...

    def put(self, root: str, hint: Hint) -> None: ...


class NoHints:
    """Without Redis: each save costs a LIST."""

    def get(self, root: str) -> Hint | None:
        return None

    def put(self, root: str, hint: Hint) -> None:
        return None
