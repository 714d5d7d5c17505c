"""Calls that wait for a server, made in threads: those of one log in the order in which they began."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar
from weakref import WeakValueDictionary

import anyio
from anyio.lowlevel import current_token
from anyio.to_thread import run_sync

T = TypeVar("T")


async def run_in_thread(call: Callable[[], T]) -> T:
    """Make `call` in a thread, and return or raise what it does. A call that has begun is not cancelled."""
    return await run_sync(call)


class Turns:
    """One caller at a time for each name, the first one first. Any number of event loops may use it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[str, object], anyio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def take(self, name: str) -> AsyncIterator[None]:
        """Wait until the callers before have left.

        Args:
            name: What the caller wants for itself; callers of other names do not wait.

        Returns:
            The context manager.
        """
        key = name, current_token()  # a lock belongs to one event loop
        lock = self._locks.setdefault(key, anyio.Lock())  # kept as long as somebody has it, or waits for it
        async with lock:
            yield
