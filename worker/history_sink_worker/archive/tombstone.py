"""The tombstone of a session that an operator has deleted: it lies where the base of the main log was, for ever.

No writer can create that name again. A writer that finds it taken looks, and sees why. A branch begins under a name of
its own. So whoever begins a branch, or looks at one, asks for the tombstone, too.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from history_sink.errors import HistorySinkError
from history_sink.protocol.chain import ORIGIN
from history_sink_worker.archive.context import Fact
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.piece import write_meta
from history_sink_worker.store import Entry, Head, Info, Put, Steps

TOMBSTONE_BYTES = 64
"""No tombstone is larger. Of a base as small as this only its metadata tells what it is."""
_WRITTEN_BYTES = 43
"""What each one has that was written so far. Whoever writes others must let `may_be_tombstone` know them."""
_MARK = "hs-deleted"


class Deleted(HistorySinkError):
    """The session was deleted: nothing of it is read, and nothing is added to it."""


def tombstone(log: Log, now: float, if_match: str | None) -> Put:
    """What puts a tombstone in the place of the main log's base, or of none."""
    # Never empty: a base that is would have the same ETag, and a late write that was meant for it would hit.
    body = json.dumps({"deleted": f"{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%S.%fZ}"}).encode() + b"\n"
    # A worker that knows no tombstones takes this for a base that a foreign writer has cut, and leaves it alone.
    meta = {**write_meta(Fact(0, ORIGIN, ORIGIN)), "hs-bytes": "0", _MARK: str(int(now * 1000))}
    return Put(log.base, body, meta, if_match)


def may_be_tombstone(base: Entry) -> bool:
    """Whether a base may be one, by its size in a LIST. Its metadata tells."""
    return base.size_bytes == _WRITTEN_BYTES


def is_tombstone(meta: Mapping[str, str]) -> bool:
    """Whether an object with this metadata is one."""
    return _MARK in meta


def read_deleted_at(meta: Mapping[str, str]) -> float:
    """When a tombstone was written, in Unix seconds; 0 where it does not say."""
    text = meta.get(_MARK, "")
    return int(text) / 1000 if text.isascii() and text.isdigit() else 0.0


def find_tombstone(prefix: str, session: str) -> Steps[Info | None]:
    """The tombstone of a session, if it has one."""
    info: Info | None = yield Head(Log(prefix, session).base)
    return info if info is not None and is_tombstone(info.meta) else None


def check_alive(log: Log) -> Steps[None]:
    """Raise `Deleted` for a branch of a session that was deleted. A main log takes no request: its own base tells."""
    if log.branch is not None and (yield from find_tombstone(log.prefix, log.session)):
        raise deleted(log)


def deleted(log: Log) -> Deleted:
    """The error for a log of a deleted session."""
    return Deleted(f"session {log.session} was deleted")
