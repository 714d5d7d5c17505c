"""What the work on a log needs besides the store: hints, known facts, a clock, and T."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from history_sink_worker.archive.hint import Hints

FACTS_KEPT = 20_000


@dataclass(frozen=True, slots=True)
class Fact:
    """What an object's metadata says: messages behind it, and the chains before and behind its lines."""

    messages: int
    before: bytes
    after: bytes


class Facts:
    """Metadata of extents and strays by (key, ETag). It never changes, so a process may keep what it has read.

    Also the chain of a base that has no metadata, and would be read anew for each answer about it.
    """

    def __init__(self) -> None:
        self._facts: OrderedDict[tuple[str, str], Fact] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str, etag: str) -> Fact | None:
        return self._facts.get((key, etag))

    def put(self, key: str, etag: str, fact: Fact) -> None:
        with self._lock:
            self._facts[key, etag] = fact
            while len(self._facts) > FACTS_KEPT:
                self._facts.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Context:
    """`now` is Unix seconds. `settle_seconds` is the design's T: longer than any request to the store can linger."""

    hints: Hints
    now: Callable[[], float]
    settle_seconds: float = 7200.0
    facts: Facts = field(default_factory=Facts)

    def is_fresh(self, asked_at: float) -> bool:
        """Whether nothing can have been folded, settled and swept since `asked_at`."""
        return self.now() - asked_at < self.settle_seconds / 2
