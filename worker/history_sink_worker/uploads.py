"""One upload: from a payload, or from a whole history, to where its lines are."""

import time
from collections.abc import Sequence
from typing import Any

from history_sink.errors import BadMessage
from history_sink.protocol.contract import LINE_BYTES, WIRE_VERSION
from history_sink.protocol.lines import encode_line
from history_sink.protocol.upload import Upload
from history_sink_worker.application import app
from history_sink_worker.archive import erasure, plan, save
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.piece import Piece
from history_sink_worker.archive.verdict import Verdict
from history_sink_worker.service.service import service
from history_sink_worker.task import TooNew
from history_sink_worker.task_errors import refuse
from history_sink_worker.telemetry import trail
from history_sink_worker.upkeep import send_compact

_Told = tuple[Verdict, tuple[str, ...]]
"""How one save of a group ended, and the requests to the store that were made for all of it."""


def append(log: Log, payload: dict[str, Any]) -> Verdict:
    version = payload.get("v")
    if type(version) is not int or version < 1:
        refuse("neither messages nor a payload with its version, v")
    if version > WIRE_VERSION:
        raise TooNew(f"payload version {version}; this worker knows {WIRE_VERSION}")
    upload, context = Upload.decode(payload), service().context
    piece = Piece(upload.start, upload.lines)

    hint = None

    def is_early() -> bool:
        nonlocal hint
        hint = context.hints.get(log.root)
        return plan.is_early(hint, piece.start, context.now())

    def store(pieces: list[Piece]) -> list[_Told]:
        return _see_to(log, service().run(save.append_all(context, log, pieces, hint)))

    verdict, requests = service().saves.turn(log.root, piece, store, is_early)
    trail.adopt(requests)
    return verdict


def upload_whole(log: Log, messages: object, payload: dict[str, Any]) -> Verdict:
    if not isinstance(messages, (list, tuple)) or payload:
        refuse("messages is the whole history as a list, and nothing comes with it")
    if not messages:
        return Verdict("duplicate", log.base, 0, 0)
    lines = _encode_lines(messages)

    def store(_: object) -> list[_Told]:
        return _see_to(log, [service().run(save.upload_whole(service().context, log, lines))])

    return service().saves.turn(log.root, None, store)[0]


def _see_to(log: Log, verdicts: list[Verdict]) -> list[_Told]:
    """Ask for what the log will need after these."""
    outcomes, now = {verdict.outcome for verdict in verdicts}, time.time()
    if "stored" in outcomes:
        service().due.put("idle", log, now + service().settings.idle_seconds)
    if "deleted" in outcomes:  # what it has left is swept away now, what its late requests leave, later
        service().due.put("sweep", service().log(log.session), now + erasure.second_sweep_seconds(service().context))
    is_fold_due = any(verdict.fold_due for verdict in verdicts) and service().due.may_ask(log)
    if "deleted" in outcomes or is_fold_due:
        send_compact(app, log.session, log.branch)
    requests = trail.made()
    return [(verdict, requests) for verdict in verdicts]


def _encode_lines(messages: Sequence[Any]) -> tuple[bytes, ...]:
    lines = []
    for index, message in enumerate(messages):
        try:
            line = encode_line(message).data
        except BadMessage as error:
            refuse(f"messages[{index}]: {error}")
        if len(line) > LINE_BYTES:
            refuse(f"messages[{index}]: {len(line)} bytes are over the limit of {LINE_BYTES}")
        lines.append(line)
    return tuple(lines)
