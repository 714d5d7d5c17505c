"""How a task ends that did not do its work, in words that hold no content."""

import traceback
from typing import NoReturn

from history_sink.errors import HistorySinkError


class _Shown(HistorySinkError):
    """Shown by Flower as its repr: so that is written for people. One text, and picklable (prefork)."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self}"


class Refused(_Shown):
    """The task can never succeed: its payload is not what it must be."""


class Waiting(_Shown):
    """The task could not do its work yet, and will be tried again. The text says what it waits for."""


class Unexpected(_Shown):
    """A defect of ours. The text names the kind of error and the place, not the error's own text."""


def refuse(reason: str) -> NoReturn:
    """End a task that can never succeed."""
    raise Refused(reason)


def unexpected(error: Exception) -> Unexpected:
    """What may be shown of an error whose text may hold anything."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else "an unknown place"
    return Unexpected(f"{type(error).__name__} at {place}")
