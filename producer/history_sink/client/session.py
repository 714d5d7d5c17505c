"""One session of one process: it carries out the ledger's decisions with the broker.

Only a session's first save waits for a worker: it asks how much the store has, and waits for half a second at most.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from history_sink.client.account import Rules
from history_sink.client.handed_over import HandedOver, describe_upload
from history_sink.client.inquirer import LATE_ANSWER_SECONDS, Inquirer
from history_sink.client.receipt_log import ReceiptLog
from history_sink.client.under_way import SentUpload
from history_sink.errors import BadMessage, Unavailable
from history_sink.ledger.comparison import Comparison
from history_sink.ledger.history import Refusal
from history_sink.ledger.ledger import Ledger
from history_sink.ledger.question import Question
from history_sink.protocol.batch import Batch
from history_sink.protocol.chain import ORIGIN
from history_sink.protocol.contract import UPLOAD
from history_sink.protocol.filtering import tell
from history_sink.protocol.lines import Encode, Line, Message, PlacedEncode, encode_line, encode_lines
from history_sink.protocol.outcome import Receipt, ReceiptState
from history_sink.protocol.plain import Unencodable
from history_sink.protocol.status import Status
from history_sink.protocol.upload import Upload
from history_sink.transport.broker import Broker

DELETED = "the session was deleted by who runs the archive; nothing is added to it any more"


class Session(Inquirer):
    """One session. Safe for threads: each public method holds the lock while it uses the ledger."""

    def __init__(self, name: str, broker: Broker, encode: Encode = encode_line, rules: Rules | None = None) -> None:
        super().__init__(name, broker, encode, rules)
        self.filtered: Counter[str] = Counter()  # what filters have done to what was handed over
        self._untold: Counter[str] = Counter()  # what of it was done to appended lines, and no worker knows
        self._receipt_log = ReceiptLog(name, is_filtered=rules is not None)
        self._first: tuple[list[Message], Unencodable] | None = None
        self._knows_rules = False

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
            self._first = None if self._is_asked else (messages, unencodable)

    def append(self, messages: Sequence[Message], unencodable: Unencodable) -> Receipt:
        """See `HistorySink.append`."""
        with self.lock:
            if self._is_deleted:
                return self._hand_over()
            self.was_given = True
            lines, refusal = self._make_lines(messages, unencodable)
            self.appends.add(line.data for line in lines)
            for line in lines:
                if line.filtered:
                    self._untold.update(line.filtered)
            receipt = self._hand_over()
            self._ask_beside()
            if receipt.state == "refused":
                self.appends.withdraw(len(lines))
                self._untold.clear()
                listed = f"message {receipt.index} of the saved list: {receipt.reason}"
                return receipt if receipt.index is None else replace(receipt, index=None, reason=listed)
            receipt = _note_lines(receipt, lines)
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
                self._go_by_the_logs_rules()
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

    def _ask_beside(self) -> None:
        """Ask what the log was begun by, where only appends come, and wait for nothing."""
        if self._is_asked or len(self.ledger) or not self.rules or not self._broker.has_answers:
            return
        question = self.ledger.question()
        self._is_asked, self._question = True, (self._ask(question, LATE_ANSWER_SECONDS), question)

    def _take_status(self, status: Status, question: Question) -> None:
        super()._take_status(status, question)
        log = next((log for log in status.logs if log.branch == question.branch), None)
        if log is not None and log.rules != self.rules and not len(self.ledger) and self.was_given:
            self._receipt_log.say_mixed(log.rules, self.rules)

    def _go_by_the_logs_rules(self) -> None:
        """Make the lines anew where the log was begun by other rules that filters here know. Else say it, once."""
        begun, first = self._begun_by, self._first
        self._first = None
        if begun is None or self._knows_rules:
            return
        self._knows_rules = True
        if begun == self.rules:
            return
        encode = self._rules.adopt(self.name, begun) if self._rules and first else None
        if encode is None or first is None:
            self._receipt_log.say_rules(begun, self.rules)
            return
        self._encode, self._is_asked, self._question = encode, False, None
        self.ledger = Ledger(encode)
        self.ledger.give(*first)
        self._ask_first()

    def _decide(self, whole: bool) -> None:
        """Find the session's log. It looks for an edit when a list comes, and not when messages are appended."""
        if self.ledger.has_news or not (self.appends.has_sequel and self.ledger.is_handed_over):
            self.ledger.decide(whole)
        self.appends.follow(self.ledger.log)

    def _send_pieces(self, done: HandedOver) -> None:
        while piece := self.ledger.next_piece():
            upload = piece.upload
            rules = "" if upload.start.offset else self.rules
            task_id = self._send(upload, f"offset: {upload.start.offset}", tell(rules, piece.filtered))
            if piece.filtered:
                self.filtered.update(piece.filtered)
            self._under_way.add(task_id, SentUpload(upload.branch, self.ledger.accept(piece)))
            done.count(upload, task_id)
            done.note(piece)

    def _send_batches(self, done: HandedOver) -> None:
        while following := self.appends.next_batch():
            stream, batch = following
            rules = "" if batch.position else self.rules
            task_id = self._send(batch, f"position: {batch.position}", tell(rules, self._untold))
            if self._untold:
                self.filtered.update(self._untold)
                self._untold.clear()
            stream.accept(batch)
            self._under_way.add(task_id, SentUpload(batch.branch, stream=stream, placed=stream.sent))
            done.count(batch, task_id)
            if not self._broker.has_answers:
                self.appends.confirm(stream, stream.sent)  # nobody can ever tell

    def _send(self, sent: Upload | Batch, where: str, told: Mapping[str, object]) -> str:
        fields = {**sent.encode(), **told}
        return self._broker.send(UPLOAD, (self.name, None), fields, describe_upload(sent, where))

    def _receipt(self, state: ReceiptState | None, done: HandedOver, reason: str | None = None) -> Receipt:
        return done.tell(self.name, self.ledger.log.branch, self._broker.clock_ahead_seconds, state, reason)

    def compare(self, messages: list[Message], timeout_seconds: float) -> Comparison:
        """Ask the store about `messages`, the whole history, and hand over nothing. Raises what `ask` raises."""
        with self.lock:
            self._give(messages)
        status, _ = self.ask(timeout_seconds)
        with self.lock:
            self._is_asked = True
            return self.ledger.compare(bool(status.logs))

    def report(self, receipt: Receipt) -> None:
        """Log what is wrong, for agents that do not look at their receipts."""
        self._receipt_log.report(receipt)


def _note_lines(receipt: Receipt, lines: list[Line]) -> Receipt:
    """With what was done to the messages until they were `lines`."""
    if not any(line.replaced or line.raw or line.filtered for line in lines):
        return receipt  # as mostly, and another receipt costs more than to look
    made = HandedOver(replaced=receipt.replaced, raw=receipt.raw, filtered=Counter(receipt.filtered))
    for line in lines:
        made.note(line)
    return replace(receipt, replaced=made.replaced, raw=made.raw, filtered=dict(made.filtered))


def _as_refused(receipt: Receipt, refusal: Refusal) -> Receipt:
    return replace(receipt, state="refused", index=refusal.index, reason=refusal.reason)
