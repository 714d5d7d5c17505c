"""The calls of a sink that look through the whole archive: which sessions there are, and where something was said."""

from collections.abc import Iterable
from dataclasses import replace

from history_sink.client.checks import check_limit, check_timeout
from history_sink.errors import Malformed
from history_sink.protocol.listing import Listing, check_beginning, check_fields
from history_sink.protocol.outcome import Receipt
from history_sink.protocol.pointer import Fault
from history_sink.protocol.search import Question, Recalled
from history_sink.protocol.session_ids import SessionId, take_session
from history_sink.sink_parts import SinkParts


class SinkSearches(SinkParts):
    """A part of `HistorySink`. It hands over nothing."""

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
        self._guard.check_open()
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
        self._guard.check_open()
        if at_least is not None:
            question = replace(question, at_least=self._place_of(at_least, timeout_seconds))
        return self._reading.recall(question, timeout_seconds)

    def _place_of(self, receipt: Receipt, timeout_seconds: float) -> tuple[str, str | None, int]:
        session = self._sessions.get(receipt.session) if isinstance(receipt, Receipt) else None
        if session is None:
            raise Malformed("at_least is a receipt that this sink has given, of a session that it has not forgotten")
        return (session.name, *session.find_end(timeout_seconds))
