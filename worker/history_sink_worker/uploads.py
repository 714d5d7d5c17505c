"""One upload: from a payload, or from a whole history, to where its lines are."""

import hashlib
import time
from collections.abc import Iterable
from typing import Any

from history_sink.errors import BadMessage, Malformed
from history_sink.protocol.batch import Batch, check_writer
from history_sink.protocol.chain import START
from history_sink.protocol.contract import APPEND_VERSION, LATEST_VERSION, LINE_BYTES
from history_sink.protocol.lines import encode_line
from history_sink.protocol.packing import pack_lines
from history_sink.protocol.upload import Upload
from history_sink_worker.application import app
from history_sink_worker.archive import batches, erasure, plan, stream
from history_sink_worker.archive import save as archive
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.piece import Piece, whole_piece
from history_sink_worker.archive.verdict import Verdict
from history_sink_worker.intake.whole_history import WholeHistory
from history_sink_worker.service.service import serving
from history_sink_worker.task import TooNew
from history_sink_worker.task_errors import refuse
from history_sink_worker.telemetry import trail
from history_sink_worker.upkeep import send_compact

WAITING_SECONDS = 5.0
"""After so long a compaction looks after what waits in the store for what comes before it."""

STUCK_KEPT = 1000

JUST_NOW_SECONDS = 0.005
"""A hint is not asked for again so soon."""

PLAIN_APPEND = {"append", "writer", "position", "after", "branch"}
"""What a plain client may say beside the messages."""

_Told = tuple[Verdict, tuple[str, ...]]
"""How one save of a group ended, and the requests to the store that were made for all of it."""


def append(log: Log, payload: dict[str, Any], is_redelivered: bool) -> Verdict:
    """Store the library's payload: of a save, or of an append."""
    version = payload.get("v")
    if type(version) is not int or version < 1:
        refuse("neither messages nor a payload with its version, v")
    if version > LATEST_VERSION:
        raise TooNew(f"payload version {version}; this worker knows {LATEST_VERSION}")
    if version == APPEND_VERSION:
        return append_batch(log, Batch.decode(payload), is_redelivered)
    return save(log, Upload.decode(payload))


def save(log: Log, upload: Upload) -> Verdict:
    """Store the lines of a save, together with those that continue them and wait here."""
    context, piece = serving().context, Piece(upload.start, upload.lines, rules=upload.rules)
    hint = None

    def is_early() -> bool:
        nonlocal hint
        hint = context.hints.get(log.root)
        return plan.is_early(hint, piece.start, context.now())

    def store(pieces: list[Piece]) -> list[_Told]:
        return _see_to(log, serving().run(archive.append_all(context, log, pieces, hint)))

    verdict, requests = serving().saves.turn(log.root, piece, store, is_early)
    trail.adopt(requests)
    return verdict


def append_batch(log: Log, batch: Batch, is_redelivered: bool = False) -> Verdict:
    """Store the lines of an append, together with those of its writer that continue them and wait here."""
    context, began, key = serving().context, time.monotonic(), (log.root, batch.writer)
    hint, asked_at = None, began

    def is_early() -> bool:
        nonlocal hint, asked_at
        # Another worker, or a thread that is just beginning, is storing what comes before. Not in the log's turn: that
        # is for all who write to it.
        hint, asked_at = context.hints.get(log.root), time.monotonic()
        stuck = serving().stuck.get(key)
        if hint is not None and stuck is not None and stuck == hint.find_placed(batch.writer):
            return False  # others have waited for it in vain
        return batches.is_early(hint, batch, context.now(), time.monotonic() - began)

    def store(group: list[Batch]) -> list[_Told]:
        told: list[_Told] = []

        def run(_: object) -> list[_Told]:
            # Another writer may have had the log's turn meanwhile.
            known = hint if time.monotonic() - asked_at < JUST_NOW_SECONDS else None
            told[:] = _see_to(log, serving().run(stream.append_batches(context, log, group, is_redelivered, known)))
            return told[:1]

        serving().saves.turn(log.root, None, run)
        note_stuck(key, told[0][0])
        return told

    verdict, requests = serving().appends.turn(key, batch, store, is_early)
    trail.adopt(requests)
    return verdict


