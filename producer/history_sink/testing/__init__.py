"""A sink for tests of programs that use history-sink: no broker, no worker, no store.

`MemorySink` is a `HistorySink` whose archive is in memory. What it hands over is archived before `save` returns, by
the rules by which workers archive. Its archive can be looked into, and told to be in trouble.
"""

import json
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Self

from history_sink.client.reading import Reading
from history_sink.filters import Filter
from history_sink.protocol.kinds import Default
from history_sink.protocol.names import normal_prefix
from history_sink.protocol.pointer import Fault
from history_sink.protocol.session_ids import SessionId, take_session
from history_sink.settings import ProducerSettings
from history_sink.sink import HistorySink
from history_sink.testing.broker import MemoryBroker
from history_sink.testing.store import MemoryStore
from history_sink.testing.task_queue import TaskQueue
from history_sink.transport.broker import Broker

__all__ = ["MemoryArchive", "MemorySink"]

_NOWHERE = "redis://in-memory.invalid/0"
"""A sink without a URL is disabled. Nobody connects to this one."""


class MemoryArchive:
    """An archive in memory: queue, workers and store in one. Several sinks, as of several processes, may share it.

    Its context managers make trouble while their block runs. What has waited meanwhile is done at the block's end.
    """

    def __init__(self, bucket: str = "history", prefix: str = "history/") -> None:
        """Make an empty archive.

        Args:
            bucket: The bucket that pointers are to name.
            prefix: What the keys of all logs begin with; a slash is put behind it where it has none.

        Raises:
            ConfigurationError: No store would keep keys with this prefix as they are.
        """
        self._store = MemoryStore(bucket, normal_prefix(prefix))
        self._queue = TaskQueue(self._store.do)

    @property
    def bucket(self) -> str:
        """The bucket that pointers name."""
        return self._store.bucket

    @property
    def prefix(self) -> str:
        """What the keys of all logs begin with."""
        return self._store.prefix

    def sessions(self) -> list[str]:
        """The names of all sessions, sorted. Never raises."""
        with self._queue.locked():
            return self._store.get_names()

    def lines(self, session_id: SessionId, branch: str | None = None) -> list[bytes]:
        """The lines of a log, each with its newline.

        Args:
            session_id: As for `HistorySink.save`.
            branch: A branch as `HistorySink.status` names it; None: the main log.

        Returns:
            The lines; none where there is no such log.

        Raises:
            Malformed: The session id cannot be.
        """
        with self._queue.locked():
            return self._store.get_lines(take_session(session_id), branch)

    def messages(self, session_id: SessionId, branch: str | None = None) -> list[Any]:
        """The messages of a log, read from its lines.

        Args:
            session_id: As for `HistorySink.save`.
            branch: As for `lines`.

        Returns:
            The messages, of a line that is not JSON its bytes without the newline.

        Raises:
            Malformed: The session id cannot be.
        """
        return [_read(line[:-1]) for line in self.lines(session_id, branch)]

    def delete(self, session_id: SessionId) -> None:
        """Delete a session, as an operator does: nothing is added to it any more.

        Args:
            session_id: As for `HistorySink.save`; it need not be there.

        Raises:
            Malformed: The session id cannot be.
        """
        with self._queue.locked():
            self._store.delete(take_session(session_id))

    def broker_away(self) -> AbstractContextManager[None]:
        """No broker: a save's receipt says ``unreachable``, and what reads raises `Unavailable`. Never raises."""
        return self._queue.having(is_broker_away=True)

    def workers_away(self) -> AbstractContextManager[None]:
        """No worker: saves wait in the queue, and what reads raises `NoAnswer`, without waiting. Never raises."""
        return self._queue.having(are_workers_away=True)

    def store_away(self) -> AbstractContextManager[None]:
        """No store: saves wait in the queue. What reads raises `WorkerFailed`, or has a fault ``backend_error``.

        Never raises.
        """
        return self._queue.having(is_store_away=True)

    def losing_uploads(self) -> AbstractContextManager[None]:
        """The broker loses what it has accepted. `flush` finds out, and hands it over again. Never raises."""
        return self._queue.having(loses_uploads=True)

    def answering(self, fault: Fault) -> AbstractContextManager[None]:
        """Each pointer is answered with a fault; a `read` raises it as `Faulted`. Never raises.

        Args:
            fault: The answer, of any kind.

        Returns:
            The context manager.
        """
        return self._queue.having(fault=fault)


class MemorySink(HistorySink):
    """A `HistorySink` whose archive is in memory: its calls, receipts, states and errors are those of a real one."""

    def __init__(
        self, archive: MemoryArchive | None = None, *, default: Default | None = None, filters: Iterable[Filter] = ()
    ) -> None:
        """Make a sink.

        Args:
            archive: The archive, which other sinks may share. None: one of its own.
            default: As for `HistorySink`.
            filters: As for `HistorySink`.

        Raises:
            ConfigurationError: `default` or a filter is not what it must be.
        """
        self.archive: MemoryArchive = archive or MemoryArchive()
        super().__init__(ProducerSettings(_NOWHERE), default=default, filters=filters)

    @classmethod
    def from_env(
        cls, env: Mapping[str, str] | None = None, *, default: Default | None = None, filters: Iterable[Filter] = ()
    ) -> Self:
        """Make a sink with an archive of its own, so that the class can stand in for `HistorySink`.

        Args:
            env: Nothing is read from it.
            default: As for `HistorySink`.
            filters: As for `HistorySink`.

        Returns:
            The sink.

        Raises:
            ConfigurationError: `default` or a filter is not what it must be.
        """
        return cls(default=default, filters=filters)

    def _make_broker(self) -> Broker:
        return MemoryBroker(self.settings, self.archive._queue)

    def _make_reading(self) -> Reading:
        return Reading(self.settings, self._broker, pause=_go_on)


def _go_on(_: float) -> None:
    """In place of a pause: nothing changes while a test waits."""


def _read(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return line
