"""The calls of a sink that read, and ask how far the store is."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from history_sink.client.call_queue import CallQueue
from history_sink.client.checks import check_choice, check_limit, check_range, check_timeout
from history_sink.client.reading import Reading
from history_sink.client.sessions import Sessions
from history_sink.errors import Malformed, Unavailable
from history_sink.protocol.listing import Listing, check_beginning, check_fields
from history_sink.protocol.log_end import LogEnd, point_at
from history_sink.protocol.outcome import Outcome, Receipt
from history_sink.protocol.pointer import Fault, PointerHandle
from history_sink.protocol.search import Question, Recalled
from history_sink.protocol.session_ids import SessionId, take_session
from history_sink.protocol.status import LATEST, Status
from history_sink.settings import ProducerSettings
from history_sink.transport.broker import Broker

CLOSED = "the sink is closed; nothing is archived any more"


class SinkReads:
    """Half of `HistorySink`, which sets the fields. It hands over nothing."""

    settings: ProducerSettings
    _why_disabled: str
    _is_closed: bool
    _broker: Broker
    _reading: Reading
    _sessions: Sessions
    _calls: CallQueue

    @property
    def can_ask(self) -> bool:
        """Whether there is a result store, so that questions have answers."""
        return self._broker.has_answers

    @property
    def clock_ahead_seconds(self) -> float | None:
        """How far this machine's clock is ahead of Redis's; negative if it is behind; None if it is not known.

        The sink asks Redis for the time when it reads or asks a question, at most once a minute.
        """
        return self._broker.clock_ahead_seconds

    def resume(self, session_id: SessionId, timeout_seconds: float = 10.0, branch: str | None = None) -> LogEnd:
        """Ask where a log ends, without reading a byte of it: what `extend` goes on after.

        The first `append` behind it is spared the search for the end.

        Args:
            session_id: As for `save`.
            timeout_seconds: How long to wait for a worker's answer, in seconds.
            branch: A branch as `status` names it. None: the main log. ``"latest"``: the log that was written last.

        Returns:
            The end; ``LogEnd()`` where the store has no such session.

        Raises:
            Unavailable: No worker has answered, or it is too old to tell.
            NotFound: The store has the session, and no such branch.
            Malformed: The session id or the branch cannot be.
        """
        check_choice(branch)
        check_timeout(timeout_seconds)
        self._check_open()
        name = take_session(session_id)
        end = self._reading.find_end(name, branch, timeout_seconds)
        self._sessions.open(name).note_end(end)
        return end

    def outcomes(self, task_ids: Iterable[str]) -> dict[str, Outcome]:
        """What workers have made of uploads, as far as they are done. Waits for none of them.

        Args:
            task_ids: From receipts, of any sessions. Outcomes are kept for a day.

        Returns:
            The outcomes that are there, by task id. An upload that failed, and is a dead letter now, is not among them.

        Raises:
            Unavailable: The answers' Redis is away, or there is none.
        """
        self._check_open()
        return self._reading.find_outcomes([*task_ids])

    def pointer(
        self,
        session_id: SessionId,
        messages: tuple[int, int] | None = None,
        byte_range: tuple[int, int] | None = None,
        timeout_seconds: float = 10.0,
        branch: str | None = None,
    ) -> PointerHandle:
        """Make a pointer to a log, or to a half-open range of its messages or bytes.

        If the settings do not name the bucket, the sink asks a worker, once. If this sink has not handed over all of
        the messages, it finds their range by reading the log.

        Args:
            session_id: As for `save`.
            messages: The first message, counted from 0, and the one after the last; clamped to the log's end.
            byte_range: The first byte, counted from 0, and the one after the last. Not together with `messages`.
            timeout_seconds: How long to wait for each answer of a worker, in seconds.
            branch: A branch as `status` names it. None: the log that this sink's session is on. ``"latest"``: the log
                that was written last; a worker is asked which that is now.

        Returns:
            What `resolve` takes, in any process, at any later time.

        Raises:
            Malformed: The session id, the branch or the range cannot be.
            Unavailable: A worker was to be asked, and none has answered.
            NotFound: Messages were to be found by reading, and the store has no such log.
            Faulted: The same, and a worker answered with a fault.
            Mismatch: The same, and what came is not what the store says it has.
        """
        session_id = take_session(session_id)
        check_choice(branch)
        check_timeout(timeout_seconds)
        messages, byte_range = check_range("messages", messages), check_range("byte_range", byte_range)
        if messages and byte_range:
            raise Malformed("messages or byte_range, not both")
        self._check_open()
        session = self._sessions.get(session_id)
        own = session.branch if session else None
        if branch == LATEST:
            branch = self._reading.find_latest(session_id, timeout_seconds)
        else:
            branch = branch or own
        if messages:
            known = session.measure(*messages) if session and branch == own else None
            byte_range = known or self._reading.measure_lines(session_id, branch, *messages, timeout_seconds)
        bucket, prefix = self._reading.find_home(session_id, timeout_seconds)
        folder = f"{prefix}{session_id}/branches/{branch}" if branch else f"{prefix}{session_id}"
        return PointerHandle(bucket, f"{folder}/history.jsonl", byte_range)

    def resolve(self, handle: PointerHandle, timeout_seconds: float = 10.0) -> bytes | Fault:
        """The bytes that `handle` addresses, or why there are none. Never raises.

        Args:
            handle: What `pointer` made, here or in another process.
            timeout_seconds: How long to wait for a worker's answer, in seconds.

        Returns:
            The bytes, or a `Fault`. It is a ``backend_error`` if the broker, the workers or the store are away.
        """
        try:
            self._check_open()
        except Unavailable as error:
            return Fault("backend_error", str(error))
        if not isinstance(handle, PointerHandle):
            return Fault("backend_error", f"a handle is a PointerHandle, not {type(handle).__name__}")
        try:
            check_timeout(timeout_seconds)
        except Malformed as error:
            return Fault("backend_error", str(error))
        return self._reading.resolve(handle, timeout_seconds)

    def read(self, session_id: SessionId, timeout_seconds: float = 10.0, branch: str | None = None) -> Iterator[bytes]:
        """Read a whole log, piece by piece, as far as the store has it now.

        It is `branch`, or else the log that this sink's session is on. A sink that has not saved the session reads the
        main log, and warns if a branch was written later (`Status.written_later`). If the store or a worker is away for
        a moment, the sink asks again, for 15 s.

        Args:
            session_id: As for `save`.
            timeout_seconds: How long to wait for each piece, in seconds.
            branch: As for `pointer`; ``"latest"`` is the log that was written last.

        Returns:
            The log's bytes, in pieces of 2 MiB at most. A piece may end in the middle of a line. The call may raise,
            and so may each piece.

        Raises:
            Malformed: The session id, the branch or the timeout cannot be.
            Unavailable: No worker says how far the store is.
            NotFound: The store has no such session or branch. The text names what there is.
            Faulted: A worker answered a piece with a fault, which the error holds as `fault`.
            Mismatch: A piece has not the bytes that the store says it has.
        """
        check_timeout(timeout_seconds)
        self._check_open()
        session_id = take_session(session_id)
        session = self._sessions.get(session_id)
        branch = check_choice(branch) or (session.branch if session else None)
        return self._reading.read(session_id, branch, timeout_seconds)

    def status(
        self, session_id: SessionId, timeout_seconds: float = 10.0, known: Iterable[LogEnd] | None = None
    ) -> Status:
        """Ask how much of a session the store has: its main log, its branches and its strays.

        Args:
            session_id: As for `save`.
            timeout_seconds: How long to wait for a worker's answer, in seconds.
            known: Places of a history, from `measure`, the first ones first, 4096 at most: the `common` of each log is
                then the last of them that lies on it. None: the history that this sink has saved.

        Returns:
            All logs of the session. There are none where the store has no such session.

        Raises:
            Unavailable: No worker has answered, or its store is away.
            Malformed: The session id cannot be, or the answer cannot be read.
        """
        check_timeout(timeout_seconds)
        self._check_open()
        session_id = take_session(session_id)
        session = self._sessions.get(session_id) if known is None else None
        if session is not None:
            return session.ask(timeout_seconds)[0]
        return self._reading.status(session_id, timeout_seconds, [point_at(end) for end in known or ()])

    def list_sessions(
        self,
        after: str = "",
        limit: int = 100,
        timeout_seconds: float = 10.0,
        *,
        prefix: str = "",
        fields: Iterable[str] | None = None,
    ) -> Listing:
        """One page of the sessions in the store, by name.

        What is asked for decides what it costs. For the names alone, and for `last_write` and `branches`, the store is
        listed; for anything else, a worker looks at each session.

        Args:
            after: The page begins behind this name, such as the `next_after` of the page before.
            limit: At most so many sessions, 1 to 1000.
            timeout_seconds: How long to wait for a worker's answer, in seconds.
            prefix: Only sessions whose names begin with this.
            fields: Names of fields of `SessionSummary` to be told; the others are None. Empty: the names alone, also
                those of deleted sessions. None: all fields.

        Returns:
            The page, and what the next one begins behind. A page may have fewer sessions than `limit`, or none, and
            not be the last.

        Raises:
            Unavailable: No worker has answered, or its store is away.
            Malformed: `after` is no session id, `limit` is out of its range, no session id begins with `prefix`, there
                is no such field, or the answer cannot be read.
        """
        check_timeout(timeout_seconds)
        after = take_session(after) if after != "" else ""
        limit, prefix, asked = check_limit(limit), check_beginning(prefix), check_fields(fields)
        self._check_open()
        return self._reading.list_sessions(after, limit, timeout_seconds, prefix, asked)

    def recall(
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
        """Find where something was said or done, in all sessions of the archive.

        Words of `query` may occur, and the more of them, the better the hit. Words in double quotes must occur, side by
        side. There is no other syntax. Of the same text one hit is given. Needs a search worker.

        Args:
            query: What is looked for. No event and no log shows it.
            session: In this session alone.
            branch: In this branch of it alone. None: in all its logs.
            role: ``user``, ``assistant``, ``tool`` or ``system``. None: any.
            project: A folder in which an agent has worked, or the last part of its path.
            since: A Unix time in seconds. Only messages that bear a time, and were written then or later.
            limit: At most so many hits, 1 to 100.
            at_least: A receipt of this sink. The index must have what the session had handed over by then. It waits for
                that, for some seconds.
            timeout_seconds: How long to wait for a worker's answer, in seconds.

        Returns:
            The hits, the best first, and how complete they are. Only if `is_complete` is true, no hits means that there
            is nothing; otherwise it may not be indexed yet. A `Fault` if there is no index, if it has not reached
            `at_least` in time, or if the store is away.

        Raises:
            Malformed: An argument cannot be, or the answer cannot be read.
            Unavailable: No search worker has answered.
        """
        check_timeout(timeout_seconds)
        name = take_session(session) if session is not None else None
        asked = {"query": query, "session": name, "branch": branch, "role": role, "project": project, "since": since}
        question = Question.decode({**asked, "limit": limit})
        self._check_open()
        if at_least is not None:
            question = replace(question, at_least=self._place_of(at_least, timeout_seconds))
        return self._reading.recall(question, timeout_seconds)

    def _place_of(self, receipt: Receipt, timeout_seconds: float) -> tuple[str, str | None, int]:
        session = self._sessions.get(receipt.session) if isinstance(receipt, Receipt) else None
        if session is None:
            raise Malformed("at_least is a receipt that this sink has given, of a session that it has not forgotten")
        return (session.name, *session.find_end(timeout_seconds))

    # For asyncio

    async def aresolve(self, handle: PointerHandle, timeout_seconds: float = 10.0) -> bytes | Fault:
        """Do what `resolve` does, while the event loop goes on. (For other reads there is `asyncio.to_thread`.)

        Args and Returns: as `resolve`. Never raises.
        """
        return await self._calls.run_aside(lambda: self.resolve(handle, timeout_seconds))

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

    def _check_open(self) -> None:
        if not self.settings.is_enabled:
            raise Unavailable(self._why_disabled)
        if self._is_closed:
            raise Unavailable(CLOSED)
