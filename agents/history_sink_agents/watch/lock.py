"""One watch at a time: a lock on a file, which the system lets go of when the process ends, however it ends."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Taken(OSError):
    """Another process has the lock."""


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold the lock while the block runs.

    Args:
        path: The file; made where it is not there, and left behind.

    Raises:
        Taken: Another process holds it.
        OSError: The file cannot be made.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            _lock(descriptor)
        except OSError:
            raise Taken(f"another watch runs: it holds {path}") from None
        yield
    finally:
        os.close(descriptor)
