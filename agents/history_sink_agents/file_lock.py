"""A lock on an open file, which the system lets go of when the process ends, however it ends: each system's own."""

import sys

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def try_lock(descriptor: int) -> bool:
    """Take the lock, unless another process has it.

    Args:
        descriptor: The open file; closing it gives the lock back.

    Returns:
        Whether this process has the lock now.

    Raises:
        OSError: The file system has no locks.
    """
    try:
        _lock(descriptor)
    except (BlockingIOError, PermissionError):  # the latter on Windows
        return False
    return True
