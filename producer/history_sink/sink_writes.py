"""The calls of a sink that hand over messages, and see to it that the store gets them."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import overload

from history_sink.client.checks import check_list, check_timeout
from history_sink.client.flush import flush
from history_sink.client.guard import CLOSED
from history_sink.client.session import Session
from history_sink.errors import Malformed
from history_sink.protocol.lines import Message
from history_sink.protocol.log_end import LogEnd
from history_sink.protocol.outcome import FlushResult, Outcome, Receipt
from history_sink.protocol.plain import Unencodable
from history_sink.protocol.session_ids import SessionId, show_session, take_session
from history_sink.sink_parts import SinkParts

log = logging.getLogger("history_sink")


class SinkWrites(SinkParts):
    """A part of `HistorySink`. None of these calls raises."""

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

        return self._guard.run(session_id, unencodable, self._in_session(act))

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
        receipt = self._guard.run(session_id, unencodable, act)
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

    def _in_session(self, act: Callable[[Session], Receipt]) -> Callable[[str], Receipt]:
        def act_in_session(name: str) -> Receipt:
            session = self._sessions.open(name)
            receipt = self._guard.shield(name, lambda: act(session))
            session.report(receipt)
            return receipt

        return act_in_session

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
        return self._guard.run(
            session_id, unencodable, lambda name: self._extension.extend(name, messages, after, unencodable)
        )

    def flush(self, session_id: SessionId, timeout_seconds: float = 30.0) -> FlushResult:
        """Wait until the store has all of the session, and send again what it lacks. Never raises.

        Args:
            session_id: As for `save`.
            timeout_seconds: How long to wait for it all, in seconds.

        Returns:
            A true result only if a worker has looked and found all of it, or if the history is empty. Otherwise the
            result's `state` and `reason` say why not: see `FlushResult`.
        """
        if self._guard.why_disabled is not None:
            return FlushResult("disabled", self._guard.why_disabled)
        if self._guard.is_closed:
            self._guard.say_closed(f"a flush of session {show_session(session_id)!r}")
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
            self._guard.say_refused(session_id, error)
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
            self._guard.say_refused(session_id, error)
