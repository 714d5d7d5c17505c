"""Calls that wait for a server, made in threads: those of one log in the order in which they began."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
from anyio.lowlevel import current_token
from anyio.to_thread import run_sync

T = TypeVar("T")


async def run_in_thread(call: Callable[[], T]) -> T:
    """Make `call` in a thread, and return or raise what it does. A call that has begun is not cancelled."""
    return await run_sync(call)


@dataclass(slots=True)
class _Turn:
    lock: anyio.Lock = field(default_factory=anyio.Lock)
    users: int = 0


class Turns:
    """One caller at a time for each name, the first one first. Any number of event loops may use it."""

    def __init__(self) -> None:
        self._turns: dict[tuple[str, object], _Turn] = {}

    @asynccontextmanager
    async def take(self, name: str) -> AsyncIterator[None]:
        """Wait until the callers before have left.

        Args:
            name: What the caller wants for itself; callers of other names do not wait.

        Returns:
            The context manager.
        """
        key = name, current_token()  # a lock belongs to one event loop
        turn = self._turns.setdefault(key, _Turn())
        turn.users += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[key]
