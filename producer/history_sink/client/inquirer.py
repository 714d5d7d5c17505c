"""What the store has of one session: asked, looked for in passing, and taken in."""

import time
from collections.abc import Sequence
from typing import Any

from history_sink.client.account import Account, Rules
from history_sink.client.under_way import UnderWay
from history_sink.errors import Unavailable
from history_sink.ledger.question import Question
from history_sink.protocol.contract import STATUS
from history_sink.protocol.lines import Encode
from history_sink.protocol.status import Status
from history_sink.transport.broker import Broker
from history_sink.transport.link import NO_ANSWERS

FIRST_ANSWER_SECONDS = 0.5
LATE_ANSWER_SECONDS = 60.0
"""How long workers may answer the question of a first save. The save waits less; a later one uses the answer."""

_FIRST_FLIGHT_PAUSE_SECONDS = 0.02
"""Between the first two questions whether what was appended has arrived. Each later pause is longer by half."""


class Inquirer(Account):
    """An account that asks."""

    def __init__(self, name: str, broker: Broker, encode: Encode, rules: Rules | None = None) -> None:
        super().__init__(name, encode, rules)
        self._broker = broker
        self._is_asked = False
        self._question: tuple[str, Question] | None = None  # asked and not answered yet, by task id
        self._under_way = UnderWay(name, broker)

    @property
    def can_ask(self) -> bool:
        """Whether there is a result store, so that a question has an answer."""
        return self._broker.has_answers

    def ask(self, timeout_seconds: float) -> tuple[Status, Question]:
        """Ask the store about what was handed over, and learn from the answer. Raises `Unavailable`, `Malformed`."""
        if not self.can_ask:
            raise Unavailable(NO_ANSWERS)
        with self.lock:
            question = self.ledger.question()
            task_id = self._ask(question, timeout_seconds)
        status = Status.decode(self._broker.take(task_id, timeout_seconds))
        with self.lock:
            self._take_status(status, question)
        return status, question

    def wait_for_beginning(self, timeout_seconds: float) -> None:
        """Learn from the outcomes that are there, and wait for the first of this session's log. Never raises."""
        with self.lock:
            wanted = self._under_way.find_last()
        self._wait(wanted, 0.0)
        with self.lock:
            log = self.ledger.log
            has_begun = log.confirmed or self.appends.has_begun(log.branch)
            wanted = [] if has_begun else self._under_way.find_first(log.branch)
        self._wait(wanted, timeout_seconds)

    def wait_for_outcomes(self, timeout_seconds: float) -> None:
        """Wait until the last upload to each log has its outcome, and learn from what is there then. Never raises."""
        deadline = time.monotonic() + timeout_seconds
        is_pending = True
        while is_pending:  # then what it waits for has an outcome, too
            with self.lock:
                wanted = self._under_way.find_last()
            is_pending = self._wait(wanted, deadline - time.monotonic())

    def _wait(self, task_ids: Sequence[str], timeout_seconds: float) -> bool:
        """Whether all of them have an outcome now, and one is ``pending``."""
        if not task_ids:
            return False
        try:
            answers = self._broker.watch(task_ids, timeout_seconds)
        except Unavailable:
            return False
        with self.lock:
            outcomes = self._under_way.take(answers)
            for sent, outcome in outcomes:
                self._take_outcome(outcome, sent)
        return len(answers) == len(task_ids) and any(outcome.outcome == "pending" for _, outcome in outcomes)

    def settle(self) -> None:
        """Note that the store has all that was handed over."""
        with self.lock:
            self._under_way.clear()

    def find_end(self, timeout_seconds: float) -> tuple[str | None, int]:
        """The log that this session is on, and how far it reaches when it has what the broker has taken.

        Where what was appended lies, the store is asked. Raises `Unavailable`, `Malformed`.
        """
        if not self.appends.is_settled:
            self.ask(timeout_seconds)
        with self.lock:
            branch = self.ledger.log.branch
            return branch, max(self.ledger.log.points.end.offset, self.appends.find_reach(branch))

    def _ask_first(self) -> None:
        """Ask the store how much it has, and wait a little: before the first upload, and if the ledger is uncertain."""
        is_known = self._is_asked and not self.ledger.is_uncertain
        if not len(self.ledger) or is_known or not self._broker.has_answers:
            self.ledger.trust()
            return
        deadline, pause = time.monotonic() + FIRST_ANSWER_SECONDS, _FIRST_FLIGHT_PAUSE_SECONDS
        while True:
            question = self.ledger.question()
            task_id = self._ask(question, LATE_ANSWER_SECONDS)
            self._is_asked, self._question = True, (task_id, question)
            try:
                answer = self._broker.take(task_id, max(0.0, deadline - time.monotonic()))
            except Unavailable:
                break  # a later save looks at it
            self._question = None
            self._learn(answer, question)
            # What was appended and has not arrived may be among the messages: it tells more when that is there.
            is_late = time.monotonic() + pause > deadline
            if is_late or not (self.ledger.is_uncertain and self.appends.is_in_flight(self.ledger.log.branch)):
                break
            time.sleep(pause)
            pause *= 1.5
        self.ledger.trust()

    def _ask(self, question: Question, expires_seconds: float) -> str:
        asked: dict[str, Any] = {"junctions": question.junctions()}
        described = f"junctions: {len(asked['junctions'])}"
        if self.appends.writers:  # an older worker knows none
            asked["writers"] = self.appends.writers
            described += f", writers: {len(asked['writers'])}"
        return self._broker.send(STATUS, (self.name,), asked, f"{{{described}}}", expires_seconds)

    def _look_in_passing(self) -> None:
        asked = self._question
        answer, outcomes = self._under_way.look(asked[0] if asked else None)
        if asked and answer:
            self._question = None
            if answer.failure is None:
                self._learn(answer.value, asked[1])
        for sent, outcome in outcomes:
            self._take_outcome(outcome, sent)
