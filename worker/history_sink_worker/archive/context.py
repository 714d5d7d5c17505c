"""What the work on a log needs besides the store: hints, known facts, a clock, and T."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from history_sink_worker.archive.hint import Hints

FACTS_KEPT = 20_000
LINES_KEPT_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Fact:
    """What an object's metadata says: messages behind it, and the chains before and behind its lines.

    Of an append also whose it is, and at which byte of that writer's stream it begins; None: it is no part of a stream.
    """

    messages: int
    before: bytes
    after: bytes
    writer: str = ""
    position: int | None = None


class Facts:
    """Metadata of extents and strays by (key, ETag). It never changes, so a process may keep what it has read.

    It also keeps the chain of a base without metadata. Otherwise each answer about that base would read all of it.
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


class Lines:
    """What a process has written to extents, by (key, ETag): a fold need not read it again.

    Up to `LINES_KEPT_BYTES`, the newest, until they are folded.
    """

    def __init__(self) -> None:
        self._bodies: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._size_bytes = 0
        self._lock = threading.Lock()

    def get(self, key: str, etag: str) -> bytes | None:
        return self._bodies.get((key, etag))

    def put(self, key: str, etag: str, body: bytes) -> None:
        with self._lock:
            self._size_bytes += len(body) - len(self._bodies.get((key, etag), b""))
            self._bodies[key, etag] = body
            while self._size_bytes > LINES_KEPT_BYTES:
                self._size_bytes -= len(self._bodies.popitem(last=False)[1])

    def drop(self, key: str, etag: str) -> None:
        """Nobody will read it again."""
        with self._lock:
            self._size_bytes -= len(self._bodies.pop((key, etag), b""))


class BaseSizes:
    """How many bytes the base of a log had when this process read it last. It only grows."""

    def __init__(self) -> None:
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, root: str) -> int:
        return self._sizes.get(root, 0)

    def put(self, root: str, size_bytes: int) -> None:
        with self._lock:
            self._sizes[root] = size_bytes
            self._sizes.move_to_end(root)
            while len(self._sizes) > FACTS_KEPT:
                self._sizes.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Context:
    """`now` is Unix seconds. `settle_seconds` is the design's T: longer than any request to the store can linger."""

    hints: Hints
    now: Callable[[], float]
    settle_seconds: float = 7200.0
    facts: Facts = field(default_factory=Facts)
    lines: Lines = field(default_factory=Lines)
    base_sizes: BaseSizes = field(default_factory=BaseSizes)

    def is_fresh(self, asked_at: float) -> bool:
        """Whether nothing can have been folded, settled and swept since `asked_at`."""
        return self.now() - asked_at < self.settle_seconds / 2

    def is_in_time(self, began_at: float) -> bool:
        """Whether a fold that began then may still be completed.

        A store may date the new base by that beginning, and a sweep trusts the date. An eighth of T is left for the
        last request: a store takes no signature that is older than 15 minutes.
        """
        return self.now() - began_at < self.settle_seconds / 4
