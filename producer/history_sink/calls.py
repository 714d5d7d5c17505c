"""Calls for asyncio: made in a thread, so that the loop goes on meanwhile, and in the order in which they came."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")


async def run_beside(call: Callable[[], T]) -> T:
    """Make `call` in a thread of the event loop's own."""
    import asyncio  # 35 ms that not every agent has to pay

    return await asyncio.to_thread(call)


class CallQueue:
    """One thread, started when it is first needed: more of them would overtake each other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None

    async def run(self, call: Callable[[], T]) -> T:
        """Make `call` behind those that came before. One that is cancelled is made even so if it has begun."""
        import asyncio
        from concurrent.futures import ThreadPoolExecutor

        with self._lock:
            self._executor = self._executor or ThreadPoolExecutor(1, thread_name_prefix="history-sink")
            made = self._executor.submit(call)
        return await asyncio.wrap_future(made)

    def close(self) -> None:
        """Wait until all that came are made."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown()

    def renew_after_fork(self) -> None:
        """In a child, which has not the thread."""
        self._lock = threading.Lock()
        self._executor = None