def note_stuck(key: tuple[str, str], verdict: Verdict) -> None:
    """Remember where a writer's stream stands whose next lines do not come: who is behind them need not wait here."""
    stuck = serving().stuck
    stuck.pop(key, None)
    hint = serving().context.hints.get(key[0]) if verdict.outcome == "pending" else None
    placed = hint.find_placed(key[1]) if hint else None
    if placed is not None:
        stuck[key] = placed
        while len(stuck) > STUCK_KEPT:
            del stuck[next(iter(stuck))]


def append_messages(log: Log, messages: object, payload: dict[str, Any], task_id: str) -> Verdict:
    """A plain client's form of an append: `messages` come next. Its writer is the task, unless it names one."""
    if not isinstance(messages, (list, tuple)) or payload.keys() - PLAIN_APPEND:
        refuse(f"messages is a list, and what may come with it is {', '.join(sorted(PLAIN_APPEND))}")
    if payload.get("append") is not True:
        refuse("append is true, or left out")
    lines = _encode_lines(messages)
    if not lines:
        return Verdict("duplicate", log.base, 0, 0)
    fields = {"writer": name_writer(task_id), **payload, **pack_lines(lines)}
    if fields.get("after") is None:
        fields.setdefault("position", 0)
    return append_batch(log, Batch.decode(fields))


def name_writer(task_id: str) -> str:
    """The writer that a task is, whose id may be any text."""
    try:
        return check_writer(task_id)
    except Malformed:
        return hashlib.sha256(task_id.encode(errors="replace")).hexdigest()[:32]


def upload_whole(log: Log, messages: object, payload: dict[str, Any]) -> Verdict:
    """Store a plain client's whole history: only its rest, if the store has what comes before that."""
    if not isinstance(messages, (list, tuple, WholeHistory)) or payload:
        refuse("messages is the whole history as a list, and nothing comes with it")
    if not messages:
        return Verdict("duplicate", log.base, 0, 0)
    start, rest = (messages.start, messages.rest) if isinstance(messages, WholeHistory) else (START, messages)
    piece = Piece(start, _encode_lines(rest, start.messages))
    if isinstance(messages, WholeHistory):
        messages.remember(piece.end)

    def store(_: object) -> list[_Told]:
        return _see_to(log, [_store_whole(log, piece, messages)])

    return serving().saves.turn(log.root, None, store)[0]


def _store_whole(log: Log, piece: Piece, messages: Iterable[Any]) -> Verdict:
    """`piece` is the end of the history that `messages` are, or all of it."""
    run, context = serving().run, serving().context
    if piece.start.messages:
        verdict = run(archive.upload_rest(context, log, piece))
        if verdict is not None:
            return verdict
        piece = whole_piece(_encode_lines(messages))
    return run(archive.upload_whole(context, log, piece))


def _see_to(log: Log, verdicts: list[Verdict]) -> list[_Told]:
    """Ask for what the log will need after these."""
    outcomes, now = {verdict.outcome for verdict in verdicts}, time.time()
    if "stored" in outcomes:
        serving().due.put("idle", log, now + serving().settings.idle_seconds)
    if "pending" in outcomes:  # what it waits for may have been placed by a hint alone, which does not tell who waits
        serving().due.put("sweep", log, now + WAITING_SECONDS)
    if "deleted" in outcomes:  # what it has left is swept away now, what its late requests leave, later
        serving().due.put("sweep", serving().log(log.session), now + erasure.second_sweep_seconds(serving().context))
    is_fold_due = any(verdict.fold_due for verdict in verdicts) and serving().due.may_ask(log)
    if "deleted" in outcomes or is_fold_due:
        send_compact(app, log.session, log.branch, tenant=serving().settings.tenant)
    requests = trail.made()
    return [(verdict, requests) for verdict in verdicts]


def _encode_lines(messages: Iterable[Any], first: int = 0) -> tuple[bytes, ...]:
    """Their lines; `first` is the index of the first one in its history."""
    lines = []
    for index, message in enumerate(messages, first):
        try:
            line = encode_line(message).data
        except BadMessage as error:
            refuse(f"messages[{index}]: {error}")
        if len(line) > LINE_BYTES:
            refuse(f"messages[{index}]: {len(line)} bytes are over the limit of {LINE_BYTES}")
        lines.append(line)
    return tuple(lines)
