"""One session of one process: it carries out the ledger's decisions with the broker.

Only a session's first save waits for a worker: it asks how much the store has, and waits for half a second at most.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from history_sink.client.handed_over import HandedOver, describe_upload
from history_sink.client.under_way import SentUpload, UnderWay
from history_sink.errors import BadMessage, Malformed, Unavailable
from history_sink.ledger.appends import Appends
from history_sink.ledger.comparison import Comparison
from history_sink.ledger.history import Refusal
from history_sink.ledger.ledger import Ledger
from history_sink.ledger.question import Question
from history_sink.protocol.batch import Batch
from history_sink.protocol.chain import ORIGIN
from history_sink.protocol.contract import STATUS, UPLOAD
from history_sink.protocol.lines import Encode, Line, Message, PlacedEncode, encode_line, encode_lines
from history_sink.protocol.log_end import LogEnd
from history_sink.protocol.outcome import Outcome, Receipt, ReceiptState
from history_sink.protocol.plain import Unencodable
from history_sink.protocol.status import Status
from history_sink.protocol.upload import Upload
from history_sink.transport.broker import Broker
from history_sink.transport.link import NO_ANSWERS

log = logging.getLogger("history_sink")

FIRST_ANSWER_SECONDS = 0.5
LATE_ANSWER_SECONDS = 60.0
"""How long workers may answer the question of a first save. The save waits less; a later one uses the answer."""

DELETED = "the session was deleted by who runs the archive; nothing is added to it any more"

FILTERED_OTHERWISE = (
    "goes on in branch {branch}: the store has another history than these filters make of this one. Either it was"
    " edited, or what is stored was filtered otherwise, or not at all"
)


_FIRST_FLIGHT_PAUSE_SECONDS = 0.02
"""Between the first two questions whether what was appended has arrived. Each later pause is longer by half."""


class Session:
    """One session. Safe for threads: each method holds the lock while it uses the ledger."""

    def __init__(self, name: str, broker: Broker, encode: Encode = encode_line, is_filtered: bool = False) -> None:
        self.name = name
        self.lock = threading.RLock()
        self.ledger = Ledger(encode)
        self.appends = Appends()
        self.was_given = False  # whether the agent has given it anything
        self._encode = encode
        self._may_be_filtered_otherwise = is_filtered  # said once, of what the store has from before
        self._broker = broker
        self._is_asked = False
        self._question: tuple[str, Question] | None = None  # asked and not answered yet, by task id
        self._under_way = UnderWay(name, broker)
        self._is_deleted = False
        self._last_state: ReceiptState = "unchanged"

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
    def can_ask(self) -> bool:
        """Whether there is a result store, so that a question has an answer."""
        return self._broker.has_answers

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

    def find_end(self, timeout_seconds: float) -> tuple[str | None, int]:
        """The log that this session is on, and how far it reaches when it has what the broker has taken.

        Where what was appended lies, the store is asked. Raises `Unavailable`, `Malformed`.
        """
        if not self.appends.is_settled:
            self.ask(timeout_seconds)
        with self.lock:
            branch = self.ledger.log.branch
            return branch, max(self.ledger.log.points.end.offset, self.appends.find_reach(branch))

    def measure(self, start: int, stop: int) -> tuple[int, int] | None:
        """The byte offsets of messages ``[start, stop)`` on this session's log; None where they may not be there."""
        with self.lock:
            log = self.ledger.log
            if stop > log.firm:
                return self.appends.measure(start, stop, log.points)
            return log.points[start].offset, log.points[stop].offset

    def note_end(self, end: LogEnd) -> None:
        """Take in how far a log reaches in the store."""
        with self.lock:
            self.appends.note_end(end)

    def save(self, messages: list[Message], unencodable: Unencodable) -> Receipt:
        """See `HistorySink.save`."""
        with self.lock:
            self._give(messages, unencodable)
            return self._hand_over()

    def _give(self, messages: list[Message], unencodable: Unencodable = "replace") -> None:
        """Take the whole history. What was appended is part of it, and is not handed over again."""
        if not self._is_deleted:
            self.was_given = True
            self.appends.drop_waiting()
            self.ledger.graft(*self.appends.take_sequel())
            self.ledger.give(messages, unencodable)

    def append(self, messages: Sequence[Message], unencodable: Unencodable) -> Receipt:
        """See `HistorySink.append`."""
        with self.lock:
            if self._is_deleted:
                return self._hand_over()
            self.was_given = True
            lines, refusal = self._make_lines(messages, unencodable)
            self.appends.add(line.data for line in lines)
            receipt = self._hand_over()
            if receipt.state == "refused":
                self.appends.withdraw(len(lines))
                listed = f"message {receipt.index} of the saved list: {receipt.reason}"
                return receipt if receipt.index is None else replace(receipt, index=None, reason=listed)
            made = HandedOver(replaced=receipt.replaced, raw=receipt.raw, filtered=Counter(receipt.filtered))
            for line in lines:
                made.note(line)
            receipt = replace(receipt, replaced=made.replaced, raw=made.raw, filtered=dict(made.filtered))
            return _as_refused(receipt, refusal) if refusal else receipt

    def _make_lines(self, messages: Sequence[Message], unencodable: Unencodable) -> tuple[list[Line], Refusal | None]:
        """The lines of the messages before the first that cannot become one, and why that cannot."""
        lines: list[Line] = []
        is_placed = isinstance(self._encode, PlacedEncode)
        before = self.appends.find_chain(self.ledger.find_chain()) if is_placed else ORIGIN
        try:
            for line in encode_lines(self._encode, messages, unencodable, before):
                lines.append(line)
        except BadMessage as error:
            return lines, Refusal(len(lines), str(error))
        return lines, None

    def hand_over(self, whole: bool = False) -> Receipt:
        """Send what is missing. `whole`: look for edits in each message."""
        with self.lock:
            return self._hand_over(whole)

    def hand_over_last(self) -> Receipt:
        """Send what is missing when the sink is closed. It is ``unreachable`` only if something is missing."""
        with self.lock:
            receipt = self._hand_over(whole=True, asks=False)
            if receipt.state != "unreachable":
                return receipt
            self._decide(whole=True)  # there may be edits that no save has seen
            return replace(receipt, state="unchanged", reason=None) if self.is_handed_over else receipt

    def _hand_over(self, whole: bool = False, asks: bool = True) -> Receipt:
        if self._is_deleted:
            return self._receipt("refused", HandedOver(), DELETED)
        done = HandedOver()
        try:
            self._broker.check()
            self._send_batches(done)  # they come before what was saved since
            if asks:
                self._ask_first()
            self._decide(whole)
            self._send_pieces(done)
            if self.ledger.is_handed_over:
                self.appends.bind(self.ledger.log, self._broker.has_answers)
                self._send_batches(done)
        except Unavailable as error:
            return self._receipt("unreachable", done, str(error))
        self._look_in_passing()
        receipt = self._receipt(None, done)
        return _as_refused(receipt, self.ledger.refusal) if self.ledger.refusal else receipt

    def _decide(self, whole: bool) -> None:
        """Find the session's log. It looks for an edit when a list comes, and not when messages are appended."""
        if self.ledger.has_news or not (self.appends.has_sequel and self.ledger.is_handed_over):
            self.ledger.decide(whole)
        self.appends.follow(self.ledger.log)

    def _send_pieces(self, done: HandedOver) -> None:
        while piece := self.ledger.next_piece():
            upload = piece.upload
            task_id = self._send(upload, f"offset: {upload.start.offset}")
            self._under_way.add(task_id, SentUpload(upload.branch, upload.start.offset + upload.size_bytes))
            self.ledger.accept(piece)
            done.count(upload, task_id)
            done.note(piece)

    def _send_batches(self, done: HandedOver) -> None:
        while following := self.appends.next_batch():
            stream, batch = following
            task_id = self._send(batch, f"position: {batch.position}")
            stream.accept(batch)
            self._under_way.add(task_id, SentUpload(batch.branch, stream.sent, stream))
            done.count(batch, task_id)
            if not self._broker.has_answers:
                self.appends.confirm(stream, stream.sent)  # nobody can ever tell

    def _send(self, sent: Upload | Batch, where: str) -> str:
        return self._broker.send(UPLOAD, (self.name, None), sent.encode(), describe_upload(sent, where))

    def _receipt(self, state: ReceiptState | None, done: HandedOver, reason: str | None = None) -> Receipt:
        return done.tell(self.name, self.ledger.log.branch, self._broker.clock_ahead_seconds, state, reason)

    # What the store says

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
        asked: dict[str, Any] = {"junctions": question.junctions(self.ledger.log.confirmed)}
        described = f"junctions: {len(asked['junctions'])}"
        if self.appends.writers:  # an older worker knows none
            asked["writers"] = self.appends.writers
            described += f", writers: {len(asked['writers'])}"
        return self._broker.send(STATUS, (self.name,), asked, f"{{{described}}}", expires_seconds)

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

    def compare(self, messages: list[Message], timeout_seconds: float) -> Comparison:
        """Ask the store about `messages`, the whole history, and hand over nothing. Raises what `ask` raises."""
        with self.lock:
            self._give(messages)
        status, _ = self.ask(timeout_seconds)
        with self.lock:
            self._is_asked = True
            return self.ledger.compare(bool(status.logs))

    def rewind(self, offset: int, question: Question) -> None:
        """Have the next save hand over again what is after `offset`: the store lacks it."""
        with self.lock:
            if self.ledger.log.branch == question.branch:
                self.ledger.rewind(offset, self.appends.is_in_flight(question.branch))

    def tell_appends(self) -> tuple[bool, int, int]:
        """Whether the store has confirmed all that was appended; how many bytes of it it has; how many were given."""
        with self.lock:
            return self.appends.is_settled, *self.appends.size_bytes

    def rewind_appends(self) -> None:
        """Have the next save hand over again what was appended and is not confirmed: the store lacks it."""
        with self.lock:
            self.appends.rewind()

    def _take_status(self, status: Status, question: Question) -> None:
        self.appends.learn(status)
        is_about_more = len(question.points) > len(self.ledger.log.points)
        if not (is_about_more and self.appends.is_in_flight(self.ledger.log.branch)):
            self.ledger.learn(status, question)  # else messages that a stream carries would be taken for missing

    def _learn(self, answer: Any, question: Question) -> None:
        try:
            self._take_status(Status.decode(answer), question)
        except Malformed as error:
            log.error("history-sink: session %s: an answer that cannot be read: %s", self.name, error)

    def _look_in_passing(self) -> None:
        asked = self._question
        answer, outcomes = self._under_way.look(asked[0] if asked else None)
        if asked and answer:
            self._question = None
            if answer.failure is None:
                self._learn(answer.value, asked[1])
        for sent, outcome in outcomes:
            self._take_outcome(outcome, sent)

    def _take_outcome(self, outcome: Outcome, sent: SentUpload) -> None:
        if outcome.outcome == "deleted":
            # What was not sent is not kept either.
            self.ledger, self.appends, self._is_deleted = Ledger(self._encode), Appends(), True
        elif outcome.outcome == "diverged":
            self.ledger.part(sent.branch, outcome.parted.offset if outcome.parted else 0)
        elif outcome.outcome == "pending":
            return
        elif sent.stream is not None:
            self.appends.confirm(sent.stream, sent.end)
            if outcome.end is not None:
                self.appends.note_end(outcome.end)
        else:
            self.ledger.confirm(sent.branch, sent.end)

    def report(self, receipt: Receipt) -> None:
        """Log what is wrong, for agents that do not look at their receipts. A state that lasts is logged once."""
        if receipt.replaced:
            log.warning(
                "history-sink: session %s: %d values that JSON cannot carry replaced", self.name, receipt.replaced
            )
        if receipt.state == "enqueued" and self._may_be_filtered_otherwise:
            self._may_be_filtered_otherwise = False
            if receipt.branch is not None:
                log.warning("history-sink: session %s: %s", self.name, FILTERED_OTHERWISE.format(branch=receipt.branch))
        if receipt.state != self._last_state and receipt.state in ("unreachable", "refused"):
            where = "" if receipt.index is None else f", message {receipt.index}"
            log.warning("history-sink: session %s: %s%s: %s", self.name, receipt.state, where, receipt.reason)
        self._last_state = receipt.state

    def renew_after_fork(self) -> bool:
        """Make a new lock in a forked child. Returns False if a thread of the parent was at work on this session."""
        was_idle = self.lock.acquire(blocking=False)
        self.lock = threading.RLock()
        self.appends.renew_after_fork()
        return was_idle


def _as_refused(receipt: Receipt, refusal: Refusal) -> Receipt:
    return replace(receipt, state="refused", index=refusal.index, reason=refusal.reason)
