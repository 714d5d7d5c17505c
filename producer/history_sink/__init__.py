"""history-sink: stream an agent's transcript into an append-only log, and read any byte of it back."""

from history_sink.errors import (
    BadMessage,
    ConfigurationError,
    HistorySinkError,
    Malformed,
    Unavailable,
)
from history_sink.listing import Listing, SessionSummary
from history_sink.messages import ChatMessage, Part
from history_sink.outcome import FlushResult, Outcome, Receipt
from history_sink.pointer import Fault, PointerHandle
from history_sink.session_ids import session_id, session_text
from history_sink.settings import ProducerSettings
from history_sink.sink import HistorySink
from history_sink.status import LogStatus, Status, StrayStatus

__all__ = [
    "BadMessage",
    "ChatMessage",
    "ConfigurationError",
    "Fault",
    "FlushResult",
    "HistorySink",
    "HistorySinkError",
    "Listing",
    "LogStatus",
    "Malformed",
    "Outcome",
    "Part",
    "PointerHandle",
    "ProducerSettings",
    "Receipt",
    "SessionSummary",
    "Status",
    "StrayStatus",
    "Unavailable",
    "session_id",
    "session_text",
]
