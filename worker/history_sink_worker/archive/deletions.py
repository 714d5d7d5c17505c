"""The names of deleted sessions, in one object: written before their tombstones, so that one request tells of them all.

Tombstones decide, as ever. A session that is named here may have one: whoever shows what was read earlier asks first,
and shows nothing of such a session without a look at it (docs/adr/0022).
"""

from collections.abc import Collection

from history_sink_worker.archive.names import DELETED
from history_sink_worker.store import Away, Blob, Get, PastEnd, Put, Steps

_TRIES = 100


def announce(prefix: str, sessions: Collection[str]) -> Steps[None]:
    """Name sessions that are to be deleted now. It may be done again. Raises `Away` where others always come first."""
    key = prefix + DELETED
    for _ in range(_TRIES):
        blob: Blob | None = yield Get(key)
        named = _read(blob) if blob else frozenset()
        if named.issuperset(sessions):
            return
        body = "".join(f"{session}\n" for session in sorted(named.union(sessions))).encode()
        if (yield Put(key, body, {}, blob.info.etag if blob else None)) is not None:
            return
    raise Away(f"{key} changes faster than it can be written")


class Announced:
    """What one process knows of that object. Any number of threads may ask."""

    def __init__(self) -> None:
        self._known: tuple[str, frozenset[str]] = "", frozenset()

    def look(self, prefix: str) -> Steps[frozenset[str]]:
        """All sessions that may have had a tombstone before this call: for one request, if none was named since."""
        key, (etag, names) = prefix + DELETED, self._known
        first: Blob | PastEnd | None = yield Get(key, 0, 1)
        if isinstance(first, Blob) and first.info.etag != etag:
            whole: Blob | None = yield Get(key)
            if whole is not None:
                names |= _read(whole)  # nothing is forgotten, should somebody have cut it
                self._known = whole.info.etag, names
        return names


def _read(blob: Blob) -> frozenset[str]:
    return frozenset(blob.body.decode("utf-8", "replace").split())
