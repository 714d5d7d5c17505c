"""One watch at a time: a lock on a file, which the system lets go of when the process ends, however it ends."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from history_sink_agents.file_lock import try_lock


class Taken(OSError):
    """Another process has the lock."""


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold the lock while the block runs.

    Args:
        path: The file; made where it is not there, and left behind.

    Raises:
        Taken: Another process holds it.
        OSError: The file cannot be made, or not be locked.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        if error.errno != errno.EROFS or not os.path.isfile(path):
            raise
        descriptor = os.open(path, os.O_RDONLY)  # a disk that has become read-only is to be archived all the more
    try:
        if not try_lock(descriptor):
            raise Taken(f"another watch runs: it holds {path}")
        yield
    finally:
        os.close(descriptor)
