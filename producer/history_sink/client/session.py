"""One session of one process: it carries out the ledger's decisions with the broker.

Only a session's first save waits for a worker: it asks how much the store has, and waits for half a second at most.
"""

import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from history_sink.errors import Malformed, Unavailable
from history_sink.ledger.comparison import Comparison
from history_sink.ledger.history import Refusal
from history_sink.ledger.ledger import CountedUpload, Ledger
from history_sink.ledger.question import Question
from history_sink.protocol.contract import STATUS, UPLOAD
from history_sink.protocol.lines import Encode, Message, encode_line
from history_sink.protocol.outcome import Outcome, Receipt, ReceiptState
from history_sink.protocol.plain import Unencodable
from history_sink.protocol.status import Status
from history_sink.transport.broker import Broker
from history_sink.transport.clock import find_skew
from history_sink.transport.link import NO_ANSWERS
from history_sink.transport.results import Answer

log = logging.getLogger("history_sink")

FIRST_ANSWER_SECONDS = 0.5
LATE_ANSWER_SECONDS = 60.0
"""How long workers may answer the question of a first save. The save waits less; a later one uses the answer."""

LOOK_SECONDS = 2.0
"""How often a save looks at the outcomes of earlier uploads, at most."""

DELETED = "the session was deleted by who runs the archive; nothing is added to it any more"

LOOKED_AT = 64
"""How many uploads are remembered, to look at their outcomes. The last outcome tells of the uploads before it, too."""

FILTERED_OTHERWISE = (
    "goes on in branch {branch}: the store has another history than these filters make of this one. Either it was"
    " edited, or what is stored was filtered otherwise, or not at all"
)


