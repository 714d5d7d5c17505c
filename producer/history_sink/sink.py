"""The sink: what an agent's author calls."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import Self, TypeVar, get_args

from history_sink.broker import Broker
from history_sink.calls import CallQueue, run_beside
from history_sink.comparison import Comparison
from history_sink.contract import check_branch
from history_sink.errors import BadMessage, ConfigurationError, HistorySinkError, Malformed, Unavailable
from history_sink.flush import flush
from history_sink.lifecycle import watch
from history_sink.lines import Message, encode_line
from history_sink.listing import Listing
from history_sink.outcome import FlushResult, Receipt
from history_sink.plain import Default, Unencodable
from history_sink.pointer import Fault, PointerHandle
from history_sink.reading import Reading
from history_sink.session import Session
from history_sink.session_ids import SessionId, name_fault, show_session, take_session
from history_sink.sessions import Sessions
from history_sink.settings import BROKER_URL, ProducerSettings
from history_sink.status import LATEST, Status

log = logging.getLogger("history_sink")

CLOSED = "the sink is closed; nothing is archived any more"
_UNENCODABLE = 'unencodable is "replace" or "refuse"'
DISABLED = f"disabled: {BROKER_URL} is not set"

T = TypeVar("T")


class HistorySink:
    """Streams sessions' transcripts into the archive, and reads them back.

    Only construction raises (`ConfigurationError`), and reads where it is said; `save` and `append` never do. Safe
    for threads, and after a fork. Without a broker's URL it is disabled: every call is a cheap no-op that says so.
    """

    def __init__(
        self,
        settings: ProducerSettings | None = None,
        *,
        broker_url: str | None = None,
        result_url: str | None = None,
        default: Default | None = None,
    ) -> None:
        """Either all `settings`, or the URLs of the broker and, unless that is a Redis, of a Redis for results.

        `default` makes something simpler of what in a message JSON has not and the library does not know, as for
        `json.dumps`. It must make the same of the same in each process, else a history seems to be edited.
        """
        if default is not None and not callable(default):
            raise ConfigurationError(f"default is a function of one value, not {type(default).__name__}")
        if settings is not None and not isinstance(settings, ProducerSettings):
            raise ConfigurationError(f"settings is no {type(settings).__name__}; give a URL as broker_url=…")
        if settings is not None and (broker_url or result_url):
            raise ConfigurationError("settings or URLs, not both")
        self.settings = settings or ProducerSettings(broker_url, result_url)
        self._broker = Broker(self.settings)
        self._reading = Reading(self.settings, self._broker)
        self._sessions = Sessions(self._broker, partial(encode_line, default=default))
        self._calls = CallQueue()
        self._is_closed = False
        self._said: set[str] = set()  # what is said in the log once
        if not self.settings.is_enabled:
            log.warning("history-sink is %s; nothing is archived", DISABLED)
        watch(self)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, *, default: Default | None = None) -> Self:
        """By the variables ``CODETETHER_HISTORY_…`` of `env` (default: the process's environment)."""
        return cls(ProducerSettings.from_env(env), default=default)

    def save(self, session_id: SessionId, messages: Iterable[Message], unencodable: Unencodable = "replace") -> Receipt:
        """Hand over what is new in `messages`, the whole history of the session.

        Returns within about a second, whatever is down; see `Receipt`. A history that does not extend the one before
        goes on in a branch. Edits in place are seen at once in the last 32 messages, elsewhere some saves later.
        """

        def act(session: Session) -> Receipt:
            return session.save(_listed(messages), unencodable)

        return self._guard(session_id, unencodable, act)

    @property
    def can_ask(self) -> bool:
        """Whether there is a result store, so that questions have answers."""
        return self._broker.has_answers

    @property
    def clock_ahead_seconds(self) -> float | None:
        """How far this machine's clock is ahead of Redis's (negative: behind), as last asked; None: not known.

        Reads and questions go by Redis's clock. It is asked with them, at most once a minute.
        """
        return self._broker.clock_ahead_seconds

    def compare(self, session_id: SessionId, messages: list[Message], timeout_seconds: float = 10.0) -> Comparison:
        """What a `save` of `messages`, the first of a session, would hand over. That save then asks no more.

        Without one, `forget` the session: else `close` hands it over. Raises `Unavailable` where no worker says what
        the store has, and `Malformed`; the session is forgotten then.
        """
        self._check_open()
        session = self._sessions.open(take_session(session_id))
        try:
            return session.compare(messages, timeout_seconds)
        except HistorySinkError:
            self.forget(session_id)
            raise

    def append(self, session_id: SessionId, *messages: Message, unencodable: Unencodable = "replace") -> Receipt:
        """Hand over `messages`, which follow what this sink was given of the session last.

        In a new process they are the beginning of a history: begin with `save` where there is one. A receipt's `index`
        counts from the first of these `messages`; a refused one and those behind it are not kept.
        """
        return self._guard(session_id, unencodable, lambda session: session.append(messages, unencodable))

    def flush(self, session_id: SessionId, timeout_seconds: float = 30.0) -> FlushResult:
        """Wait until the store has all of the session, and send again what it lacks. Never raises.

        True only when a worker has looked and found it all, or when the history given is empty; else the result's
        `state` and `reason` say why not, see `FlushResult`.
        """
        if not self.settings.is_enabled:
            return FlushResult("disabled", DISABLED)
        if self._is_closed:
            self._say_once("closed", f"a flush of session {show_session(session_id)!r}: {CLOSED}")
            return FlushResult("unreachable", CLOSED)
        try:
            session = self._sessions.get(take_session(session_id))
            if session is None:
                return FlushResult("unknown", "this sink was given nothing of the session since it began or forgot it")
            return flush(session, timeout_seconds)
        except Malformed as error:
            self._say_refused(session_id, error)
            return FlushResult("unknown", str(error))
        except Exception as error:  # noqa: BLE001  # the agent must not fail because its history does
            log.error("history-sink: session %s: flush failed with %s", show_session(session_id), type(error).__name__)
            return FlushResult("failed", f"failed with {type(error).__name__}")

    def pointer(
        self,
        session_id: SessionId,
        messages: tuple[int, int] | None = None,
        byte_range: tuple[int, int] | None = None,
        timeout_seconds: float = 10.0,
        branch: str | None = None,
    ) -> PointerHandle:
        """Address the log that this sink's session is on, or `branch`: all, or a half-open range of messages or bytes.

        The branch ``"latest"`` is the log that was written last; a worker is asked which that is now. A range of
        messages is clamped to the end; of a log that this sink has not saved, it is found by reading (see `read` for
        the errors). Where the settings do not name the bucket, a worker is asked once; raises `Unavailable`.
        Raises `Malformed` for a session id, a branch or a range that cannot be.
        """
        session_id = take_session(session_id)
        _check_choice(branch)
        for start, stop in filter(None, (messages, byte_range)):
            if not 0 <= start <= stop:
                raise Malformed(f"a range is 0 <= start <= end, not {start} to {stop}")
        if messages and byte_range:
            raise Malformed("messages or byte_range, not both")
        self._check_open()
        bucket, prefix = self._reading.find_home(session_id, timeout_seconds)
        session = self._sessions.get(session_id)
        own = session.branch if session else None
        if branch == LATEST:
            branch = self._reading.find_latest(session_id, timeout_seconds)
        else:
            branch = branch or own
        if messages and session and branch == own:
            byte_range = session.measure(*messages)
        elif messages:
            byte_range = self._reading.measure_lines(session_id, branch, *messages, timeout_seconds)
        folder = f"{prefix}{session_id}/branches/{branch}" if branch else f"{prefix}{session_id}"
        return PointerHandle(bucket, f"{folder}/history.jsonl", byte_range)

    def resolve(self, handle: PointerHandle, timeout_seconds: float = 10.0) -> bytes | Fault:
        """The bytes that `handle` addresses, or why there are none. Never raises.

        A broker or workers away are a ``backend_error``, like a store that is.
        """
        try:
            self._check_open()
        except Unavailable as error:
            return Fault("backend_error", str(error))
        if not isinstance(handle, PointerHandle):
            return Fault("backend_error", f"a handle is a PointerHandle, not {type(handle).__name__}")
        return self._reading.resolve(handle, timeout_seconds)

    def read(self, session_id: SessionId, timeout_seconds: float = 10.0, branch: str | None = None) -> Iterator[bytes]:
        """The log that this sink's session is on, or `branch`, whole, piece by piece, as far as the store has it now.

        A sink that has not saved the session reads the main log; a warning in the log names a branch that was written
        later (`Status.written_later`), and the branch ``"latest"`` is the log that was written last.
        `timeout_seconds` is for each piece. Raises `Unavailable`, `restore.NotFound`, and `restore.Faulted` with the
        fault.
        """
        self._check_open()
        session_id = take_session(session_id)
        session = self._sessions.get(session_id)
        branch = _check_choice(branch) or (session.branch if session else None)
        return self._reading.read(session_id, branch, timeout_seconds)

    def status(self, session_id: SessionId, timeout_seconds: float = 10.0) -> Status:
        """How far the store is with a session; branches; strays. Raises `Unavailable`, `Malformed`."""
        self._check_open()
        session_id = take_session(session_id)
        session = self._sessions.get(session_id)
        return session.ask(timeout_seconds)[0] if session else self._reading.status(session_id, timeout_seconds)

    def list_sessions(self, after: str = "", limit: int = 100, timeout_seconds: float = 10.0) -> Listing:
        """One page of the sessions in the store, by name, behind the name `after`. Raises `Unavailable`."""
        self._check_open()
        return self._reading.list_sessions(after, limit, timeout_seconds)

    def forget(self, session_id: SessionId) -> None:
        """Let go of a session that is over. Its next save asks the store how far it is, as after a restart.

        Never raises; what is no session id is said in the log.
        """
        try:
            self._sessions.forget(take_session(session_id))
        except Malformed as error:
            self._say_refused(session_id, error)

    def close(self) -> None:
        """Hand over what is still missing, say what could not be, and let go of the connections. Never raises."""
        self._calls.close()
        self._is_closed = True
        for session in self._sessions.take_all():
            receipt = self._shield(session.name, partial(session.hand_over, whole=True, asks=False))
            if receipt.state in ("unreachable", "refused"):
                log.error("history-sink: session %s is not handed over whole: %s", session.name, receipt.reason)
        self._broker.close()

    # For asyncio

    async def asave(
        self, session_id: SessionId, messages: Iterable[Message], unencodable: Unencodable = "replace"
    ) -> Receipt:
        """`save`, and the event loop goes on meanwhile.

        Saves of one session go out in the order in which they were begun, those of others beside them. The list is
        looked at now, its messages when their turn is.
        """
        given = [*messages] if isinstance(messages, list) else messages
        return await self._calls.run(show_session(session_id), lambda: self.save(session_id, given, unencodable))

    async def aappend(self, session_id: SessionId, *messages: Message, unencodable: Unencodable = "replace") -> Receipt:
        """`append`, as `asave`."""
        return await self._calls.run(
            show_session(session_id), lambda: self.append(session_id, *messages, unencodable=unencodable)
        )

    async def aflush(self, session_id: SessionId, timeout_seconds: float = 30.0) -> FlushResult:
        """`flush`, behind the saves that were begun before."""
        await self._calls.run(show_session(session_id), lambda: None)
        return await self._calls.run_aside(lambda: self.flush(session_id, timeout_seconds))

    async def aresolve(self, handle: PointerHandle, timeout_seconds: float = 10.0) -> bytes | Fault:
        """`resolve`, and the event loop goes on meanwhile. (For other reads there is `asyncio.to_thread`.)"""
        return await self._calls.run_aside(lambda: self.resolve(handle, timeout_seconds))

    async def aclose(self) -> None:
        """`close`, behind the saves that were begun before."""
        await run_beside(self.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        for session in self._sessions.take_all() if hasattr(self, "_sessions") else ():  # construction may raise
            if not session.is_handed_over:
                log.error("history-sink: session %s is not handed over whole: the sink was not closed", session.name)

    def _check_open(self) -> None:
        if not self.settings.is_enabled:
            raise Unavailable(DISABLED)
        if self._is_closed:
            raise Unavailable(CLOSED)

    def _guard(self, session_id: SessionId, unencodable: object, act: Callable[[Session], Receipt]) -> Receipt:
        """Run a save, with whatever can go wrong in the receipt."""
        shown = show_session(session_id)
        if not self.settings.is_enabled:
            return Receipt("disabled", shown)
        if self._is_closed:
            self._say_once("closed", f"session {shown!r}: unreachable: {CLOSED}")
            return Receipt("unreachable", shown, reason=CLOSED)
        if not isinstance(unencodable, str) or unencodable not in get_args(Unencodable):
            self._say_once("unencodable", f"session {shown!r}: refused: {_UNENCODABLE}")
            return Receipt("refused", shown, reason=_UNENCODABLE)
        try:
            session = self._sessions.open(take_session(session_id))
        except Malformed as error:
            self._say_refused(session_id, error)
            return Receipt("refused", shown, reason=str(error))
        receipt = self._shield(session.name, lambda: act(session))
        session.report(receipt)
        return receipt

    def _say_refused(self, session_id: object, error: Malformed) -> None:
        """A session that is not archived at all must not go unnoticed, for its receipts are often not looked at."""
        self._say_once(f"id: {name_fault(session_id)}", f"a session is refused: {error}")

    def _say_once(self, kind: str, what: str) -> None:
        if kind not in self._said:
            self._said.add(kind)
            log.warning("history-sink: %s (said once)", what)

    def _shield(self, session_id: str, act: Callable[[], Receipt]) -> Receipt:
        try:
            return act()
        except HistorySinkError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001  # the agent must not fail because its history does
            # No text and no traceback: either may hold words of the transcript.
            reason = f"failed with {type(error).__name__}"
        return Receipt("refused", session_id, reason=reason)

    def hold_for_fork(self) -> None:
        """Called before a fork, by `lifecycle`."""
        self._broker.fork_gate.shut()

    def release_after_fork(self) -> None:
        """Called behind a fork, in the parent."""
        self._broker.fork_gate.open()

    def renew_after_fork(self) -> None:
        """Called behind a fork, in the child."""
        self._broker.renew_after_fork()
        self._sessions.renew_after_fork()
        self._calls.renew_after_fork()


def _check_choice(branch: str | None) -> str | None:
    """A branch, None for the main log, or `LATEST`. Raises `Malformed`."""
    return branch if branch == LATEST else check_branch(branch)


def _listed(messages: Iterable[Message]) -> list[Message]:
    """The messages as a list. Raises `BadMessage` for one message in place of a list: its keys, or the letters of a
    text, would be taken for lines.
    """
    if isinstance(messages, list):
        return messages
    is_one = isinstance(messages, (str, bytes, bytearray, memoryview, Mapping)) or hasattr(messages, "model_dump")
    if is_one or not isinstance(messages, Iterable):
        raise BadMessage(f"messages is a list of messages, not {type(messages).__name__}")
    return [*messages]
