"""The calls of a sink that tell of a history what handing it over would do, and hand over nothing."""

from collections.abc import Iterable

from history_sink.client.checks import check_list, check_timeout
from history_sink.errors import HistorySinkError
from history_sink.ledger.comparison import Comparison
from history_sink.protocol.lines import Message
from history_sink.protocol.log_end import LogEnd
from history_sink.protocol.plain import Unencodable
from history_sink.protocol.session_ids import SessionId, take_session
from history_sink.sink_parts import SinkParts


class SinkMeasures(SinkParts):
    """A part of `HistorySink`."""

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
        self._guard.check_open()
        session = self._sessions.open(take_session(session_id))
        try:
            return session.compare(check_list(messages), check_timeout(timeout_seconds))
        except HistorySinkError:
            self._sessions.forget(session.name)
            raise

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
