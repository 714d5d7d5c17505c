"""What a worker remembers of a log's end, so that the next save needs no look at the store.

A hint is never the truth. It may be missing, old or rolled back at any time. But what it says must have been true once:
a worker would believe a junction that somebody has made up.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from history_sink.protocol.chain import Junction, shorten


@dataclass(frozen=True, slots=True)
class Hint:
    """This junction is on the main line; at `proved_at` (Unix seconds) the base did not reach past it.

    `proved_at` is taken before the last look at the log (or the write of its base) that it stands on: saves that go on
    from there, each proved by the hint before it, keep that time. `extents` and `base_bytes` (the tail's length, the
    base's size as last seen) only say when a compaction may be worth asking for, `moved_at` (Unix seconds) whether the
    log is being written to.

    Of a log that is appended to also `end` (the junction in full), and `placed`: how far the streams of some writers
    are placed on the line up to this junction, the newest last. Both are true for ever.
    """

    offset: int
    chain16: str
    proved_at: float
    extents: int = 0
    base_bytes: int = 0
    moved_at: float = 0.0
    end: Junction | None = None
    placed: tuple[tuple[str, int], ...] = ()

    def find_placed(self, writer: str) -> int | None:
        """How far the stream of `writer` is placed up to this junction; None where it is not listed."""
        return next((size for name, size in self.placed if name == writer), None)

    def move(self, end: Junction, now: float, placed: tuple[tuple[str, int], ...]) -> "Hint":
        """The hint behind an extent that was proven by this one, and that ends at `end`.

        It keeps its time, and with it somebody looks once in T/2: else no look would ever find out about a tombstone.
        """
        full = end if placed else None  # older workers can read a hint without it
        hint = replace(self, offset=end.offset, chain16=shorten(end.chain), end=full, placed=placed)
        return replace(hint, extents=self.extents + 1, moved_at=now)


WRITERS_KEPT = 64
"""So many writers a hint lists. One that is not listed costs a look at the log."""


def list_placed(placed: Mapping[str, int], before: tuple[tuple[str, int], ...] = ()) -> tuple[tuple[str, int], ...]:
    """What a hint lists: `before`, and what is `placed` since, the newest last."""
    return (*(each for each in before if each[0] not in placed), *placed.items())[-WRITERS_KEPT:]


class Hints(Protocol):
    """Where hints are kept, by the root of their log. Neither call may raise or take long."""

    def get(self, root: str) -> Hint | None: ...

    def put(self, root: str, hint: Hint) -> None: ...


class KnownHints:
    """Hints that were read before, for one question, or none: then each save costs a LIST. Nothing is put anywhere."""

    def __init__(self, known: Mapping[str, Hint] | None = None) -> None:
        self._known = known or {}

    def get(self, root: str) -> Hint | None:
        return self._known.get(root)

    def put(self, root: str, hint: Hint) -> None:
        return None
