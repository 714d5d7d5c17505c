"""The calls of a sink that read logs, and ask how far the store is with a session."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from history_sink.client.checks import check_choice, check_range, check_timeout
from history_sink.errors import HistorySinkError, Malformed, Unavailable
from history_sink.protocol.log_end import LogEnd, point_at
from history_sink.protocol.outcome import Outcome
from history_sink.protocol.pointer import Fault, PointerHandle
from history_sink.protocol.session_ids import SessionId, take_session
from history_sink.protocol.status import LATEST, Status
from history_sink.sink_parts import SinkParts


class SinkReads(SinkParts):
    """A part of `HistorySink`. It hands over nothing."""

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
        self._guard.check_open()
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
        self._guard.check_open()
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
        self._guard.check_open()
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

    def resolve(self, handle: PointerHandle, timeout_seconds: float = 10.0, *, stored: bool = False) -> bytes | Fault:
        """The bytes that `handle` addresses, or why there are none. Never raises.

        Args:
            handle: What `pointer` made, here or in another process.
            timeout_seconds: How long to wait for a worker's answer, in seconds.
            stored: Give sealed lines as they are stored. Otherwise those that are whole in the range are opened where
                their key is here; the others are given as they are stored, and the log says so.

        Returns:
            The bytes, or a `Fault`. It is a ``backend_error`` if the broker, the workers or the store are away, or if
            a sealed line was altered.
        """
        try:
            self._guard.check_open()
        except Unavailable as error:
            return Fault("backend_error", str(error))
        if not isinstance(handle, PointerHandle):
            return Fault("backend_error", f"a handle is a PointerHandle, not {type(handle).__name__}")
        try:
            check_timeout(timeout_seconds)
        except Malformed as error:
            return Fault("backend_error", str(error))
        answer = self._reading.resolve(handle, timeout_seconds)
        if stored or isinstance(answer, Fault):
            return answer
        try:
            return self._opening.open_range(handle.key, answer, handle.byte_range[0] if handle.byte_range else 0)
        except HistorySinkError as error:
            return Fault("backend_error", str(error))

    def read(
        self,
        session_id: SessionId,
        timeout_seconds: float = 10.0,
        branch: str | None = None,
        *,
        stored: bool = False,
    ) -> Iterator[bytes]:
        """Read a whole log, piece by piece, as far as the store has it now.

        It is `branch`, or else the log that this sink's session is on. A sink that has not saved the session reads the
        main log, and warns if a branch was written later (`Status.written_later`). If the store or a worker is away for
        a moment, the sink asks again, for 15 s.

        Args:
            session_id: As for `save`.
            timeout_seconds: How long to wait for each piece, in seconds.
            branch: As for `pointer`; ``"latest"`` is the log that was written last.
            stored: As for `resolve`.

        Returns:
            The log's bytes, in pieces of 2 MiB at most. A piece may end in the middle of a line. Of a sealed log each
            piece is a line. The call may raise, and so may each piece.

        Raises:
            Malformed: The session id, the branch or the timeout cannot be.
            Unavailable: No worker says how far the store is.
            NotFound: The store has no such session or branch. The text names what there is.
            Faulted: A worker answered a piece with a fault, which the error holds as `fault`.
            Mismatch: A piece has not the bytes that the store says it has.
            HistorySinkError: A sealed line was altered, or stands where it was not sealed for.
        """
        check_timeout(timeout_seconds)
        self._guard.check_open()
        session_id = take_session(session_id)
        session = self._sessions.get(session_id)
        branch = check_choice(branch) or (session.branch if session else None)
        pieces = self._reading.read(session_id, branch, timeout_seconds)
        return pieces if stored else self._opening.open_log(session_id, pieces)

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
        self._guard.check_open()
        session_id = take_session(session_id)
        session = self._sessions.get(session_id) if known is None else None
        if session is not None:
            return replace(session.ask(timeout_seconds)[0], filtered=dict(session.filtered))
        status = self._reading.status(session_id, timeout_seconds, [point_at(end) for end in known or ()])
        self._extension.learn(session_id, status)
        return status
