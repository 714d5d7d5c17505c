"""How much is measured."""

from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """`is_full`: all of it, else a quick run. The same `seed` makes the same work."""

    is_full: bool = False
    seed: int = 1

    @property
    def scope(self) -> str:
        """``full`` or ``quick``."""
        return "full" if self.is_full else "quick"

    @property
    def rounds(self) -> int:
        """How often contestants alternate; the median is what counts."""
        return 5 if self.is_full else 3

    def pick(self, quick: T, full: T) -> T:
        """By the scope of the run."""
        return full if self.is_full else quick
