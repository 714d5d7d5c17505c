"""Gives large blocks back to the system when they are freed.

glibc maps a large block by itself, and unmaps it when it is freed, but each time that happens it raises the size from
which on it does so, up to 32 MiB. From then on folds and answers are cut from the arenas of the threads, where what is
freed stays: a worker that saved, folded and read a log of 174 MB grew to 536 MB, with this to 256 MB.
"""

import ctypes

LARGE_BYTES = 1024 * 1024
_M_MMAP_THRESHOLD = -3  # mallopt(3): once it is set, it is no longer raised


def give_back_large_blocks() -> None:
    """For this process and its forks. Without glibc: nothing."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
