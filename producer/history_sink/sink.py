"""The sink: what an agent's author calls. The calls that read are in `sink_reads`."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self, TypeVar, get_args, overload

from history_sink.client.call_queue import CallQueue, run_beside
from history_sink.client.checks import check_list, check_timeout
from history_sink.client.extension import Extension
from history_sink.client.flush import flush
from history_sink.client.lifecycle import watch
from history_sink.client.reading import Reading
from history_sink.client.session import Session
from history_sink.client.sessions import Sessions
from history_sink.errors import ConfigurationError, HistorySinkError, Malformed
from history_sink.filters import Filter, check_filters, filter_sessions, load_filters
from history_sink.ledger.comparison import Comparison
from history_sink.protocol.kinds import Default
from history_sink.protocol.lines import Message, encode_line
from history_sink.protocol.log_end import LogEnd
from history_sink.protocol.outcome import FlushResult, Outcome, Receipt
from history_sink.protocol.plain import Unencodable
from history_sink.protocol.session_ids import SessionId, name_fault, show_session, take_session
from history_sink.settings import BROKER_URL, ProducerSettings
from history_sink.sink_reads import CLOSED, SinkReads
from history_sink.transport.broker import Broker

log = logging.getLogger("history_sink")

_UNENCODABLE = 'unencodable is "replace" or "refuse"'
_NOT_GIVEN = f"disabled: no broker_url was given; HistorySink.from_env() takes it from {BROKER_URL}"
_NOT_SET = f"disabled: {BROKER_URL} is not set"

T = TypeVar("T")


class HistorySink(SinkReads):
    """Streams sessions' transcripts into the archive, and reads them back.

    `save`, `append`, `flush`, `forget` and `close` never raise: their result, or the log, says what is wrong.
    Construction raises `ConfigurationError`. The calls that read raise what their docstrings say. Any number of threads
    may use one sink, and so may a forked child. A sink without a broker's URL is disabled: the calls that write do
    nothing and say so, and the calls that read raise `Unavailable`.
    """

    def __init__(
        self,
        settings: ProducerSettings | None = None,
        *,
        broker_url: str | None = None,
        result_url: str | None = None,
        default: Default | None = None,
        filters: Iterable[Filter] = (),
    ) -> None:
        """Give either `settings`, or the broker's URL. If the broker is no Redis, give a Redis for results, too.

        Args:
            settings: All settings at once, and no URLs beside them.
            broker_url: The queue, such as ``redis://host:6379/0``. None: the sink is disabled.
            result_url: The Redis that keeps answers. None: the broker, if that is a Redis.
            default: A function as for `json.dumps`: it takes an object in a message that the library does not know, and
                returns something simpler. It must return the same for the same object in each process. Otherwise the
                next process takes the history for an edited one.
            filters: Functions from line to line, applied in this order before anything else is done with a line; see
                `Filter`. Where one fails, the message is refused, and nothing of it leaves the process. Behind them
                come those that the settings name.

        Raises:
            ConfigurationError: A URL, `default` or a filter is not what it must be. The text holds no password.
        """
        if default is not None and not callable(default):
            raise ConfigurationError(f"default is a function of one value, not {type(default).__name__}")
        if settings is not None and not isinstance(settings, ProducerSettings):
            raise ConfigurationError(f"settings is no {type(settings).__name__}; give a URL as broker_url=…")
        if settings is not None and (broker_url or result_url):
            raise ConfigurationError("settings or URLs, not both")
        self.settings: ProducerSettings = settings or ProducerSettings(broker_url, result_url)
        self._why_disabled = _NOT_GIVEN if settings is None else _NOT_SET
        self._broker = self._make_broker()
        self._reading = self._make_reading()
        own = check_filters(filters)
        self.filters: tuple[Filter, ...] = (
            (*own, *load_filters(self.settings.filters)) if self.settings.is_enabled else own
        )
        encode_for = filter_sessions(partial(encode_line, default=default), self.filters)
        self._sessions = Sessions(self._broker, encode_for, is_filtered=bool(self.filters))
        self._extension = Extension(self._broker, encode_for)
        self._calls = CallQueue()
        self._is_closed = False
        self._said: set[str] = set()  # what is said in the log once
        if not self.settings.is_enabled:
            log.warning("history-sink is %s; nothing is archived", self._why_disabled)
        watch(self)

    def _make_broker(self) -> Broker:
        return Broker(self.settings)

    def _make_reading(self) -> Reading:
        return Reading(self.settings, self._broker)

    @classmethod
    def from_env(
        cls, env: Mapping[str, str] | None = None, *, default: Default | None = None, filters: Iterable[Filter] = ()
    ) -> Self:
        """Make a sink by the variables ``CODETETHER_HISTORY_…``.

        Args:
            env: The variables. None: the process's environment.
            default: As for the constructor.
            filters: As for the constructor.

        Returns:
            The sink. It is disabled where no broker's URL is set.

        Raises:
            ConfigurationError: A variable is malformed, or nobody reads it. The text names it, never its value.
        """
        return cls(ProducerSettings.from_env(env), default=default, filters=filters)

    def save(self, session_id: SessionId, messages: Iterable[Message], unencodable: Unencodable = "replace") -> Receipt:
        """Hand over what is new in `messages`, the whole history of the session.

        Returns within about a second, whatever is down, and never raises. If the history does not continue the one that
        was saved before, it goes on in a branch. An edit in one of the last 32 messages is seen at once, an edit in an
        older message some saves later.

        Args:
            session_id: A text (1 to 200 of ``A-Z a-z 0-9 . _ -``, no dot in front), a UUID or an integer. Another id is
                refused in the receipt. `history_sink.session_id` makes a legal id of any text.
            messages: The whole history, the oldest first; see `Message`.
            unencodable: What JSON cannot carry is replaced and counted (``"replace"``), or its message is refused
                (``"refuse"``).

        Returns:
            What was handed over, or why it was not: see `Receipt`.
        """

        def act(session: Session) -> Receipt:
            return session.save(check_list(messages), unencodable)

        return self._guard(session_id, unencodable, self._in_session(act))

    def compare(self, session_id: SessionId, messages: list[Message], timeout_seconds: float = 10.0) -> Comparison:
        """Tell what a first `save` of `messages` would hand over, and hand over nothing.

        A `save` after it does not ask the store again. If no `save` follows, call `forget`: otherwise `close` hands the
        messages over. If it raises, the session is forgotten.

        Args:
            session_id: As for `save`.
            messages: The whole history, as for `save`.
            timeout_seconds: How long to wait for a worker's answer, in seconds.

        Returns:
            The log that the history belongs on, and how much of it the store lacks.

        Raises:
            Unavailable: No worker says what the store has.
            Malformed: The session id cannot be, or an answer cannot be read.
            BadMessage: `messages` is no list of messages.
        """
        self._check_open()
        session = self._sessions.open(take_session(session_id))
        try:
            return session.compare(check_list(messages), check_timeout(timeout_seconds))
        except HistorySinkError:
            self.forget(session_id)
            raise

    @overload
    def append(
        self,
        session_id: SessionId,
        *messages: Message,
        unencodable: Unencodable = "replace",
        after: LogEnd | None = None,
        wait_seconds: None = None,
    ) -> Receipt: ...

    @overload
    def append(
        self,
        session_id: SessionId,
        *messages: Message,
        unencodable: Unencodable = "replace",
        after: LogEnd | None = None,
        wait_seconds: float,
    ) -> Receipt | Outcome: ...

    def append(
        self,
        session_id: SessionId,
        *messages: Message,
        unencodable: Unencodable = "replace",
        after: LogEnd | None = None,
        wait_seconds: float | None = None,
    ) -> Receipt | Outcome:
        """Hand over `messages`, which come next, whoever has written before. Never raises.

        Any number of processes may append to one session. Their lines are all on the one log, those of each process in
        its order. After a `save` in this process they follow the saved history, and go to its log; else they go to the
        main log. What the broker does not take is kept, and goes with the next call: do not append it again.

        Args:
            session_id: As for `save`.
            messages: What comes next; see `Message`.
            unencodable: As for `save`.
            after: From `resume`, an outcome or a status. The messages go there, all or none, and only if the log ends
                there; else their outcome is ``conflict``, with the end that there is. They have `LINE_BYTES` together
                at most. They are not kept: if the broker does not take them, append them again. `flush` knows nothing
                of them.
            wait_seconds: How long to wait for the store, in seconds. None: not at all.

        Returns:
            As `save`. Its `index` counts from the first of these `messages`. A refused message and those after it are
            not kept: append them again. With `wait_seconds`, the outcome in place of the receipt, if it came in time;
            of several, the first that says that lines are not on the log, else the last.
        """
        if after is None:
            act = self._in_session(lambda session: session.append(messages, unencodable))
        else:
            act = partial(self._append_after, messages, after, unencodable)
        receipt = self._guard(session_id, unencodable, act)
        return receipt if wait_seconds is None else self._wait(receipt, wait_seconds)

    def _append_after(
        self, messages: tuple[Message, ...], after: LogEnd, unencodable: Unencodable, name: str
    ) -> Receipt:
        return self._extension.append(name, messages, after, unencodable)

    def _wait(self, receipt: Receipt, wait_seconds: float) -> Receipt | Outcome:
        try:
            return self._reading.wait(receipt, check_timeout(wait_seconds))
        except Malformed as error:
            return replace(receipt, reason=str(error).replace("timeout_seconds", "wait_seconds"))

    def extend(
        self,
        session_id: SessionId,
        messages: Iterable[Message],
        after: LogEnd,
        unencodable: Unencodable = "replace",
    ) -> Receipt:
        """Hand over `messages`, which follow the place `after` in the history that is to be kept. Never raises.

        It is `save` for a history that is too large for memory: `messages` are taken one by one, and nothing of them is
        kept. Neither is the session: `flush` knows nothing of it; ask `outcomes` or `status`. If the log in the store
        does not go on there, workers keep the lines beside it: their outcome is ``diverged``.

        Args:
            session_id: As for `save`.
            messages: What follows `after`; see `Message`. It may be a generator.
            after: Where the history is before them: from `resume`, `measure` or a receipt. ``LogEnd()`` is the
                beginning. Its `branch` is the log that the lines go to.
            unencodable: As for `save`.

        Returns:
            As `save`. Its `end` is where the history is behind the messages that the broker has accepted.
        """
        return self._guard(
            session_id, unencodable, lambda name: self._extension.extend(name, messages, after, unencodable)
        )

    def measure(
        self,
        messages: Iterable[Message],
        after: LogEnd | None = None,
        unencodable: Unencodable = "replace",
        session_id: SessionId | None = None,
    ) -> LogEnd:
        """Tell where a history is behind `messages`, which follow the place `after` in it. Hands over nothing.

        Args:
            messages: What follows `after`. It may be a generator.
            after: Where the history is before them. None: at the beginning of the main log.
            unencodable: As for `save`.
            session_id: Whose history it is: filters may make other lines for each session.

        Returns:
            The place, on the log that `after` names.

        Raises:
            BadMessage: A message cannot become a line.
            Malformed: `after` or the session id cannot be.
        """
        session = None if session_id is None else take_session(session_id)
        return self._extension.measure(session, messages, LogEnd() if after is None else after, unencodable)

    def flush(self, session_id: SessionId, timeout_seconds: float = 30.0) -> FlushResult:
        """Wait until the store has all of the session, and send again what it lacks. Never raises.

        Args:
            session_id: As for `save`.
            timeout_seconds: How long to wait for it all, in seconds.

        Returns:
            A true result only if a worker has looked and found all of it, or if the history is empty. Otherwise the
            result's `state` and `reason` say why not: see `FlushResult`.
        """
        if not self.settings.is_enabled:
            return FlushResult("disabled", self._why_disabled)
        if self._is_closed:
            self._say_once("closed", f"a flush of session {show_session(session_id)!r}: {CLOSED}")
            return FlushResult("unreachable", CLOSED)
        try:
            session = self._sessions.get(take_session(session_id))
            if session is None or not session.was_given:
                return FlushResult("unknown", "this sink was given nothing of the session since it began or forgot it")
            try:
                check_timeout(timeout_seconds)
            except Malformed as error:
                return FlushResult("failed", str(error))
            return flush(session, timeout_seconds)
        except Malformed as error:
            self._say_refused(session_id, error)
            return FlushResult("unknown", str(error))
        except Exception as error:  # noqa: BLE001  # the agent must not fail because its history does
            log.error("history-sink: session %s: flush failed with %s", show_session(session_id), type(error).__name__)
            return FlushResult("failed", f"failed with {type(error).__name__}")

    def forget(self, session_id: SessionId) -> None:
        """Forget a session that is over. Its next save asks the store how much it has, as after a restart.

        Messages that were not handed over yet are lost. Never raises. A session id that cannot be is logged.

        Args:
            session_id: The session. If this sink does not know it, nothing happens.
        """
        try:
            self._sessions.forget(take_session(session_id))
        except Malformed as error:
            self._say_refused(session_id, error)

    def close(self) -> None:
        """Hand over what is missing, log what could not be handed over, and close the connections. Never raises."""
        self._calls.close()
        self._is_closed = True
        for session in self._sessions.take_all():
            receipt = self._shield(session.name, session.hand_over_last)
            if receipt.state in ("unreachable", "refused"):
                log.error("history-sink: session %s is not handed over whole: %s", session.name, receipt.reason)
        self._broker.close()

    # For asyncio

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

    async def aclose(self) -> None:
        """Do what `close` does, after the saves that were begun before. Never raises."""
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

    def _in_session(self, act: Callable[[Session], Receipt]) -> Callable[[str], Receipt]:
        def act_in_session(name: str) -> Receipt:
            session = self._sessions.open(name)
            receipt = self._shield(name, lambda: act(session))
            session.report(receipt)
            return receipt

        return act_in_session

    def _guard(self, session_id: SessionId, unencodable: object, act: Callable[[str], Receipt]) -> Receipt:
        """Run a save. Whatever goes wrong is told in the receipt, and never raised."""
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
            name = take_session(session_id)
        except Malformed as error:
            self._say_refused(session_id, error)
            return Receipt("refused", shown, reason=str(error))
        return self._shield(name, lambda: act(name))

    def _say_refused(self, session_id: object, error: Malformed) -> None:
        """Log that an id is refused: agents often do not look at receipts, and nothing of that session is archived."""
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
        """Not public: `lifecycle` calls it before a fork."""
        self._broker.fork_gate.shut()

    def release_after_fork(self) -> None:
        """Not public: `lifecycle` calls it behind a fork, in the parent."""
        self._broker.fork_gate.open()

    def renew_after_fork(self) -> None:
        """Not public: `lifecycle` calls it behind a fork, in the child."""
        self._broker.renew_after_fork()
        self._sessions.renew_after_fork()
        self._calls.renew_after_fork()
