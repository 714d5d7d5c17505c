"""The calls of a sink for asyncio: threads make them, while the event loop goes on."""

from collections.abc import Callable, Iterable
from typing import TypeVar, overload

from history_sink.protocol.lines import Message
from history_sink.protocol.log_end import LogEnd
from history_sink.protocol.outcome import FlushResult, Outcome, Receipt
from history_sink.protocol.plain import Unencodable
from history_sink.protocol.pointer import Fault, PointerHandle
from history_sink.protocol.search import Recalled
from history_sink.protocol.session_ids import SessionId, show_session
from history_sink.sink_reads import SinkReads
from history_sink.sink_searches import SinkSearches
from history_sink.sink_writes import SinkWrites

T = TypeVar("T")


class SinkCoroutines(SinkWrites, SinkReads, SinkSearches):
    """A part of `HistorySink`."""

    async def asave(
        self, session_id: SessionId, messages: Iterable[Message], unencodable: Unencodable = "replace"
    ) -> Receipt:
        """Do what `save` does, while the event loop goes on.

        Saves of one session go out in the order in which they were begun. Saves of other sessions do not wait for them.
        The list is copied now. Its messages are read when the save's turn comes. Args and Returns: as `save`.
        Never raises.
        """
        given = [*messages] if isinstance(messages, list) else messages
        return await self._in_turn(session_id, lambda: self.save(session_id, given, unencodable))

    @overload
    async def aappend(
        self,
        session_id: SessionId,
        *messages: Message,
        unencodable: Unencodable = "replace",
        after: LogEnd | None = None,
        wait_seconds: None = None,
    ) -> Receipt: ...

    @overload
    async def aappend(
        self,
        session_id: SessionId,
        *messages: Message,
        unencodable: Unencodable = "replace",
        after: LogEnd | None = None,
        wait_seconds: float,
    ) -> Receipt | Outcome: ...

    async def aappend(
        self,
        session_id: SessionId,
        *messages: Message,
        unencodable: Unencodable = "replace",
        after: LogEnd | None = None,
        wait_seconds: float | None = None,
    ) -> Receipt | Outcome:
        """Do what `append` does, in the order that `asave` keeps. Args and Returns: as `append`. Never raises.

        The messages go out in that order. The wait for their outcome keeps no other call waiting.
        """
        receipt = await self._in_turn(
            session_id, lambda: self.append(session_id, *messages, unencodable=unencodable, after=after)
        )
        if wait_seconds is None:
            return receipt
        return await self._calls.run_aside(lambda: self._wait(receipt, wait_seconds))

    async def aflush(self, session_id: SessionId, timeout_seconds: float = 30.0) -> FlushResult:
        """Do what `flush` does, after the saves that were begun before. Args and Returns: as `flush`. Never raises."""
        if not self.settings.is_enabled:
            return self.flush(session_id, timeout_seconds)
        await self._in_turn(session_id, lambda: None)
        return await self._calls.run_aside(lambda: self.flush(session_id, timeout_seconds))

    async def _in_turn(self, session_id: SessionId, call: Callable[[], T]) -> T:
        if not self.settings.is_enabled:
            return call()  # it costs nothing, and a thread would
        return await self._calls.run(show_session(session_id), call)

    async def aresolve(
        self, handle: PointerHandle, timeout_seconds: float = 10.0, *, stored: bool = False
    ) -> bytes | Fault:
        """Do what `resolve` does, while the event loop goes on. (For other reads there is `asyncio.to_thread`.)

        Args and Returns: as `resolve`. Never raises.
        """
        return await self._calls.run_aside(lambda: self.resolve(handle, timeout_seconds, stored=stored))

    async def arecall(
        self,
        query: str,
        session: SessionId | None = None,
        branch: str | None = None,
        role: str | None = None,
        project: str | None = None,
        since: float | None = None,
        limit: int = 10,
        at_least: Receipt | None = None,
        timeout_seconds: float = 10.0,
    ) -> Recalled | Fault:
        """Do what `recall` does, while the event loop goes on.

        Args and Returns: as `recall`. Raises: what that does.
        """
        return await self._calls.run_aside(
            lambda: self.recall(query, session, branch, role, project, since, limit, at_least, timeout_seconds)
        )
