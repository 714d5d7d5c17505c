"""Look again where a log changes under whoever works on it: one exception says so, one loop catches it.

An object that a look showed may be gone, another, or longer, once it is asked for. What does not mind, asks on.
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
    """Make the attempt, which begins with a look, until the log stays as it was seen; its result.

    Raises `Away` where it never does: the work is tried again later.
    """
    for _ in range(_LOOKS):
        with suppress(Changed):
            return (yield from attempt())
    raise Away(f"{log.base} changes faster than it can be looked at")
