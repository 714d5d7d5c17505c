"""Reads everything back: through workers, as a client would; what they cannot reach is looked for in the store."""

import json
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from history_sink import Fault, HistorySink, PointerHandle, Status, Unavailable
from torture.journal import Record, Told
from torture.verdict import Archive, Content

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

AT_ONCE = 8
_DURABLE = (b'"outcome": "stored"', b'"outcome": "duplicate"', b'"outcome": "pending"', b'"outcome": "diverged"')
_PIECE_BYTES = 4 * 1024 * 1024
_TRIES = 5
_TIMEOUT_SECONDS = 20.0


def read_archives(sink: HistorySink, store: "S3Client") -> dict[str, Archive]:
    """All sessions that the store has. Raises `Unavailable`."""
    sessions: list[str] = []
    after: str | None = ""
    while after is not None:
        page = sink.list_sessions(after, 1000, _TIMEOUT_SECONDS)
        sessions += [summary.session for summary in page.sessions]
        after = page.next_after
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(sessions, pool.map(lambda session: _read_session(sink, store, session), sessions), strict=True))


def _read_session(sink: HistorySink, store: "S3Client", session: str) -> Archive:
    status = _ask(sink, session)
    wanted = [(log.key, log.branch, False, log.bytes) for log in status.logs]
    wanted += [(stray.key, None, True, stray.end) for stray in status.strays]
    contents, faults = [], []
    for key, branch, is_stray, size_bytes in wanted:
        body = _read_whole(sink, PointerHandle(status.bucket, key), size_bytes)
        if isinstance(body, Fault):
            faults.append(f"{key}, {size_bytes} bytes: {body.kind}: {body.reason}")
        else:
            contents.append(Content(key, branch, is_stray, body))
    loose = _find_loose(store, f"{status.prefix}{session}/", status.bucket)
    return Archive(tuple(contents), loose, tuple(faults))


def _find_loose(store: "S3Client", folder: str, bucket: str) -> frozenset[str]:
    """The chains behind all extents; those of the logs are in there, too."""
    chains = set()
    for page in store.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder):
        for each in page.get("Contents", ()):
            try:
                head = store.head_object(Bucket=bucket, Key=each["Key"])
            except store.exceptions.ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                    continue  # a compaction has swept it away since the LIST; the log has its lines
                raise
            chains.add(head["Metadata"].get("hs-after", "")[:16])
    return frozenset(chains)


def _ask(sink: HistorySink, session: str) -> Status:
    for left in reversed(range(_TRIES)):
        try:
            return sink.status(session, _TIMEOUT_SECONDS)
        except Unavailable:
            if not left:
                raise
            time.sleep(1)
    raise AssertionError("the last try returns or raises")


def _read_whole(sink: HistorySink, handle: PointerHandle, size_bytes: int) -> bytes | Fault:
    pieces = []
    for start in range(0, size_bytes + 1, _PIECE_BYTES):  # one byte more: nothing may follow
        piece = sink.resolve(PointerHandle(handle.bucket, handle.key, (start, start + _PIECE_BYTES)), _TIMEOUT_SECONDS)
        if isinstance(piece, bytes):
            pieces.append(piece)
        elif piece.kind != "no_match" or start < size_bytes:
            return piece
    return b"".join(pieces)


def measure_durable(logs: Iterable[Path], records: Iterable[Record]) -> tuple[float, int]:
    """The longest time from a receipt to the end of its last upload, by the workers' `logs`; and for how many known.

    A worker that is killed between the store's answer and its log line makes it longer, not shorter.
    """
    ended: dict[str, float] = {}
    for log in logs:
        for line in log.read_bytes().split(b"\n"):
            if b'"task ended"' in line and any(outcome in line for outcome in _DURABLE):
                told = json.loads(line)
                at = datetime.fromisoformat(told["timestamp"]).timestamp()
                ended[told["id"]] = min(at, ended.get(told["id"], at))
    receipts = [record for record in records if isinstance(record, Told) and record.task_ids]
    known = [told for told in receipts if all(task_id in ended for task_id in told.task_ids)]
    return max((ended[task_id] - told.at for told in known for task_id in told.task_ids), default=0.0), len(known)
