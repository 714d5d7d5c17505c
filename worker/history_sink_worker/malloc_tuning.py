"""Has glibc give back, or use again, what a worker frees.

glibc maps a large block by itself, and unmaps it when it is freed, but each time that happens it raises the size from
which on it does so, up to 32 MiB. From then on folds and answers are cut from the arenas of the threads, where what is
freed stays: a worker that saved, folded and read a log of 174 MB grew to 536 MB, with this to 256 MB.

It also gives each thread an arena, and what one thread has freed is nothing to another: after a burst of saves a worker
of 8 threads had 107 MB, with one arena for all 96 MB. Python lets one thread run at a time, so they rarely wait for it.
"""

import ctypes

LARGE_BYTES = 1024 * 1024
_M_MMAP_THRESHOLD = -3  # mallopt(3): once it is set, it is no longer raised
_M_ARENA_MAX = -8


def tune_malloc() -> None:
    """For this process and its forks, before it starts threads. Without glibc: nothing."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(_M_ARENA_MAX, 1)
