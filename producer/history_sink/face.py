"""What the library shows of itself: `history_sink` has these names from here."""

from history_sink.client.ranges import Faulted, Mismatch, NotFound
from history_sink.errors import (
    BadMessage,
    ConfigurationError,
    Denied,
    Expired,
    HistorySinkError,
    Malformed,
    NoAnswer,
    Unavailable,
    WorkerFailed,
)
from history_sink.filters import Filter, Filtered, PlacedFilter, SessionFilter
from history_sink.ledger.comparison import Comparison
from history_sink.messages import (
    ChatMessage,
    FilePart,
    ImagePart,
    Part,
    Role,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from history_sink.openers import Opener, Sealed
from history_sink.protocol.kinds import Default
from history_sink.protocol.lines import Message
from history_sink.protocol.listing import Listing, SessionSummary
from history_sink.protocol.log_end import LogEnd
from history_sink.protocol.outcome import FlushResult, FlushState, Outcome, OutcomeKind, Parted, Receipt, ReceiptState
from history_sink.protocol.plain import Unencodable
from history_sink.protocol.pointer import Fault, FaultKind, PointerHandle
from history_sink.protocol.search import Hit, Recalled
from history_sink.protocol.session_ids import SessionId, session_id, session_text
from history_sink.protocol.status import LATEST, LogStatus, Status, StrayStatus
from history_sink.settings import ProducerSettings
from history_sink.sink import HistorySink

__all__ = [
    "LATEST",
    "BadMessage",
    "ChatMessage",
    "Comparison",
    "ConfigurationError",
    "Default",
    "Denied",
    "Expired",
    "Fault",
    "FaultKind",
    "Faulted",
    "FilePart",
    "Filter",
    "Filtered",
    "FlushResult",
    "FlushState",
    "HistorySink",
    "HistorySinkError",
    "Hit",
    "ImagePart",
    "Listing",
    "LogEnd",
    "LogStatus",
    "Malformed",
    "Message",
    "Mismatch",
    "NoAnswer",
    "NotFound",
    "Opener",
    "Outcome",
    "OutcomeKind",
    "Part",
    "Parted",
    "PlacedFilter",
    "PointerHandle",
    "ProducerSettings",
    "Recalled",
    "Receipt",
    "ReceiptState",
    "Role",
    "Sealed",
    "SessionFilter",
    "SessionId",
    "SessionSummary",
    "Status",
    "StrayStatus",
    "TextPart",
    "ThinkingPart",
    "ToolCallPart",
    "ToolResultPart",
    "Unavailable",
    "Unencodable",
    "WorkerFailed",
    "session_id",
    "session_text",
]
