"""Whether a program is at work on a session: processes and file locks."""

import os
from pathlib import Path


def is_running(pid: object) -> bool:
    """Whether there is such a process. One that is not ours counts."""
    if type(pid) is not int or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def is_locked(path: Path) -> bool:
    """Whether somebody holds a lock (flock) on a file; where a platform has none, whether the file is there."""
    try:
        import fcntl
    except ImportError:  # Windows
        return path.exists()
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(number)
    return False
