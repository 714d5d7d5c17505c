"""Calls for asyncio: made in threads, so that the loop goes on meanwhile. A session's keep their order."""

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

T = TypeVar("T")

THREADS = 256
"""At most so many calls are made side by side. Threads are started as they are needed."""


async def run_beside(call: Callable[[], T]) -> T:
    """Make `call` in a thread of the event loop's own."""
    import asyncio  # 35 ms that not every agent has to pay

    return await asyncio.to_thread(call)


class CallQueue:
    """A queue for each session, each emptied by one thread at a time: two of them would overtake each other."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._savers: ThreadPoolExecutor | None = None
        self._waiters: ThreadPoolExecutor | None = None
        self._queues: dict[str, deque[tuple[Future[Any], Callable[[], Any]]]] = {}

    async def run(self, session: str, call: Callable[[], T]) -> T:
        """Make `call` behind those of its session that came before. Cancelled, it is made if it has begun."""
        import asyncio
        from concurrent.futures import Future

        made: Future[T] = Future()
        with self._lock:
            queue = self._queues.get(session)
            if queue is None:
                self._savers = self._savers or _make_threads()
                queue = self._queues[session] = deque()
                self._savers.submit(self._empty, session, queue)
            queue.append((made, call))
        return await asyncio.wrap_future(made)

    async def run_aside(self, call: Callable[[], T]) -> T:
        """Make a `call` that may wait long, in a thread that no save needs."""
        import asyncio

        with self._lock:  # the event loop's own threads are as few as the processors
            self._waiters = self._waiters or _make_threads()
            made = self._waiters.submit(call)
        return await asyncio.wrap_future(made)

    def close(self) -> None:
        """Wait until all that came to `run` are made."""
        with self._lock:
            savers, self._savers = self._savers, None
            waiters, self._waiters = self._waiters, None
        if savers is not None:
            savers.shutdown()
        if waiters is not None:
            waiters.shutdown(wait=False)

    def renew_after_fork(self) -> None:
        """In a child, which has not the threads."""
        self._reset()

    def _empty(self, session: str, queue: "deque[tuple[Future[Any], Callable[[], Any]]]") -> None:
        while True:
            with self._lock:
                if not queue:
                    del self._queues[session]
                    return
                made, call = queue.popleft()
            if not made.set_running_or_notify_cancel():
                continue
            try:
                made.set_result(call())
            except BaseException as error:  # noqa: BLE001  # it is for who awaits the call
                made.set_exception(error)


def _make_threads() -> "ThreadPoolExecutor":
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(THREADS, thread_name_prefix="history-sink")
