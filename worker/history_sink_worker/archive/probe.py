"""Whether a store keeps the promises that the archive is built on: asked of the store, at the start.

A store that silently ignores a condition answers every request with success, and loses history at
the first race. So what is not proved here is taken as missing.
"""

import secrets
from dataclasses import dataclass

from history_sink_worker.store import Blob, Delete, Get, Grow, Head, List, PastEnd, Put, Steps

CREATE_ONCE = "PUT with If-None-Match: *"
REPLACE = "PUT with If-Match"
COMPLETE = "CompleteMultipartUpload with If-Match"
COPY = "UploadPartCopy"
LIST_NEW = "LIST shows an object as soon as its PUT has answered"
RANGES = "GET with Range"

FEATURES = (CREATE_ONCE, REPLACE, COMPLETE, COPY, LIST_NEW, RANGES)

KNOWN_GOOD = (
    "MinIO from RELEASE.2025-09-07 on and its successor pgsty/silo, AWS S3, RustFS from 1.0.0, "
    "SeaweedFS from 4.18, versitygw from 1.8.0, Cloudflare R2, Ceph RGW (with conditional "
    "CompleteMultipartUpload, ceph pull request 64830)"
)

_COPIED_BYTES = 5 * 1024 * 1024  # S3's smallest part that may be followed by another
_LEFT_OVER_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What the store has of `FEATURES`, and what it has not."""

    supported: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def refusal(self) -> str | None:
        """Why no worker may start on this store, and which stores will do; None if it may."""
        if not self.missing:
            return None
        return (
            "a store without conditional writes is refused, as writers that race would destroy "
            f"each other's history. Missing here: {', '.join(self.missing)}. "
            f"Stores that have it: {KNOWN_GOOD}."
        )


def probe(prefix: str, token: str | None = None) -> Steps[ProbeReport]:
    """Try each feature on objects under ``<prefix>.probe/<token>/``, and delete them again.

    `token` (default: a random one) keeps workers that start together apart. That a condition is
    atomic, only a race could show: this finds stores that ignore it. 5 MiB are sent.
    """
    home = f"{prefix}.probe/"
    ours = f"{home}{token or secrets.token_hex(8)}/"
    small, large = f"{ours}small", f"{ours}large"
    proved = {
        CREATE_ONCE: (yield from _creates_once(small)),
        LIST_NEW: (yield from _lists_new(home, small)),
        REPLACE: (yield from _replaces(small)),
        COMPLETE: (yield from _refuses_stale_completion(small)),
        COPY: (yield from _copies(large)),
        RANGES: (yield from _reads_ranges(large)),
    }
    yield Delete((small, large))
    return ProbeReport(
        supported=tuple(name for name in FEATURES if proved[name]),
        missing=tuple(name for name in FEATURES if not proved[name]),
    )


def _creates_once(key: str) -> Steps[bool]:
    first = yield Put(key, b"first\n", {})
    second = yield Put(key, b"second\n", {})
    return first is not None and second is None


def _lists_new(home: str, key: str) -> Steps[bool]:
    """Also deletes what workers that died while probing have left, by the store's own clock."""
    page = yield List(home)
    ours = [entry for entry in page.entries if entry.key == key]
    if not ours:
        return page.next_after is not None  # behind a thousand left by others: no proof against it
    too_old = ours[0].modified - _LEFT_OVER_SECONDS
    yield Delete(tuple(entry.key for entry in page.entries if entry.modified < too_old))
    return True


def _replaces(key: str) -> Steps[bool]:
    """Replace the version that is there; then try to replace the one that is not there any more."""
    info = yield Head(key)
    if info is None:
        return False
    current = yield Put(key, b"replaced\n", {}, if_match=info.etag)
    stale = yield Put(key, b"lost\n", {}, if_match=info.etag)
    return current is not None and stale is None


def _refuses_stale_completion(key: str) -> Steps[bool]:
    """Growing zero bytes copies nothing, so that nothing but the completion can refuse."""
    stale = yield Grow(key, if_match="0" * 32, size_bytes=0, tail=b"lost\n", meta={})
    return stale is None


def _copies(key: str) -> Steps[bool]:
    """The copy and the tail must have become one object, with the new metadata."""
    etag = yield Put(key, bytes(_COPIED_BYTES), {})
    grown = yield Grow(key, etag or "", _COPIED_BYTES, tail=b"tail\n", meta={"probe": "grown"})
    seam = yield Get(key, _COPIED_BYTES - 1)
    if grown is None or not isinstance(seam, Blob):
        return False
    return seam.body == b"\0tail\n" and seam.info.meta.get("probe") == "grown"


def _reads_ranges(key: str) -> Steps[bool]:
    middle = yield Get(key, 1, 3)
    behind = yield Get(key, 2 * _COPIED_BYTES)
    return isinstance(middle, Blob) and len(middle.body) == 2 and isinstance(behind, PastEnd)
