"""Lines that follow a known place: handed over as they come, and nothing of them is kept.

A ledger keeps 40 bytes and more for each message. Whoever streams files of gigabytes has the file for a ledger.
"""

import secrets
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from history_sink.client.account import Rules
from history_sink.client.handed_over import HandedOver, describe_upload
from history_sink.errors import BadMessage, Unavailable
from history_sink.protocol.batch import Batch
from history_sink.protocol.chain import Junction
from history_sink.protocol.contract import LINE_BYTES, SAVE_BYTES, UPLOAD
from history_sink.protocol.filtering import tell
from history_sink.protocol.lines import Encode, EncodeFor, Line, Message, encode_lines
from history_sink.protocol.log_end import LogEnd, make_end, take_end
from history_sink.protocol.outcome import Receipt, ReceiptState
from history_sink.protocol.plain import Unencodable
from history_sink.protocol.status import Status
from history_sink.protocol.upload import Upload
from history_sink.transport.broker import Broker

KEPT_SESSIONS = 4096
"""So many sessions' own rules are remembered."""


@dataclass(slots=True)
class _Progress:
    """How far the broker has accepted what goes to one log of one session: up to `end`."""

    session: str
    branch: str | None
    end: Junction
    done: HandedOver = field(default_factory=HandedOver)
    refusal: str | None = None


class Extension:
    """Knows no session: what comes before the lines is named by the place that they follow."""

    def __init__(self, broker: Broker, encode_for: EncodeFor, rules: Rules | None = None) -> None:
        self._broker = broker
        self._encode_for = encode_for
        self._rules = rules
        self._adopted: OrderedDict[str, Encode] = OrderedDict()  # of sessions whose log was begun by other rules

    def learn(self, session: str, status: Status) -> None:
        """Go by the rules of the session's log from now on, where it was begun by others that filters here know."""
        told = {log.branch: log.rules for log in status.logs}
        begun = told.get(None, "")
        if self._rules is None or not begun or self._rules.read(self._encode_for(session)) in told.values():
            return
        if encode := self._rules.adopt(session, begun):
            self._adopted[session] = encode
            while len(self._adopted) > KEPT_SESSIONS:
                self._adopted.popitem(last=False)

    def _find_encode(self, session: str | None) -> Encode:
        adopted = self._adopted.get(session) if session else None
        return adopted or self._encode_for(session)

    def measure(
        self, session: str | None, messages: Iterable[Message], after: LogEnd, unencodable: Unencodable
    ) -> LogEnd:
        """See `HistorySink.measure`."""
        here = take_end(after)
        for line in self._lines(session, here, messages, unencodable):
            here = here.step(line.data)
        return make_end(here, after.branch)

    def extend(self, session: str, messages: Iterable[Message], after: LogEnd, unencodable: Unencodable) -> Receipt:
        """See `HistorySink.extend`. Raises `Malformed` for an `after` that cannot be."""
        start = take_end(after)
        progress = _Progress(session, after.branch, start)
        try:
            self._broker.check()
            for batch in _cut(self._lines(session, start, messages, unencodable), progress):
                upload = Upload(after.branch, progress.end, tuple(line.data for line in batch))
                self._send(upload, f"offset: {upload.start.offset}", batch, progress)
        except Unavailable as error:
            return self._receipt(progress, "unreachable", str(error))
        if progress.refusal is not None:
            return self._receipt(progress, "refused", progress.refusal, progress.done.messages)
        return self._receipt(progress)

    def append(self, session: str, messages: Iterable[Message], after: LogEnd, unencodable: Unencodable) -> Receipt:
        """See `HistorySink.append`, with `after`. All of it is one batch, or nothing goes out. Raises `Malformed`."""
        start = take_end(after)
        progress = _Progress(session, after.branch, start)
        batch: list[Line] = []
        try:
            self._broker.check()
            for line in self._lines(session, start, messages, unencodable):
                batch.append(line)
            size = sum(len(line.data) for line in batch)
            if size > LINE_BYTES:
                reason = f"{size} bytes are over the limit of {LINE_BYTES} for messages that go together"
                return self._receipt(progress, "refused", reason)
            if batch:
                sent = Batch(after.branch, secrets.token_hex(8), None, tuple(line.data for line in batch), after=start)
                self._send(sent, f"after: {start.offset}", batch, progress)
        except BadMessage as error:
            return self._receipt(progress, "refused", str(error), len(batch))
        except Unavailable as error:
            return self._receipt(progress, "unreachable", str(error))
        return self._receipt(progress)

    def _lines(
        self, session: str | None, after: Junction, messages: Iterable[Message], unencodable: Unencodable
    ) -> Iterator[Line]:
        return encode_lines(self._find_encode(session), messages, unencodable, after.chain)

    def _send(self, sent: Upload | Batch, where: str, lines: list[Line], progress: _Progress) -> None:
        described = describe_upload(sent, where)
        begins = self._rules is not None and not progress.end.offset
        rules = self._rules.read(self._find_encode(progress.session)) if self._rules and begins else ""
        counts: Counter[str] = Counter()
        for line in lines:
            if line.filtered:  # of most lines nothing is, and to learn it from a mapping takes a microsecond
                counts.update(line.filtered)
        fields = {**sent.encode(), **tell(rules, counts)}
        progress.done.count(sent, self._broker.send(UPLOAD, (progress.session, None), fields, described))
        for line in lines:
            progress.end = progress.end.step(line.data)
            progress.done.note(line)

    def _receipt(
        self,
        progress: _Progress,
        state: ReceiptState | None = None,
        reason: str | None = None,
        index: int | None = None,
    ) -> Receipt:
        session, branch, ahead = progress.session, progress.branch, self._broker.clock_ahead_seconds
        return progress.done.tell(session, branch, ahead, state, reason, index, make_end(progress.end, branch))


def _cut(lines: Iterator[Line], progress: _Progress) -> Iterator[list[Line]]:
    """Batches of `SAVE_BYTES`, or of one longer line; a line that is refused ends the last of them."""
    batch: list[Line] = []
    size = 0
    try:
        for line in lines:
            if batch and size + len(line.data) > SAVE_BYTES:
                yield batch
                batch, size = [], 0
            batch.append(line)
            size += len(line.data)
    except BadMessage as error:
        progress.refusal = str(error)
    if batch:
        yield batch
