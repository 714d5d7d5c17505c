"""What one process knows of one session: the history that the agent wants kept, and how much of it is handed over.

Pure: no I/O and no clock. Its user calls, in this order: `give` with the agent's messages; `decide`, which finds the
log that they belong on; `next_piece`, until it returns None, and `accept` for each piece that the broker has taken.
`graft` takes in what streams carry. `learn`, `confirm`, `part` and `rewind` take in what the store says.
"""

from collections.abc import Iterator

from history_sink.ledger.comparison import Comparison
from history_sink.ledger.counted_upload import CountedUpload, gather
from history_sink.ledger.history import Refusal, Wanted
from history_sink.ledger.junctions import Points
from history_sink.ledger.known_logs import KnownLog, KnownLogs, name_branch
from history_sink.ledger.question import Question
from history_sink.protocol.chain import ORIGIN, Junction, advance
from history_sink.protocol.lines import Encode, Line, Message, encode_line
from history_sink.protocol.plain import Unencodable
from history_sink.protocol.status import Status


class Ledger:
    """The state of one session. Only one thread at a time may use it."""

    def __init__(self, encode: Encode = encode_line) -> None:
        self.logs = KnownLogs()
        self.refusal: Refusal | None = None
        self._wanted = Wanted(encode)
        self._has_news = False
        self._is_guess = False  # messages that streams carry are taken to be where a process alone would have them
        self._history: Points | None = None  # the points of all wanted messages, if `question` has just computed them

    @property
    def log(self) -> KnownLog:
        """The log that the history goes to."""
        return self.logs.current

    def __len__(self) -> int:
        """How many messages the history has that the agent wants kept."""
        return len(self._wanted)

    @property
    def sendable(self) -> int:
        """How many messages there are before the first that cannot become a line."""
        return self.refusal.index if self.refusal else len(self._wanted)

    @property
    def is_handed_over(self) -> bool:
        """Whether the broker has taken all that is wanted, as far as `decide` has looked."""
        return self._wanted.is_matched and self.log.resend is None

    @property
    def is_confirmed(self) -> bool:
        """Whether the store has told that it has all that is wanted, up to what cannot become a line."""
        log = self.log
        return self._wanted.matched >= self.sendable and log.resend is None and log.confirmed >= len(log.points)

    @property
    def has_news(self) -> bool:
        """Whether the store has said something that `decide` has not looked at yet."""
        return self._has_news

    # What the agent says

    def give(self, messages: list[Message], unencodable: Unencodable = "replace") -> None:
        """Take the whole history, as the agent has it now."""
        self._history = None
        self._wanted.give(messages, unencodable)

    def graft(self, sequel: Points, is_exact: bool) -> None:
        """Note that a stream carries the messages of `sequel`, which follow all that was handed over.

        `is_exact`: the store has said that they lie there, with nobody's lines between.
        """
        self._history = None
        if not len(sequel) or sequel[0].chain != self.log.points.end.chain:
            return
        self.log.graft(sequel)
        if is_exact:
            self.log.confirm(len(self.log.points))
        self._is_guess = not is_exact

    # Which log it belongs on

    def decide(self, whole: bool = False) -> None:
        """Find the log that the history belongs on, or open a branch. `whole`: look for edits in each message."""
        if self._history is None:  # else `question` has just looked for a message that cannot become a line
            self.refusal = None
        if whole or self._history is None:
            self._wanted.match(self.log.points, self.log.sure, whole)
        if self._has_news or not self._is_on_log():
            self._choose()
        self._has_news, self._history = False, None

    def _is_on_log(self) -> bool:
        log, handed_over = self.log, len(self.log.points)
        is_opened = log.branch is None or handed_over > 0
        goes_on = self._wanted.matched == handed_over and is_opened and log.parted is None
        return goes_on or self._wanted.is_matched

    def _choose(self) -> None:
        history = self._draft() if self._history is None else self._history
        before = self.log
        log, on_log = self.logs.choose(history)
        self.logs.current = log
        self._wanted.move(on_log, sound=log.points.count_common(before.points))

    def _draft(self) -> Points:
        """The points of all wanted messages, up to the first that cannot become a line."""
        self.refusal = None
        points = self.log.points.prefix(self._wanted.matched)
        points.extend(line.data for line in self._lines(self._wanted.matched))
        return points

    # What to hand over

    def next_piece(self) -> CountedUpload | None:
        """The next lines for the broker. None: there are no more, or the next message cannot become a line."""
        log = self.log
        if log.resend is not None and not self._is_on_log_at(log.resend):
            log.resend = None  # the history belongs on another log now
        start = len(log.points) if log.resend is None else log.resend
        if self._wanted.matched < start or start == len(self._wanted):
            return None
        most = None if log.resend is None else log.count_resent()
        return gather(log.branch, log.points[start], self._lines(start), most)

    def _is_on_log_at(self, index: int) -> bool:
        """Whether the message is wanted as it was handed over."""
        if index >= self._wanted.matched:
            return False
        line = self._wanted.encode(index, self.log.points[index].chain)
        return not isinstance(line, Refusal) and self.log.points.leads_to(index, line.data)

    def find_chain(self) -> bytes:
        """The chain behind all that is wanted."""
        return (self.log.points if self.is_handed_over else self._draft()).end.chain

    def compare(self, is_known: bool) -> Comparison:
        """Call `decide`, and tell how much `next_piece` would then hand over. `is_known`: the store has the session."""
        history = self._history
        self.decide()
        if history is None:  # not before: `decide` finds what was edited in place
            history = self._draft()
        branch, start, end = self.log.branch, history[self._wanted.matched], history.end
        size = end.offset - start.offset
        is_foreign = is_known and len(history) > 0 and branch == name_branch(history[1])
        messages = len(history) - self._wanted.matched
        refusal = f"message {self.refusal.index}: {self.refusal.reason}" if self.refusal else None
        return Comparison(branch, self._wanted.matched, start.offset, messages, size, not is_known, is_foreign, refusal)

    def accept(self, piece: CountedUpload) -> Junction:
        """Note that the broker has taken `piece`, which `next_piece` returned last. Returns where it ends."""
        messages = piece.upload.start.messages + len(piece.upload.lines)
        if self.log.resend is not None:
            self.log.resend = self.log.skip(messages)
            return self.log.points[messages]
        self.log.points.extend(piece.upload.lines)
        self.log.saved = len(self.log.points)
        self._wanted.accept(len(piece.upload.lines))
        return self.log.points.end

    def _lines(self, start: int) -> Iterator[Line]:
        points, is_placed = self.log.points, self._wanted.is_placed
        before = points[start].chain if start <= len(points) else ORIGIN  # then only refusals are looked for
        for index in range(start, len(self._wanted)):
            line = self._wanted.encode(index, before)
            if isinstance(line, Refusal):
                self.refusal = line
                return
            before = advance(before, line.data) if is_placed else before
            yield line

    # What the store says

    @property
    def is_uncertain(self) -> bool:
        """Whether to ask the store before the next `decide`: its log has, or may have, more lines than are known.

        They may be this history's.
        """
        return self._is_guess or (self.log.holds_more and len(self._wanted) > self.log.sure)

    def trust(self) -> None:
        """Note that the store was asked about what is a guess: it is not asked again."""
        self._is_guess = False

    def question(self) -> Question:
        """What to ask the store about: all that was handed over.

        If nothing was handed over yet, or if `is_uncertain`, it is about all wanted messages.
        """
        if self.is_uncertain or not len(self.log.points):
            self._wanted.match(self.log.points, self.log.sure)
            self._history = self._draft()
            confirmed = min(self.log.confirmed, len(self._history))
            return Question(self.log.branch, self._history, is_whole=True, confirmed=confirmed)
        is_whole = self._wanted.matched >= self.sendable
        return Question(self.log.branch, self.log.points.prefix(len(self.log.points)), is_whole, self.log.confirmed)

    def learn(self, status: Status, question: Question) -> None:
        """Take in the answer to `question`. The next `decide` acts on it."""
        is_first = bool(status.logs) and (self.is_uncertain or not len(self.log.points))
        for told in sorted(status.logs, key=lambda told: told.common):  # the last one is remembered for longest
            self.logs.learn(told, question.points)
            if self._is_guess and told.branch == self.log.branch:
                self.log.compare_end(told, question.points)
        self._after_news(is_first)

    def confirm(self, branch: str | None, end: Junction) -> None:
        """Note that the store holds the log `branch` up to `end`; other lines of that length tell nothing of it."""
        log = self.logs.get(branch)
        if log and log.points.holds(end):
            log.confirm(end.messages)

    def part(self, branch: str | None, offset: int) -> None:
        """Note that the log `branch` goes another way after `offset`. If this history is on it, it needs a branch."""
        log = self.logs.get(branch)
        if log:
            log.part(offset)
            self._after_news()

    def rewind(self, offset: int, is_in_flight: bool = False) -> None:
        """Note that the store lacks what was handed over after `offset`: it is to be handed over again.

        `is_in_flight`: what streams carry is perhaps on its way, and follows what was handed over. Else uploads carry
        it, too. Where nobody wants any more the first that uploads carry, that is forgotten with all behind it, and
        nothing has to wait for it.
        """
        log = self.log
        messages = log.points.find(offset) or 0
        log.confirmed = min(log.confirmed, messages)
        resend = log.skip(messages)
        if is_in_flight and (resend is None or self._is_on_log_at(resend)):
            log.resend = resend
            return
        known = resend if is_in_flight and resend is not None else messages  # what comes before it streams send again
        log.points.cut(known)
        log.appended = [each for each in log.appended if messages < each[1] <= known]
        log.saved = min(log.saved, messages)
        self._after_news()

    def _after_news(self, is_first: bool = False) -> None:
        self._wanted.doubt(self.log.sure, len(self.log.points))
        self._has_news = self._has_news or is_first or self.log.parted is not None
