"""Is a worker's memory flat? Judged from its resident size, once a second. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

BOUND_BYTES = 10_000_000
"""Growth, from one third of a worker's life to the next, that is no longer flat.

In ten minutes a worker that is never killed stores some 3,000 saves in a third: to keep 3 KB of each, which is one
message of a transcript, would be over it. What a worker needs once (imports, connections, one save in each of its
threads) it has after the first third, and that third is left out.
"""

JUDGED_SECONDS = 60.0
"""A worker that lived for less is not judged: it has hardly got to work."""


@dataclass(frozen=True)
class Sample:
    """Resident bytes of a worker and its children, `at_seconds` of the torture. Each start of it has its own `pid`."""

    worker: str
    pid: int
    at_seconds: float
    rss_bytes: int


@dataclass(frozen=True)
class Life:
    """One worker from a start to its end: how long, and the median size in each third of that."""

    worker: str
    seconds: float
    thirds_bytes: tuple[int, int, int]

    @property
    def growth_bytes(self) -> int:
        """From the second third to the last; below 0 if it shrank."""
        return self.thirds_bytes[2] - self.thirds_bytes[1]

    @property
    def is_flat(self) -> bool:
        return self.growth_bytes <= BOUND_BYTES

    def text(self) -> str:
        """Megabytes are of 10^6 bytes."""
        sizes = ", ".join(f"{size / 1e6:.1f}" for size in self.thirds_bytes)
        return f"{self.worker} lived {self.seconds:.0f} s: median RSS {sizes} MB in its thirds"


def measure_lives(samples: Iterable[Sample]) -> list[Life]:
    """Those that were long enough, longest first."""
    by_life: dict[tuple[str, int], list[Sample]] = {}
    for sample in samples:
        by_life.setdefault((sample.worker, sample.pid), []).append(sample)
    lives = [_measure(life) for life in by_life.values()]
    return sorted((life for life in lives if life.seconds >= JUDGED_SECONDS), key=lambda life: -life.seconds)


def _measure(life: list[Sample]) -> Life:
    start, end = life[0].at_seconds, life[-1].at_seconds
    thirds: list[list[int]] = [[], [], []]
    for sample in life:
        thirds[min(2, int(3 * (sample.at_seconds - start) / max(end - start, 1e-9)))].append(sample.rss_bytes)
    first, second, third = (round(median(sizes)) if sizes else 0 for sizes in thirds)
    return Life(life[0].worker, end - start, (first, second, third))
