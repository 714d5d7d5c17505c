"""Simpler readings of the rules, to be patched in: each breaks a promise."""

from typing import Any

from history_sink import FlushResult
from history_sink.client import flush, session
from history_sink.client.session import Session
from history_sink.errors import Unavailable
from history_sink.ledger.counted_upload import CountedUpload as Sent
from history_sink.ledger.ledger import Ledger
from history_sink.protocol.outcome import Parted, Receipt
from history_sink_worker.archive import plan, save
from history_sink_worker.archive import reconcile as place
from history_sink_worker.archive.context import Context
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.piece import Piece, write_meta
from history_sink_worker.archive.reconcile import Placement
from history_sink_worker.archive.snapshot import LogSnapshot
from history_sink_worker.store import Put, Steps

from .workers import Worker

_next_piece, _accept = Ledger.next_piece, Ledger.accept
_save, _send, _receipt, _ask_first = Session.save, Session._send, Session._receipt, Session._ask_first


def _accept_at_once(self: Ledger) -> Sent | None:
    piece = _next_piece(self)
    if piece:
        _accept(self, piece)
    return piece


def _open_a_branch(self: Session, sent: Any, where: str, told: Any) -> str:
    try:
        return _send(self, sent, where, told)
    except Unavailable:
        self.ledger.part(sent.branch, sent.start.offset)
        raise


def _believe_silence(self: Session) -> None:
    _ask_first(self)
    while self._question and (piece := _next_piece(self.ledger)):
        self.ledger.accept(piece)


def _say_enqueued(self: Session, state: str, *rest: Any) -> Receipt:
    return _receipt(self, "enqueued", *rest)


def _send_everything(self: Session, *given: Any) -> Receipt:
    self.ledger = Ledger()
    return _save(self, *given)


def _compare_sizes(asking: Session, *_: Any) -> FlushResult:
    try:
        status, question = asking.ask(flush.ASK_SECONDS)
    except Unavailable:
        return FlushResult("unreachable")
    has_it = any(log.branch == question.branch and log.bytes >= question.end.offset for log in status.logs)
    return FlushResult("stored" if has_it else "time")


def _keep_a_stray(context: Context, log: Log, piece: Piece, created: bool = False) -> Steps[Placement]:
    if created or not piece.start.offset:
        return (yield from place.place(context, log, piece, created))
    yield Put(log.key(piece.stray), piece.body, write_meta(piece.fact))
    return Placement("diverged", log.key(piece.stray))


def _call_it_stored(context: Context, log: Log, piece: Piece, created: bool = False) -> Steps[Placement]:
    yield from ()
    return Placement("stored", log.base)


def _leave_it_out(self: Any, seen: LogSnapshot, parted: Parted | None) -> Steps[Placement]:
    yield from ()
    return Placement("diverged", self.log.key(self.piece.stray), parted)


Patch = tuple[Any, str, Any]

NAIVE: dict[str, list[Patch]] = {
    "a worker acknowledges before it writes": [(Worker, "_give_back", lambda *_: None)],
    "the watermark advances before the publish": [
        (Ledger, "next_piece", _accept_at_once),
        (Ledger, "accept", lambda *_: None),
    ],
    "a publish without an answer has failed, and a branch is opened": [(Session, "_send", _open_a_branch)],
    "a restart takes silence for all is there": [(Session, "_ask_first", _believe_silence)],
    "a receipt says enqueued, whatever came of it": [(Session, "_receipt", _say_enqueued)],
    "a message that is refused is passed over in silence": [(session, "_as_refused", lambda receipt, _: receipt)],
    "each save sends the whole history": [(Session, "save", _send_everything)],
    "each save looks at the store first": [(plan, "hint_proves", lambda *_: False)],
    "flush asks nobody": [(flush, "_ask", lambda *_: FlushResult("stored"))],
    "flush asks how long the log is": [(flush, "_ask", _compare_sizes)],
    "a PUT that was made already is somebody else's": [(save, "place", _keep_a_stray)],
    "a PUT that found something there has stored": [(save, "place", _call_it_stored)],
    "what parts from the log is dropped": [(place._Reconciler, "_diverge", _leave_it_out)],
}
