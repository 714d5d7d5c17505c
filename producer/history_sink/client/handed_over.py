"""What one call has handed over: as its receipt counts it, and as events show it."""

from collections import Counter
from dataclasses import dataclass, field

from history_sink.ledger.counted_upload import CountedUpload
from history_sink.protocol.batch import Batch
from history_sink.protocol.lines import Line
from history_sink.protocol.log_end import LogEnd
from history_sink.protocol.outcome import Receipt, ReceiptState
from history_sink.protocol.upload import Upload
from history_sink.transport.clock import find_skew


@dataclass(slots=True)
class HandedOver:
    """What the broker has accepted in one call."""

    messages: int = 0
    bytes: int = 0
    replaced: int = 0
    raw: int = 0
    filtered: Counter[str] = field(default_factory=Counter)
    task_ids: list[str] = field(default_factory=list)

    def count(self, sent: Upload | Batch, task_id: str) -> None:
        """Count lines that the broker has accepted."""
        self.messages += len(sent.lines)
        self.bytes += sent.size_bytes
        self.task_ids.append(task_id)

    def note(self, made: CountedUpload | Line) -> None:
        """Count what was done to messages until they were lines."""
        self.replaced += made.replaced
        self.raw += made.raw
        if made.filtered:
            self.filtered.update(made.filtered)

    def tell(
        self,
        session: str,
        branch: str | None,
        clock_ahead_seconds: float | None,
        state: ReceiptState | None = None,
        reason: str | None = None,
        index: int | None = None,
        end: LogEnd | None = None,
    ) -> Receipt:
        """The call's receipt. `state` None: all went well."""
        return Receipt(
            state=state or ("enqueued" if self.task_ids else "unchanged"),
            session=session,
            branch=branch,
            messages=self.messages,
            bytes=self.bytes,
            task_ids=tuple(self.task_ids),
            reason=reason,
            index=index,
            replaced=self.replaced,
            raw=self.raw,
            filtered=dict(self.filtered),
            clock_ahead_seconds=find_skew(clock_ahead_seconds),
            end=end,
        )


def describe_upload(sent: Upload | Batch, where: str) -> str:
    """What events show of it, in place of its lines."""
    described = f"{{messages: {len(sent.lines)}, bytes: {sent.size_bytes}, {where}"
    return described + (f", branch: {sent.branch}}}" if sent.branch else "}")
