"""What becomes of the sinks of a process when it forks, and when it ends."""

import atexit
import os
import weakref
from typing import Protocol


class Living(Protocol):
    """What a sink does at these moments."""

    def hold_for_fork(self) -> None: ...

    def release_after_fork(self) -> None: ...

    def renew_after_fork(self) -> None: ...

    def close(self) -> None: ...


_all: "weakref.WeakSet[Living]" = weakref.WeakSet()
_held: list[Living] = []  # the same ones before a fork and after it


def watch(living: Living) -> None:
    """Tell `living` of forks from now on, and close it at the end of the process."""
    _all.add(living)


def _hold() -> None:
    _held[:] = _all
    for living in _held:
        living.hold_for_fork()


def _release() -> None:
    for living in _held:
        living.release_after_fork()
    _held.clear()


def _renew() -> None:
    for living in _held:
        living.renew_after_fork()
    _held.clear()


def _close() -> None:
    for living in [*_all]:
        living.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_renew)
atexit.register(_close)
