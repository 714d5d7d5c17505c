"""Lines that follow a known place of a history: handed over as they come, and nothing of them is kept.

A ledger keeps 40 bytes and more for each message. Whoever streams files of gigabytes has the file for a ledger.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from history_sink.errors import BadMessage, Unavailable
from history_sink.protocol.chain import Junction, advance
from history_sink.protocol.contract import LINE_BYTES, SAVE_BYTES, UPLOAD
from history_sink.protocol.lines import EncodeFor, Line, Message, PlacedEncode, encode_at
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
                self._send(session, after.branch, batch, done)
        except Unavailable as error:
            return self._receipt("unreachable", session, after, start, done, str(error))
        if done.refusal is not None:
            return self._receipt("refused", session, after, start, done, done.refusal)
        return self._receipt("enqueued" if done.task_ids else "unchanged", session, after, start, done)

    def _lines(
        self, session: str | None, after: Junction, messages: Iterable[Message], unencodable: Unencodable
    ) -> Iterator[Line]:
        encode, before = self._encode_for(session), after.chain
        for message in messages:
            line = encode_at(encode, message, unencodable, before)
            if len(line.data) > LINE_BYTES:
                raise BadMessage(f"a line of {len(line.data)} bytes is over the limit of {LINE_BYTES}")
            before = advance(before, line.data) if isinstance(encode, PlacedEncode) else before
            yield line

    def _send(self, session: str, branch: str | None, batch: list[Line], done: _Progress) -> None:
        upload = Upload(branch, done.end, tuple(line.data for line in batch))
        described = f"{{messages: {len(batch)}, bytes: {upload.size_bytes}, offset: {upload.start.offset}"
        described += f", branch: {branch}}}" if branch else "}"
        done.task_ids.append(self._broker.send(UPLOAD, (session, None), upload.encode(), described))
        for line in batch:
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
