"""Look at one log: LIST, HEAD the base, HEAD each extent joined, until the picture holds together."""

from dataclasses import dataclass

from history_sink.protocol.chain import ORIGIN, advance, shorten
from history_sink_worker.archive import plan
from history_sink_worker.archive.changed import Changed, look_again
from history_sink_worker.archive.context import LINES_KEPT_BYTES, Context, Fact
from history_sink_worker.archive.grow import grow, known
from history_sink_worker.archive.hint import Hint, list_placed
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.piece import read_meta, read_tail_meta, write_meta
from history_sink_worker.archive.plan import LogListing, MainLine, Segment, Tail
from history_sink_worker.archive.settled import base_meta
from history_sink_worker.archive.tombstone import check_alive, deleted, is_tombstone
from history_sink_worker.archive.trace import Walk, trace
from history_sink_worker.archive.written import write_written
from history_sink_worker.store import (
    Blob,
    Corrupt,
    Get,
    Head,
    Info,
    Steps,
    list_all,
)


@dataclass(frozen=True)
class LogSnapshot:
    """One picture of a log. `line` and `info` (of the base) are None where there is no base yet."""

    asked_at: float
    listing: LogListing
    line: MainLine | None = None
    info: Info | None = None


def make_hint(seen: LogSnapshot, now: float) -> Hint:
    """What a look proves of the log's end."""
    line = seen.line
    if line is None:
        return Hint(0, shorten(ORIGIN), seen.asked_at, moved_at=now)
    end = line.end
    placed = {writer: each.position for writer, each in line.placed.items()}
    listed = list_placed(placed)
    full = end if listed else None  # older workers can read a hint without it
    return Hint(end.offset, shorten(end.chain), seen.asked_at, line.extents, line.base, now, full, listed)


def list_log(log: Log) -> Steps[LogListing]:
    """All pages of a log's LIST. They are not one snapshot."""
    return plan.arrange(log, (yield from list_all(log.root, log.list_after)))


def look(context: Context, log: Log, adopt: bool = False, reads: bool = False) -> Steps[LogSnapshot]:
    """Look until the base has the size that the LIST shows and no extent vanishes on the way. Raises `Deleted`.

    `adopt`: a base without our metadata (the older sink wrote it) is given it, with ``If-Match``; otherwise its
    chain is only computed. `reads`: whoever looks will want the extents' lines, too, so each is asked for at once.
    """
    return (yield from look_again(log, lambda: _look_once(context, log, adopt, reads)))


def _look_once(context: Context, log: Log, adopt: bool, reads: bool) -> Steps[LogSnapshot]:
    asked_at = context.now()
    yield from check_alive(log)
    listing = yield from list_log(log)
    if listing.base is None:
        if not context.is_fresh(asked_at):
            raise Changed  # its first page may show no base, and its last what is left of a sweep
        return LogSnapshot(asked_at, listing)
    info: Info | None = yield Head(log.base)
    if info is None or info.size_bytes != listing.base.size_bytes:
        raise Changed  # it has grown since the LIST: extents that it now covers may be missing from the picture
    base = yield from _read_base(context, log, info, adopt)
    line = yield from _join(context, listing, base, reads)
    return LogSnapshot(asked_at, listing, line, info)


def check_base(log: Log, info: Info) -> Fact | None:
    """What the base's metadata says, None for a base without; raises `Corrupt` where it is that of another object.

    Raises `Deleted` where it is a tombstone.
    """
    if is_tombstone(info.meta):
        raise deleted(log)
    fact = read_meta(info.meta)
    if fact and info.meta.get("hs-bytes", str(info.size_bytes)) != str(info.size_bytes):
        raise Corrupt(
            f"{log.base} has {info.size_bytes} bytes, its metadata says {info.meta['hs-bytes']}:"
            " overwritten by a foreign writer"
        )
    if fact and fact.before != ORIGIN:
        raise foreign(log.base)
    return fact


