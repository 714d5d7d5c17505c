"""What one process has of one session: the ledger, what was appended, and what the store's answers make of both."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from history_sink.client.under_way import SentUpload
from history_sink.errors import Malformed
from history_sink.ledger.appends import Appends
from history_sink.ledger.history import Refusal
from history_sink.ledger.ledger import Ledger
from history_sink.ledger.question import Question
from history_sink.protocol.lines import Encode
from history_sink.protocol.log_end import LogEnd
from history_sink.protocol.outcome import Outcome
from history_sink.protocol.status import Status

log = logging.getLogger("history_sink")


@dataclass(frozen=True, slots=True)
class Rules:
    """Of a sink's filters: `read` names those that an encoder goes by, `adopt` makes one that goes by a log's own."""

    read: Callable[[Encode], str]
    adopt: Callable[[str, str], Encode | None]


class Account:
    """Knows no broker. Safe for threads: each public method holds the lock while it uses the ledger."""

    def __init__(self, name: str, encode: Encode, rules: Rules | None = None) -> None:
        self.name = name
        self.lock = threading.RLock()
        self.ledger = Ledger(encode)
        self.appends = Appends()
        self.was_given = False  # whether the agent has given it anything
        self._encode = encode
        self._rules = rules
        self._begun_by: str | None = None  # the rules of the log's first lines, once the store has told them
        self._is_deleted = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing was handed over to the log that this session is on, and nothing is to be handed over."""
        with self.lock:
            return not len(self.ledger.log.points) and not self.ledger.sendable and self.appends.is_empty

    @property
    def is_deleted(self) -> bool:
        """Whether an operator has deleted it, as far as this process knows."""
        return self._is_deleted

    @property
    def refusal(self) -> Refusal | None:
        """The first message that cannot become a line, if there is one."""
        with self.lock:
            return self.ledger.refusal

    @property
    def is_handed_over(self) -> bool:
        """Whether the broker has taken all that was given."""
        with self.lock:
            return self.ledger.is_handed_over and self.appends.is_handed_over

    @property
    def is_confirmed(self) -> bool:
        """Whether the store has told that it has all that was given."""
        with self.lock:
            return self.ledger.is_confirmed and self.appends.is_settled

    @property
    def has_news(self) -> bool:
        """Whether the store has said something that the next save acts on."""
        with self.lock:
            return self._is_deleted or self.ledger.has_news

    @property
    def is_spare(self) -> bool:
        """Whether this process may forget the session and lose nothing. Never waits for a thread that works on it."""
        if not self.lock.acquire(blocking=False):
            return False
        try:
            return self.ledger.is_handed_over and self.appends.is_settled
        finally:
            self.lock.release()

    @property
    def branch(self) -> str | None:
        """The log that this session is on; None is the main one."""
        with self.lock:
            return self.ledger.log.branch

    def measure(self, start: int, stop: int) -> tuple[int, int] | None:
        """The byte offsets of messages ``[start, stop)`` on this session's log; None where they may not be there."""
        with self.lock:
            log = self.ledger.log
            if stop > log.firm:
                return self.appends.measure(start, stop, log.points)
            return log.points[start].offset, log.points[stop].offset

    # What the store says

    def note_end(self, end: LogEnd) -> None:
        """Take in how far a log reaches in the store."""
        with self.lock:
            self.appends.note_end(end)

    def rewind(self, offset: int, question: Question) -> None:
        """Have the next save hand over again what is after `offset`: the store lacks it."""
        with self.lock:
            if self.ledger.log.branch == question.branch:
                self.ledger.rewind(offset, self.appends.is_in_flight(question.branch))
                self.appends.rebase(self.ledger.log)

    def tell_appends(self) -> tuple[bool, int, int]:
        """Whether the store has confirmed all that was appended; how many bytes of it it has; how many were given."""
        with self.lock:
            return self.appends.is_settled, *self.appends.size_bytes

    def rewind_appends(self) -> None:
        """Have the next save hand over again what was appended and is not confirmed: the store lacks it."""
        with self.lock:
            self.appends.rewind()

    @property
    def rules(self) -> str:
        """By which rules this sink's filters make the session's lines; "" where none names its own."""
        return self._rules.read(self._encode) if self._rules else ""

    def _take_status(self, status: Status, question: Question) -> None:
        begun = {log.branch: log.rules for log in status.logs}
        if self.rules not in begun.values():  # else one of its logs is by these rules, and it goes on there
            self._begun_by = self._begun_by or begun.get(question.branch) or None
        self.appends.learn(status)
        is_about_more = len(question.points) > len(self.ledger.log.points)
        if not (is_about_more and self.appends.is_in_flight(self.ledger.log.branch)):
            self.ledger.learn(status, question)  # else messages that a stream carries would be taken for missing

    def _learn(self, answer: Any, question: Question) -> None:
        try:
            self._take_status(Status.decode(answer), question)
        except Malformed as error:
            log.error("history-sink: session %s: an answer that cannot be read: %s", self.name, error)

    def _take_outcome(self, outcome: Outcome, sent: SentUpload) -> None:
        if outcome.outcome == "deleted":
            # What was not sent is not kept either.
            self.ledger, self.appends, self._is_deleted = Ledger(self._encode), Appends(), True
        elif outcome.outcome == "diverged":
            self.ledger.part(sent.branch, outcome.parted.offset if outcome.parted else 0)
        elif outcome.outcome == "pending":
            return
        elif sent.stream is not None:
            self.appends.confirm(sent.stream, sent.placed)
            if outcome.end is not None:
                self.appends.note_end(outcome.end)
        elif sent.end is not None:
            self.ledger.confirm(sent.branch, sent.end)

    def renew_after_fork(self) -> bool:
        """Make a new lock in a forked child. Returns False if a thread of the parent was at work on this session."""
        was_idle = self.lock.acquire(blocking=False)
        self.lock = threading.RLock()
        self.appends.renew_after_fork()
        return was_idle
