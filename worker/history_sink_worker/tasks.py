"""The five tasks: decode, let the archive do it, encode."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from history_sink.errors import Malformed
from history_sink.protocol.batch import check_writer
from history_sink.protocol.contract import (
    COMPACT,
    LIST_SESSIONS,
    LISTED,
    MOST_SESSIONS,
    PACKED,
    RESOLVE,
    STATUS,
    UPLOAD,
    check_branch,
    check_session,
)
from history_sink.protocol.filtering import read_counts
from history_sink.protocol.listing import FIELDS
from history_sink.protocol.outcome import Outcome
from history_sink.protocol.packing import ZLIB, pack_answer
from history_sink.protocol.pointer import Fault
from history_sink_worker import uploads
from history_sink_worker.application import app
from history_sink_worker.archive import erasure, reader, sessions, survey
from history_sink_worker.archive.compaction import Compacted
from history_sink_worker.intake.privacy import Bytes, Fields, PackedBytes
from history_sink_worker.service.service import serving
from history_sink_worker.store import StoreError
from history_sink_worker.task import ReadTask, RetryingTask, Task
from history_sink_worker.task_errors import refuse, unexpected
from history_sink_worker.telemetry import metrics

MOST_WRITERS = 100
"""In one question: each may cost a request."""

MOST_JUNCTIONS = 10_000
"""In one question. The library asks with about a thousand."""


@app.task(bind=True, base=RetryingTask, name=UPLOAD)
def upload_history(self: RetryingTask, /, session_id: object, messages: object = None, **payload: Any) -> Fields:
    """Archive a whole history (`messages`), or the lines that follow a junction (the library's `payload`)."""
    session = _check_session(session_id)
    log = serving().log(session, check_branch(payload.get("branch")))
    retries = self.request.retries
    if messages is None:
        is_redelivered = retries > 0 or bool((self.request.delivery_info or {}).get("redelivered"))
        verdict = uploads.append(log, payload, is_redelivered)
    elif "append" in payload:
        verdict = uploads.append_messages(log, messages, payload, self.request.id or "")
    else:
        verdict = uploads.upload_whole(log, messages, payload)
    if verdict.outcome == "stored":
        metrics.note_filtered(read_counts(payload))
    outcome = Outcome(
        outcome=verdict.outcome,
        session=session,
        branch=log.branch,
        messages=verdict.messages,
        bytes=verdict.size_bytes,
        key=verdict.key,
        attempts=retries + 1,
        parted=verdict.parted,
        end=verdict.end,
    )
    return Fields(outcome.encode())


@app.task(bind=True, base=ReadTask, name=RESOLVE)
def resolve_pointer(self: ReadTask, /, handle: object = None) -> Bytes | dict[str, str]:
    """The bytes that a handle points to, or the fault that says why not; packed if the header `PACKED` lets it.

    Never fails.
    """
    settings = serving().settings
    answer: bytes | Fault
    try:
        steps = reader.read(serving().context, settings.bucket, settings.prefix, handle, settings.resolve_cap_bytes)
        answer = serving().read(steps)
    except StoreError as error:
        answer = reader.fault_of(error)
    except Exception as error:  # noqa: BLE001  # who reads gets an answer, whatever happens
        answer = Fault("backend_error", str(unexpected(error)))
    if isinstance(answer, Fault):
        return answer.encode()
    packed = pack_answer(answer) if self.request.get(PACKED) == ZLIB else None
    return Bytes(answer) if packed is None else PackedBytes(packed)


@app.task(name=STATUS)
def status(session_id: object, junctions: object = (), writers: object = ()) -> dict[str, Any]:
    """How far the store is with a session, how far the history with these junctions lies on each log, and how much of
    the streams of these `writers` is placed there.
    """
    session, points = _check_session(session_id), _decode_junctions(junctions)
    settings = serving().settings
    asked = survey.Asked(tuple(points), _decode_writers(writers))
    steps = survey.survey(serving().context, settings.bucket, settings.prefix, session, asked)
    return serving().read(steps).encode()


@app.task(bind=True, base=Task, name=LIST_SESSIONS)
def list_sessions(self: Task, /, after: object = "", limit: object = MOST_SESSIONS) -> dict[str, Any]:
    """One page of sessions by name, behind the session `after`; the header `LISTED` says what is wanted of it."""
    if type(limit) is not int or not 1 <= limit <= MOST_SESSIONS:
        refuse(f"limit is 1 to {MOST_SESSIONS}")
    start = "" if after in ("", None) else _check_session(after)
    prefix, fields = _decode_listed(self.request.get(LISTED))
    wanted, root = FIELDS if fields is None else fields, serving().settings.prefix
    found = serving().read(sessions.list_sessions(serving().context, root, start, limit, prefix, wanted))
    return found.encode(fields)


@app.task(base=RetryingTask, name=COMPACT)
def compact(
    session_id: object, branch: object = None, idle: object = False, everything: object = False
) -> dict[str, Any]:
    """Fold a log's tail into its base, and sweep what the base has held for long enough.

    Of a session that was deleted: sweep away what has come since.
    """
    log = serving().log(_check_session(session_id), check_branch(branch))

    def run(_: object) -> list[Compacted]:
        steps = erasure.compact_or_sweep(serving().context, log, idle=bool(idle), everything=bool(everything))
        return [serving().run(steps)]

    # Side by side they would all read the same tail, and all but one in vain.
    done = serving().compactions.turn(log.root, None, run)
    if done.again_in_seconds is not None:
        serving().due.put("sweep", log, time.time() + done.again_in_seconds)
    return asdict(done)


def _check_session(session_id: object) -> str:
    try:
        return check_session(session_id)
    except Malformed:  # its text quotes the value, which may be a message in the wrong place
        refuse("a session id is 1 to 200 of A-Z a-z 0-9 . _ -, not starting with a dot")


def _decode_listed(header: object) -> tuple[str, list[str] | None]:
    """The beginning of names, and the fields asked for, None for all. Those that a later version knows are left out."""
    if header is None:
        return "", None
    if not isinstance(header, Mapping):
        refuse(f"the header {LISTED} is an object with prefix and fields")
    prefix, fields = header.get("prefix") or "", header.get("fields")
    if fields is not None and not (isinstance(fields, list) and all(isinstance(each, str) for each in fields)):
        refuse("fields is a list of names")
    known = None if fields is None else [name for name in fields if name in FIELDS]
    return ("" if prefix == "" else _check_session(prefix)), known


def _decode_writers(writers: object) -> tuple[str, ...]:
    asked = writers if isinstance(writers, (list, tuple)) else ()
    if len(asked) > MOST_WRITERS:
        refuse(f"{len(asked)} writers are over the limit of {MOST_WRITERS}")
    return tuple(check_writer(writer) for writer in asked)


def _decode_junctions(junctions: object) -> list[tuple[int, str]]:
    asked = junctions if isinstance(junctions, (list, tuple)) else ()
    if len(asked) > MOST_JUNCTIONS:
        refuse(f"{len(asked)} junctions are over the limit of {MOST_JUNCTIONS}")
    points = []
    for point in asked:
        if not isinstance(point, (list, tuple)) or [type(part) for part in point] != [int, str]:
            refuse("junctions is a list of [offset, 16 hex digits of the chain there]")
        points.append((point[0], point[1]))
    return points
