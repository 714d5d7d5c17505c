"""Whether a store keeps the promises that the archive is built on: asked of the store, at the start.

A store that silently ignores a condition answers every request with success, and loses history at
the first race. So what is not proved here is taken as missing.
"""

import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from history_sink_worker.archive.changed import Changed
from history_sink_worker.archive.grow import COPY_FROM_BYTES, known, upload
from history_sink_worker.archive.names import PROBE
from history_sink_worker.store import (
    Away,
    Blob,
    Delete,
    Denied,
    Get,
    Head,
    List,
    PastEnd,
    Put,
    Rejected,
    Steps,
    Unfit,
)

CREATE_ONCE = "PUT with If-None-Match: *"
REPLACE = "PUT with If-Match"
COMPLETE = "CompleteMultipartUpload with If-Match"
COPY = "UploadPartCopy"
LIST_NEW = "LIST shows an object as soon as its PUT has answered"
RANGES = "GET with Range"
CLEAN_UP = "DELETE of what it has just taken"

FEATURES = (CREATE_ONCE, REPLACE, COMPLETE, COPY, LIST_NEW, RANGES, CLEAN_UP)

KNOWN_GOOD = (
    "MinIO from RELEASE.2025-09-07 on and its successor pgsty/silo, AWS S3, RustFS from 1.0.0, "
    "SeaweedFS from 4.18, versitygw from 1.8.0, Cloudflare R2, Ceph RGW (with conditional "
    "CompleteMultipartUpload, ceph pull request 64830)"
)

_LEFT_OVER_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What the store has of `FEATURES`, and what it has not; `refused` is what it said where it refused aloud."""

    supported: tuple[str, ...]
    missing: tuple[str, ...]
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def refusal(self) -> str | None:
        """Why no worker may start on this store, and which stores will do; None if it may."""
        if not self.missing:
            return None
        said = f" ({'; '.join(dict.fromkeys(self.refused.values()))})" if self.refused else ""
        return f"{self._reason}. Missing here: {', '.join(self.missing)}{said}. Stores that have it: {KNOWN_GOOD}."

    @property
    def _reason(self) -> str:
        if {CREATE_ONCE, REPLACE, COMPLETE} & (set(self.missing) - set(self.refused)):
            return (
                "a store without conditional writes is refused, as writers that race would destroy each other's history"
            )
        if CLEAN_UP in self.missing:
            return "a store that does not let us delete (a bucket with a default retention does not) is refused"
        return "a store that lacks what the archive is built on is refused"


def probe(prefix: str, token: str | None = None) -> Steps[ProbeReport]:
    """Try each feature on objects under ``<prefix>.probe/<token>/``, and delete them again.

    `token` (default: a random one) keeps workers that start together apart. The probe finds stores that ignore a
    condition. It does not find conditions that are not atomic: only a race could show that. 5 MiB are sent.
    """
    home = f"{prefix}{PROBE}"
    ours = f"{home}{token or secrets.token_hex(8)}/"
    small, large = f"{ours}small", f"{ours}large"
    tries = {
        CREATE_ONCE: _creates_once(small),
        LIST_NEW: _lists_new(home, small),
        REPLACE: _replaces(small),
        COMPLETE: _refuses_stale_completion(small),
        COPY: _copies(large),
        RANGES: _reads_ranges(large),
        CLEAN_UP: _deletes(small, large),
    }
    proved: dict[str, bool] = {}
    refused: dict[str, str] = {}
    away: Away | None = None
    for name, steps in tries.items():
        if away is not None and name != CLEAN_UP:
            continue
        try:
            proved[name] = yield from steps
        except (Unfit, Rejected, Denied) as error:
            if isinstance(error, Denied) and not any(proved.values()):
                raise  # no credentials for anything: that says nothing of the store
            proved[name], refused[name] = False, str(error)
        except Away as error:
            away = away or error
    if away is not None and all(proved.values()):
        raise away
    return ProbeReport(
        supported=tuple(name for name in FEATURES if proved.get(name)),
        missing=tuple(name for name in FEATURES if not proved.get(name, True)),
        refused=refused,
    )


def _deletes(*keys: str) -> Steps[bool]:
    yield Delete(keys)
    return True


def _creates_once(key: str) -> Steps[bool]:
    first = yield Put(key, b"first\n", {})
    second = yield Put(key, b"second\n", {})
    return first is not None and second is None


def _lists_new(home: str, key: str) -> Steps[bool]:
    """Also deletes what workers that died while probing have left, by the store's own clock."""
    found = yield List(key)
    ours = [entry for entry in found.entries if entry.key == key]
    if not ours:
        return False
    page = yield List(home)
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
    """Nothing is copied, so that nothing but the completion can refuse."""
    try:
        yield from upload(key, "0" * 32, (), [known(b"lost\n")], {})
    except Changed:
        return True
    return False


def _copies(key: str) -> Steps[bool]:
    """The copy and the tail must have become one object, with the new metadata."""
    etag = yield Put(key, bytes(COPY_FROM_BYTES), {})
    with suppress(Changed):
        yield from upload(key, etag or "", [(0, COPY_FROM_BYTES)], [known(b"tail\n")], {"probe": "grown"})
    seam = yield Get(key, COPY_FROM_BYTES - 1)
    return isinstance(seam, Blob) and seam.body == b"\0tail\n" and seam.info.meta.get("probe") == "grown"


def _reads_ranges(key: str) -> Steps[bool]:
    middle = yield Get(key, 1, 3)
    behind = yield Get(key, 2 * COPY_FROM_BYTES)
    return isinstance(middle, Blob) and len(middle.body) == 2 and isinstance(behind, PastEnd)
