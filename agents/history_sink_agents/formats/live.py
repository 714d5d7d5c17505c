"""Whether a program is at work on a session: processes and file locks."""

import os
import sys
from pathlib import Path

if sys.platform == "win32":
    import ctypes

    _QUERY_LIMITED_INFORMATION = 0x1000

    def is_running(pid: object) -> bool:
        """Whether there is such a process. (There, a signal 0 would reach it.)"""
        if type(pid) is not int or pid <= 0:
            return False
        handle = ctypes.windll.kernel32.OpenProcess(_QUERY_LIMITED_INFORMATION, False, pid)
        if handle:
            ctypes.windll.kernel32.CloseHandle(handle)
        return bool(handle)

    def is_locked(path: Path) -> bool:
        """Whether the file of a lock is there: who holds it cannot be asked."""
        return path.exists()

else:
    import fcntl

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
        """Whether somebody holds a lock (flock) on a file."""
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
