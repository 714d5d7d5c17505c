"""What is done where a log changes while a worker is at it: `Changed` says so, and one loop looks again.

After a look, an object that it showed may go, grow, or be replaced by another one before it is read.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from history_sink_worker.archive.names import Log
from history_sink_worker.store import Away, Steps

_LOOKS = 100

T = TypeVar("T")


class Changed(Exception):
    """What was seen has changed since, by whomever: look again."""


def look_again(log: Log, attempt: Callable[[], Steps[T]]) -> Steps[T]:
    """Make an attempt, which begins with a look, again and again until the log stays as that look saw it.

    Returns the attempt's result. Raises `Away` where the log never stays so: the task is then tried again later.
    """
    for _ in range(_LOOKS):
        with suppress(Changed):
            return (yield from attempt())
    raise Away(f"{log.base} changes faster than it can be looked at")