def foreign(key: str) -> Corrupt:
    """The error for an object under our name that is not ours."""
    return Corrupt(f"{key} has not the metadata that its name promises: overwritten by a foreign writer")


@dataclass(frozen=True)
class _Base:
    """The base as a segment, and the messages in it. `is_open`: its last line is not ended yet, and not in it."""

    segment: Segment
    messages: int
    is_open: bool = False
    fact: Fact | None = None


def _read_base(context: Context, log: Log, info: Info, adopt: bool) -> Steps[_Base]:
    fact = check_base(log, info) or (None if adopt else context.facts.get(log.base, info.etag))
    if fact is not None:
        return _Base(Segment(log.base, 0, 0, info.size_bytes, fact.before, fact.after), fact.messages, fact=fact)
    whole = Segment(log.base, 0, 0, info.size_bytes, ORIGIN, b"")
    walk = yield from trace((whole,), 0, ORIGIN, info.size_bytes)
    if adopt:
        yield from _adopt(log, info, walk)
        raise Changed  # what is there now is ours
    if not walk.rest:
        context.facts.put(log.base, info.etag, Fact(walk.messages, ORIGIN, walk.chain))
    # A last line without its newline is not a line yet. Adoption will make it one: so nothing else can follow.
    return _Base(Segment(log.base, 0, 0, walk.offset, ORIGIN, walk.chain), walk.messages, bool(walk.rest))


def _adopt(log: Log, info: Info, walk: Walk) -> Steps[None]:
    """Rewrite a foreign base onto itself with our metadata, a last line without a newline ended."""
    tail = b"\n" if walk.rest else b""
    fact = Fact(walk.messages, ORIGIN, walk.chain)
    if tail:
        fact = Fact(walk.messages + 1, ORIGIN, advance(walk.chain, walk.rest + tail))
    meta = base_meta(write_meta(fact), info.size_bytes + len(tail)) | write_written(info.modified)
    yield from grow(log.base, info, [known(tail)], len(tail), meta)


def _join(context: Context, listing: LogListing, base: _Base, reads: bool) -> Steps[MainLine]:
    segments, messages = [base.segment], base.messages
    placed: dict[str, plan.Placed] = {}
    if base.fact is not None:
        plan.note_placed(placed, base.fact, base.segment.end, base.segment.end)
    reads = reads and sum(tail.entry.size_bytes for tail in listing.extents.values()) <= LINES_KEPT_BYTES
    while not base.is_open and (tail := plan.next_extent(listing, segments[-1].end, segments[-1].after)):
        end, chain = segments[-1].end, segments[-1].after
        try:
            fact = yield from tail_fact(context, tail, reads)
        except Corrupt:
            break  # it is in the way of whoever would go on from here, but all before it can be read and folded
        if fact is None:
            raise Changed
        if not plan.joins(fact, chain) or tail.end == end:
            break
        segments.append(Segment(tail.entry.key, end, end, tail.end, chain, fact.after, tail.entry.etag))
        messages = fact.messages
        plan.note_placed(placed, fact, tail.end, tail.entry.size_bytes)
    return MainLine(tuple(segments), messages, placed)


def tail_fact(context: Context, tail: Tail, reads: bool = False) -> Steps[Fact | None]:
    """The metadata of an object of the tail, from memory or by a HEAD; None when it has vanished.

    `reads`: by a GET, and its lines are kept. Raises `Corrupt` where it is not what the name promises.
    """
    entry = tail.entry
    fact = context.facts.get(entry.key, entry.etag)
    if fact is None:
        found: Blob | Info | None = yield Get(entry.key) if reads else Head(entry.key)
        if found is None:
            return None
        info = found.info if isinstance(found, Blob) else found
        fact = read_tail_meta(info.meta, tail.name)
        if fact is None:
            raise foreign(entry.key)
        context.facts.put(entry.key, info.etag, fact)
        if isinstance(found, Blob):
            context.lines.put(entry.key, info.etag, found.body)
    return fact
