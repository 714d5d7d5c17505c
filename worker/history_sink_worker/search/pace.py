"""How often an indexer does what."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """In seconds. `purge`: at the latest so long after a deletion an index without its words is begun.

    `build`: between two commits while the index is built for the first time. More of them would be more to merge.
    """

    tick: float = 0.1
    commit: float = 0.5
    build: float = 5.0
    beat: float = 1.0
    compare: float = 3600.0
    compare_again: float = 10.0
    purge: float = 12 * 3600.0


USUAL_PACE = Pace()