class Session:
    """One session. Safe for threads: each method holds the lock while it uses the ledger."""

    def __init__(self, name: str, broker: Broker, encode: Encode = encode_line, is_filtered: bool = False) -> None:
        self.name = name
        self.lock = threading.RLock()
        self.ledger = Ledger(encode)
        self._encode = encode
        self._may_be_filtered_otherwise = is_filtered  # said once, of what the store has from before
        self._broker = broker
        self._is_asked = False
        self._question: tuple[str, Question] | None = None  # asked and not answered yet, by task id
        self._sent: OrderedDict[str, tuple[str | None, int]] = OrderedDict()  # branch and end, by task id
        self._next_look = time.monotonic() + LOOK_SECONDS
        self._has_failed = False
        self._is_deleted = False
        self._last_state: ReceiptState = "unchanged"

    @property
    def is_empty(self) -> bool:
        """Whether nothing was handed over to the log that this session is on, and nothing is to be handed over."""
        with self.lock:
            return not len(self.ledger.log.points) and not self.ledger.sendable

    @property
    def is_deleted(self) -> bool:
        """Whether an operator has deleted it, as far as this process knows."""
        return self._is_deleted

    @property
    def is_beside(self) -> bool:
        """Whether workers keep what it hands over beside its log: see `Ledger.is_beside`."""
        with self.lock:
            return self.ledger.is_beside

    @property
    def refusal(self) -> Refusal | None:
        """The first message that cannot become a line, if there is one."""
        with self.lock:
            return self.ledger.refusal

    @property
    def is_handed_over(self) -> bool:
        """Whether the broker has taken all that was given."""
        with self.lock:
            return self.ledger.is_handed_over

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
            # Appended messages are not in the agent's list: without them the next append would not fit.
            return self.ledger.is_handed_over and self.ledger.listed == len(self.ledger)
        finally:
            self.lock.release()

    @property
    def branch(self) -> str | None:
        """The log that this session is on; None is the main one."""
        with self.lock:
            return self.ledger.log.branch

    @property
    def end(self) -> tuple[str | None, int]:
        """The log that this session is on, and the offset behind what the broker has taken of it."""
        with self.lock:
            return self.ledger.log.branch, self.ledger.log.points.end.offset

    def measure(self, start: int, stop: int) -> tuple[int, int] | None:
        """The byte offsets of messages ``[start, stop)`` on this session's log; None: not all were handed over."""
        with self.lock:
            points = self.ledger.log.points
            return (points[start].offset, points[stop].offset) if stop <= len(points) else None

    def save(self, messages: list[Message], unencodable: Unencodable) -> Receipt:
        """See `HistorySink.save`."""
        with self.lock:
            if not self._is_deleted:
                self.ledger.give(messages, unencodable)
            return self._hand_over()

    def append(self, messages: Sequence[Message], unencodable: Unencodable) -> Receipt:
        """See `HistorySink.append`."""
        with self.lock:
            if self._is_deleted:
                return self._hand_over()
            start = len(self.ledger)
            self.ledger.append(messages, unencodable)
            receipt = self._hand_over()
            if receipt.state == "unreachable":
                self.ledger.check(start)  # a bad message is found now: else it would stay, and block those after it
            refusal = self.ledger.refusal
            if refusal is None:
                return receipt
            if refusal.index < self.ledger.listed:
                self.ledger.drop(start)
                return replace(
                    receipt, index=None, reason=f"message {refusal.index} of the saved list: {refusal.reason}"
                )
            if refusal.index < start:  # it was good when it was appended, and was changed before it was sent
                log.error("history-sink: session %s: an appended message was changed: %s", self.name, refusal.reason)
                self.ledger.drop(refusal.index, refusal.index + 1)
                return self._hand_over()
            self.ledger.drop(refusal.index)
            return _as_refused(receipt, Refusal(refusal.index - start, refusal.reason))

    def hand_over(self, whole: bool = False, asks: bool = True) -> Receipt:
        """Send what is missing. `whole`: look for edits in each message. `asks`: ask the store first, if need be."""
        with self.lock:
            return self._hand_over(whole, asks)

    def _hand_over(self, whole: bool = False, asks: bool = True) -> Receipt:
        if self._is_deleted:
            return self._receipt("refused", [], [], DELETED)
        try:
            self._broker.check()
            if asks:
                self._ask_first()
            self.ledger.decide(whole)
        except Unavailable as error:
            return self._receipt("unreachable", [], [], str(error))
        pieces: list[CountedUpload] = []
        task_ids: list[str] = []
        while piece := self.ledger.next_piece():
            try:
                task_ids.append(self._send(piece))
            except Unavailable as error:
                return self._receipt("unreachable", pieces, task_ids, str(error))
            pieces.append(piece)
            self.ledger.accept(piece)
        self._look_in_passing()
        receipt = self._receipt("enqueued" if pieces else "unchanged", pieces, task_ids)
        return _as_refused(receipt, self.ledger.refusal) if self.ledger.refusal else receipt

    def _send(self, piece: CountedUpload) -> str:
        upload = piece.upload
        size = upload.size_bytes
        described = f"{{messages: {len(upload.lines)}, bytes: {size}, offset: {upload.start.offset}"
        described += f", branch: {upload.branch}}}" if upload.branch else "}"
        task_id = self._broker.send(UPLOAD, (self.name, None), upload.encode(), described)
        self._sent[task_id] = upload.branch, upload.start.offset + size
        while len(self._sent) > LOOKED_AT:
            self._sent.popitem(last=False)
        return task_id

    def _receipt(
        self, state: ReceiptState, pieces: list[CountedUpload], task_ids: list[str], reason: str | None = None
    ) -> Receipt:
        return Receipt(
            state=state,
            session=self.name,
            branch=self.ledger.log.branch,
            messages=sum(len(piece.upload.lines) for piece in pieces),
            bytes=sum(piece.upload.size_bytes for piece in pieces),
            task_ids=tuple(task_ids),
            reason=reason,
            replaced=sum(piece.replaced for piece in pieces),
            raw=sum(piece.raw for piece in pieces),
            filtered=dict(sum((Counter(piece.filtered) for piece in pieces), Counter())),
            clock_ahead_seconds=find_skew(self._broker.clock_ahead_seconds),
        )

    # What the store says

    def _ask_first(self) -> None:
        """Ask the store how much it has, and wait a little: before the first upload, and if the ledger is uncertain."""
        if not len(self.ledger) or (self._is_asked and not self.ledger.is_uncertain):
            return
        if not self._broker.has_answers:
            return
        question = self.ledger.question()
        task_id = self._ask(question, LATE_ANSWER_SECONDS)
        self._is_asked, self._question = True, (task_id, question)
        try:
            answer = self._broker.take(task_id, FIRST_ANSWER_SECONDS)
        except Unavailable:
            return  # a later save looks at it
        self._question = None
        self._learn(answer, question)

    def _ask(self, question: Question, expires_seconds: float) -> str:
        junctions = question.junctions(self.ledger.log.confirmed)
        described = f"{{junctions: {len(junctions)}}}"
        return self._broker.send(STATUS, (self.name,), {"junctions": junctions}, described, expires_seconds)

    def ask(self, timeout_seconds: float) -> tuple[Status, Question]:
        """Ask the store about what was handed over, and learn from the answer. Raises `Unavailable`, `Malformed`."""
        if not self.can_ask:
            raise Unavailable(NO_ANSWERS)
        with self.lock:
            question = self.ledger.question()
            task_id = self._ask(question, timeout_seconds)
        status = Status.decode(self._broker.take(task_id, timeout_seconds))
        with self.lock:
            self.ledger.learn(status, question)
        return status, question

    def compare(self, messages: list[Message], timeout_seconds: float) -> Comparison:
        """Ask the store about `messages`, the whole history, and hand over nothing. Raises what `ask` raises."""
        with self.lock:
            self.ledger.give(messages)
        status, _ = self.ask(timeout_seconds)
        with self.lock:
            self._is_asked = True
            return self.ledger.compare(bool(status.logs))

    def rewind(self, offset: int, question: Question) -> None:
        """Have the next save hand over again what is after `offset`: the store lacks it."""
        with self.lock:
            if self.ledger.log.branch == question.branch:
                self.ledger.rewind(offset)

    def _learn(self, answer: Any, question: Question) -> None:
        try:
            self.ledger.learn(Status.decode(answer), question)
        except Malformed as error:
            log.error("history-sink: session %s: an answer that cannot be read: %s", self.name, error)

    def _look_in_passing(self) -> None:
        now = time.monotonic()
        wanted = [*self._sent] + ([self._question[0]] if self._question else [])
        if now < self._next_look or not wanted or not self._broker.has_answers:
            return
        self._next_look = now + LOOK_SECONDS
        try:
            answers = self._broker.look(wanted)
        except Unavailable:
            return
        if self._question and (answer := answers.pop(self._question[0], None)):
            question, self._question = self._question[1], None
            if answer.failure is None:
                self._learn(answer.value, question)
        for task_id, answer in answers.items():
            self._take_outcome(answer, *self._sent.pop(task_id))

    def _take_outcome(self, answer: Answer, branch: str | None, end: int) -> None:
        if answer.failure is not None:
            self._report_failure(answer.failure)
            return
        try:
            outcome = Outcome.decode(answer.value)
        except Malformed as error:
            self._report_failure(f"an outcome that cannot be read: {error}")
            return
        if outcome.outcome == "deleted":
            self.ledger, self._is_deleted = Ledger(self._encode), True  # what was not sent is not kept either
        elif outcome.outcome == "diverged":
            self.ledger.part(branch, outcome.parted.offset if outcome.parted else 0)
        elif outcome.outcome != "pending":
            self.ledger.confirm(branch, end)

    def _report_failure(self, reason: str) -> None:
        if not self._has_failed:
            log.error("history-sink: session %s: an upload failed: %s (said once)", self.name, reason)
        self._has_failed = True

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
        return was_idle


def _as_refused(receipt: Receipt, refusal: Refusal) -> Receipt:
    return replace(receipt, state="refused", index=refusal.index, reason=refusal.reason)
