"""Lines that follow a known place: handed over as they come, and nothing of them is kept.

A ledger keeps 40 bytes and more for each message. Whoever streams files of gigabytes has the file for a ledger.
"""

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from history_sink.errors import BadMessage, Unavailable
from history_sink.protocol.batch import Batch
from history_sink.protocol.chain import Junction
from history_sink.protocol.contract import LINE_BYTES, SAVE_BYTES, UPLOAD
from history_sink.protocol.lines import EncodeFor, Line, Message, encode_lines
from history_sink.protocol.log_end import LogEnd, make_end, take_end
from history_sink.protocol.outcome import Receipt, ReceiptState
from history_sink.protocol.plain import Unencodable
from history_sink.protocol.upload import Upload
from history_sink.transport.broker import Broker
from history_sink.transport.clock import find_skew


@dataclass(slots=True)
class _Progress:
    """What the broker has accepted so far."""

    end: Junction
    task_ids: list[str] = field(default_factory=list)
    replaced: int = 0
    raw: int = 0
    filtered: Counter[str] = field(default_factory=Counter)
    refusal: str | None = None


class Extension:
    """Knows no session: what comes before the lines is named by the place that they follow."""

    def __init__(self, broker: Broker, encode_for: EncodeFor) -> None:
        self._broker = broker
        self._encode_for = encode_for

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
        done = _Progress(start)
        try:
            self._broker.check()
            for batch in _cut(self._lines(session, start, messages, unencodable), done):
                upload = Upload(after.branch, done.end, tuple(line.data for line in batch))
                self._send(session, upload, f"offset: {upload.start.offset}", batch, done)
        except Unavailable as error:
            return self._receipt("unreachable", session, after, start, done, str(error))
        if done.refusal is not None:
            return self._receipt("refused", session, after, start, done, done.refusal)
        return self._receipt("enqueued" if done.task_ids else "unchanged", session, after, start, done)

    def append(self, session: str, messages: Iterable[Message], after: LogEnd, unencodable: Unencodable) -> Receipt:
        """See `HistorySink.append`, with `after`. All of it is one batch, or nothing goes out. Raises `Malformed`."""
        start = take_end(after)
        done = _Progress(start)
        batch: list[Line] = []
        try:
            self._broker.check()
            batch += self._lines(session, start, messages, unencodable)
            size = sum(len(line.data) for line in batch)
            if size > LINE_BYTES:
                done.refusal = f"{size} bytes are over the limit of {LINE_BYTES} for messages that go together"
            elif batch:
                sent = Batch(after.branch, secrets.token_hex(8), None, tuple(line.data for line in batch), after=start)
                self._send(session, sent, f"after: {start.offset}", batch, done)
        except BadMessage as error:
            receipt = self._receipt("refused", session, after, start, done, str(error))
            return replace(receipt, index=len(batch))
        except Unavailable as error:
            return self._receipt("unreachable", session, after, start, done, str(error))
        if done.refusal is not None:
            return replace(self._receipt("refused", session, after, start, done, done.refusal), index=None)
        return self._receipt("enqueued" if done.task_ids else "unchanged", session, after, start, done)

    def _lines(
        self, session: str | None, after: Junction, messages: Iterable[Message], unencodable: Unencodable
    ) -> Iterator[Line]:
        return encode_lines(self._encode_for(session), messages, unencodable, after.chain)

    def _send(self, session: str, sent: Upload | Batch, where: str, lines: list[Line], done: _Progress) -> None:
        described = describe_upload(sent, where)
        done.task_ids.append(self._broker.send(UPLOAD, (session, None), sent.encode(), described))
        for line in lines:
            done.end = done.end.step(line.data)
            done.replaced += line.replaced
            done.raw += line.raw
            done.filtered.update(line.filtered)

    def _receipt(
        self,
        state: ReceiptState,
        session: str,
        after: LogEnd,
        start: Junction,
        done: _Progress,
        reason: str | None = None,
    ) -> Receipt:
        messages = done.end.messages - start.messages
        return Receipt(
            state=state,
            session=session,
            branch=after.branch,
            messages=messages,
            bytes=done.end.offset - start.offset,
            task_ids=tuple(done.task_ids),
            reason=reason,
            index=messages if state == "refused" else None,
            replaced=done.replaced,
            raw=done.raw,
            filtered=dict(done.filtered),
            clock_ahead_seconds=find_skew(self._broker.clock_ahead_seconds),
            end=make_end(done.end, after.branch),
        )


def describe_upload(sent: Upload | Batch, where: str) -> str:
    """What events show of it, in place of its lines."""
    described = f"{{messages: {len(sent.lines)}, bytes: {sent.size_bytes}, {where}"
    return described + (f", branch: {sent.branch}}}" if sent.branch else "}")


def _cut(lines: Iterator[Line], done: _Progress) -> Iterator[list[Line]]:
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
        done.refusal = str(error)
    if batch:
        yield batch
