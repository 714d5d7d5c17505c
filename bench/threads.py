"""The same work by several threads for some seconds."""

import threading
import time
from collections.abc import Callable


def run_all(act: Callable[[int], None], threads: int, seconds: float) -> tuple[int, float]:
    """`act` with 0, 1, 2 and so on, by so many threads for so long; how many were done, and the seconds it took.

    One thread takes the numbers n, n + `threads` and so on, each after the other: what shares a remainder is in order.
    """
    counts = [0] * threads
    failures: list[BaseException] = []
    began = time.perf_counter()

    def work(first: int) -> None:
        try:
            while time.perf_counter() - began < seconds:
                act(first + threads * counts[first])
                counts[first] += 1
        except BaseException as error:
            failures.append(error)
            raise

    workers = [threading.Thread(target=work, args=(first,)) for first in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        raise failures[0]
    return sum(counts), time.perf_counter() - began
