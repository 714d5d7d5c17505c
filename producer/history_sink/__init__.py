"""history-sink: stream an agent's transcript into an append-only log, and read any byte of it back."""

from history_sink.errors import (
    BadMessage,
    ConfigurationError,
    HistorySinkError,
    Malformed,
    Unavailable,
)
from history_sink.messages import ChatMessage, Part
from history_sink.outcome import Outcome, Receipt
from history_sink.pointer import Fault, PointerHandle
from history_sink.status import LogStatus, Status, StrayStatus

__all__ = [
    "BadMessage",
    "ChatMessage",
    "ConfigurationError",
    "Fault",
    "HistorySinkError",
    "LogStatus",
    "Malformed",
    "Outcome",
    "Part",
    "PointerHandle",
    "Receipt",
    "Status",
    "StrayStatus",
    "Unavailable",
]
