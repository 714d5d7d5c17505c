"""Answer a pointer: bytes, or the fault that says why not.

One ranged GET when the base covers the range; otherwise base and tail are joined, so that the caller sees one log.
"""

from dataclasses import dataclass

from history_sink.errors import Malformed
from history_sink.protocol.pointer import Fault, PointerHandle
from history_sink_worker.archive import plan
from history_sink_worker.archive.changed import look_again
from history_sink_worker.archive.context import Context
from history_sink_worker.archive.lineage import stray_segments
from history_sink_worker.archive.names import Log, TailName, parse_key
from history_sink_worker.archive.plan import Segment
from history_sink_worker.archive.snapshot import check_base, list_log, look
from history_sink_worker.archive.tombstone import Deleted, check_alive
from history_sink_worker.archive.trace import read_span
from history_sink_worker.store import Blob, Denied, Get, PastEnd, Steps, StoreError

NO_MATCH = Fault("no_match")

_FAR = 2**63 - 1
"""Beyond any object. A greater number in a header is malformed to MinIO, which then sends everything."""


def read(context: Context, bucket: str, prefix: str, handle: object, cap_bytes: int) -> Steps[bytes | Fault]:
    """Read what `handle` points to, at most `cap_bytes`. Errors of the store are raised: see `fault_of`."""
    try:
        pointer = PointerHandle.decode(handle)
    except Malformed as error:
        return Fault("backend_error", f"malformed handle: {error}")
    if pointer.bucket != bucket:
        return Fault("denied", f"bucket {pointer.bucket[:80]!r} is not the one that is served here")
    found = parse_key(prefix, pointer.key)
    if found is None or (found[1] is not None and found[1].kind != "stray"):
        return Fault("denied", f"key {pointer.key[:300]!r} is no log under {prefix}")
    start, end = pointer.byte_range or (0, _FAR)
    wanted = _Range(min(start, _FAR), min(end, _FAR), cap_bytes)
    if wanted.start >= wanted.end:
        return NO_MATCH
    log, stray = found
    try:
        if stray:
            return (yield from look_again(log, lambda: _read_stray(context, log, stray, wanted)))
        return (yield from _read_log(context, log, wanted))
    except Deleted:
        return NO_MATCH


def fault_of(error: StoreError) -> Fault:
    """The fault for an error of the store: 403 and bad credentials are `denied`, everything else `backend_error`."""
    return Fault("denied" if isinstance(error, Denied) else "backend_error", str(error))


@dataclass(frozen=True, slots=True)
class _Range:
    start: int
    end: int
    cap_bytes: int

    def clamp(self, log_bytes: int) -> "_Range | Fault":
        """What of it a log of this size has; a fault when that is nothing, or over the cap."""
        end = min(self.end, log_bytes)
        if self.start >= end:
            return NO_MATCH
        if end - self.start > self.cap_bytes:
            return Fault("denied", f"{end - self.start} bytes are over the cap of {self.cap_bytes}; ask for ranges")
        return _Range(self.start, end, self.cap_bytes)


def _read_log(context: Context, log: Log, wanted: _Range) -> Steps[bytes | Fault]:
    yield from check_alive(log)
    if wanted.end - wanted.start <= wanted.cap_bytes and not _is_behind_base(context, log, wanted):
        blob: Blob | PastEnd | None = yield Get(log.base, wanted.start, wanted.end)
        if blob is None:
            return NO_MATCH
        if isinstance(blob, Blob) and blob.info.size_bytes >= wanted.end:
            check_base(log, blob.info)
            context.base_sizes.put(log.root, blob.info.size_bytes)
            return blob.body
    return (yield from look_again(log, lambda: _read_joined(context, log, wanted)))


def _is_behind_base(context: Context, log: Log, wanted: _Range) -> bool:
    """Whether the base lacks some of it, as far as is known without the store; a wrong answer costs a request."""
    if context.base_sizes.get(log.root) >= wanted.end:
        return False  # and the hint, which is a round trip away, has nothing to tell
    hint = context.hints.get(log.root)
    return hint is not None and hint.base_bytes < wanted.end <= hint.offset


def _read_joined(context: Context, log: Log, wanted: _Range) -> Steps[bytes | Fault]:
    segments = yield from _hinted(context, log, wanted)
    if segments is None:
        seen = yield from look(context, log)
        if seen.line is None:
            return NO_MATCH
        segments = seen.line.segments
    return (yield from _read_clamped(segments, segments[-1].end, wanted))


def _hinted(context: Context, log: Log, wanted: _Range) -> Steps[tuple[Segment, ...] | None]:
    """The segments by names alone, where a hint covers the range."""
    hint = context.hints.get(log.root)
    if hint is None or hint.offset < wanted.end:
        return None
    asked_at = context.now()
    listing = yield from list_log(log)
    # Between slow pages the base may grow, and the sweep take the right extent where a wrong one is left alone.
    return plan.sure_segments(listing, hint) if context.is_fresh(asked_at) else None


def _read_stray(context: Context, log: Log, name: TailName, wanted: _Range) -> Steps[bytes | Fault]:
    seen = yield from look(context, log)
    stray = next((tail for tail in seen.listing.strays if tail.name == name), None)
    if stray is None:
        return NO_MATCH
    segments = yield from stray_segments(context, seen, stray)
    return (yield from _read_clamped(segments, stray.end, wanted))


def _read_clamped(segments: tuple[Segment, ...], log_bytes: int, wanted: _Range) -> Steps[bytes | Fault]:
    clamped = wanted.clamp(log_bytes)
    if isinstance(clamped, Fault):
        return clamped
    return (yield from read_span(segments, clamped.start, clamped.end))
