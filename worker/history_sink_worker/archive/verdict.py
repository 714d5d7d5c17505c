"""What became of one upload."""

from dataclasses import dataclass

from history_sink.protocol.log_end import LogEnd
from history_sink.protocol.outcome import OutcomeKind, Parted


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of an upload of `messages` messages and `size_bytes` bytes; see `history_sink.Outcome`."""

    outcome: OutcomeKind
    key: str
    messages: int
    size_bytes: int
    parted: Parted | None = None
    fold_due: bool = False
    end: LogEnd | None = None
