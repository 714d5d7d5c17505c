"""How this machine's clock stands to Redis's: questions end by a time that workers compare with their own clocks.

Redis is asked now and then, with a question, which waits for it anyway. A save alone never asks.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from history_sink.protocol.contract import CLOCK_TOLD_SECONDS

REFRESH_SECONDS = 60.0
_JUMP_SECONDS = 1.0
"""The clock was set, or the machine slept, where two clocks of its own have gone so far apart."""


@dataclass(frozen=True, slots=True)
class _Comparison:
    """`wall` and `monotonic` are this machine's clocks when it was made; `ahead_seconds` None: Redis does not say."""

    wall: float
    monotonic: float
    ahead_seconds: float | None


class BrokerClock:
    """Redis's clock, as far as it is known, and else this machine's. Safe for threads."""

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._last: _Comparison | None = None

    @property
    def ahead_seconds(self) -> float | None:
        """How far this machine's clock is ahead of Redis's (negative: behind), as last compared; None: not known."""
        return self._last.ahead_seconds if self._last else None

    @property
    def is_due(self) -> bool:
        """Whether they should be compared: never done, long ago, or this machine's clock has jumped since."""
        if self._last is None:
            return True
        passed = self._monotonic() - self._last.monotonic
        return passed >= REFRESH_SECONDS or abs(self._wall() - self._last.wall - passed) >= _JUMP_SECONDS

    def compare(self, ask: Callable[[], float | None]) -> None:
        """Compare them. `ask` returns Redis's Unix time, None where it may not be told; what it raises goes through."""
        began = self._wall()
        told = ask()
        wall = self._wall()
        ahead_seconds = None if told is None else (began + wall) / 2 - told
        self._last = _Comparison(wall, self._monotonic(), ahead_seconds)

    def now(self) -> float:
        """Unix seconds."""
        return self._wall() - (self.ahead_seconds or 0.0)


def find_skew(ahead_seconds: float | None) -> float | None:
    """A difference worth telling, None for a smaller one and for one that is not known."""
    return None if ahead_seconds is None or abs(ahead_seconds) < CLOCK_TOLD_SECONDS else round(ahead_seconds, 1)


def describe_skew(ahead_seconds: float | None) -> str | None:
    """The same in words."""
    if ahead_seconds is None or find_skew(ahead_seconds) is None:
        return None
    direction = "ahead of" if ahead_seconds > 0 else "behind"
    return f"this machine's clock is {abs(ahead_seconds):,.0f} s {direction} Redis's"


def explain_expiry(ahead_seconds: float | None) -> str:
    """Whose clock is wrong, where a worker took a question for too old that was asked a moment ago."""
    found = "a worker took the question for too old as it came: "
    if ahead_seconds is None:
        return f"{found}its clock or this machine's is wrong by a quarter of an hour or more; set them (NTP)"
    return f"{found}the worker's clock is a quarter of an hour or more ahead of Redis's; set it (NTP)"
