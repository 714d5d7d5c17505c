"""Calls for asyncio. Threads make them, so that the event loop goes on. The calls of one session keep their order."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

T = TypeVar("T")

THREADS = 256
"""The most calls that run at the same time. A thread is started when a call needs one."""


async def run_beside(call: Callable[[], T]) -> T:
    """Make `call` in one of the event loop's own threads."""
    import asyncio  # 35 ms that not every agent has to pay

    return await asyncio.to_thread(call)


@dataclass(slots=True)
class _Queue:
    """The calls of one session that wait, and whether a thread makes them."""

    calls: "deque[tuple[Future[Any], Callable[[], Any]]]" = field(default_factory=deque)
    is_taken: bool = False


class CallQueue:
    """A queue of calls for each session. Only one thread at a time works on a queue: two could change the order."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._savers: ThreadPoolExecutor | None = None
        self._waiters: ThreadPoolExecutor | None = None
        self._queues: dict[str, _Queue] = {}

    async def run(self, session: str, call: Callable[[], T]) -> T:
        """Make `call` after the earlier calls of its session. Cancelling the caller stops no call that has begun."""
        import asyncio
        from concurrent.futures import Future

        made: Future[T] = Future()
        with self._lock:
            queue = self._queues.get(session)
            is_new = queue is None
            if queue is None:
                queue = self._queues[session] = _Queue()
            queue.calls.append((made, call))
        if is_new:
            self._begin(session, queue)
        return await asyncio.wrap_future(made)

    def _begin(self, session: str, queue: "_Queue") -> None:
        try:
            with self._lock:
                self._savers = self._savers or _make_threads()
                self._savers.submit(self._empty, session, queue)
        except RuntimeError:  # no thread can be started: then here, so that no call waits for ever
            self._empty(session, queue)

    async def run_aside(self, call: Callable[[], T]) -> T:
        """Make a `call` that may take long. It has a thread of its own, so no save waits for it."""
        import asyncio

        try:
            with self._lock:  # not the event loop's own threads: it has about as many as there are processors
                self._waiters = self._waiters or _make_threads()
                made = self._waiters.submit(call)
        except RuntimeError:  # no thread can be started
            return call()
        return await asyncio.wrap_future(made)

    def close(self) -> None:
        """Wait until all calls that were given to `run` have ended."""
        with self._lock:
            savers, self._savers = self._savers, None
            waiters, self._waiters = self._waiters, None
        if savers is not None:
            savers.shutdown()
        if waiters is not None:
            waiters.shutdown(wait=False)

    def renew_after_fork(self) -> None:
        """Begin anew in a forked child: the parent's threads do not exist there."""
        self._reset()

    def _empty(self, session: str, queue: "_Queue") -> None:
        with self._lock:
            if queue.is_taken:  # by who could not start a thread; this one came later
                return
            queue.is_taken = True
        while True:
            with self._lock:
                if not queue.calls:
                    del self._queues[session]
                    return
                made, call = queue.calls.popleft()
            if not made.set_running_or_notify_cancel():
                continue
            try:
                made.set_result(call())
            except BaseException as error:  # noqa: BLE001  # the caller that awaits the call gets it
                made.set_exception(error)


def _make_threads() -> "ThreadPoolExecutor":
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(THREADS, thread_name_prefix="history-sink")
