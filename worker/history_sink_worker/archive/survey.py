"""How far the store is: all logs of one session, what lies beside them, and the list of all sessions."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from history_sink.errors import Malformed
from history_sink.protocol.chain import shorten
from history_sink.protocol.contract import check_branch, check_session
from history_sink.protocol.listing import Listing, SessionSummary
from history_sink.protocol.status import LogStatus, Status, StrayStatus
from history_sink_worker.archive import plan
from history_sink_worker.archive.changed import look_again
from history_sink_worker.archive.context import Context
from history_sink_worker.archive.match import last_common
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.snapshot import LogSnapshot, list_log, look, tail_fact
from history_sink_worker.archive.tombstone import Deleted
from history_sink_worker.archive.written import is_told_by_list, last_activity, last_write
from history_sink_worker.store import Corrupt, Head, Info, List, Page, Steps


def survey(context: Context, bucket: str, prefix: str, session: str, junctions: list[tuple[int, str]]) -> Steps[Status]:
    """The state of a session's logs, and how far the history with these `junctions` (offset, chain16) lies on each.

    A session that was deleted is told as one that has never been.
    """
    try:
        return (yield from _survey(context, bucket, prefix, session, junctions))
    except Deleted:
        return Status(bucket, prefix, session, ())


def _survey(
    context: Context, bucket: str, prefix: str, session: str, junctions: list[tuple[int, str]]
) -> Steps[Status]:
    logs: list[LogStatus] = []
    strays: list[StrayStatus] = []
    pending = 0
    branches = yield from list_branches(prefix, session)
    for log in (Log(prefix, session), *branches):
        seen, common = yield from look_again(log, partial(_compare, context, log, junctions))
        if seen.line is not None and seen.line.end.offset:
            logs.append(_log_status(log, seen, common))
        strays += yield from _strays(context, seen)
        pending += _count_pending(seen)
    return Status(bucket, prefix, session, tuple(logs), tuple(strays), pending)


def list_branches(prefix: str, session: str) -> Steps[list[Log]]:
    """The branches of a session, by name."""
    folders = yield from _list_folders(f"{prefix}{session}/branches/", "", check_branch)
    return [Log(prefix, session, folder) for folder in folders]


def list_names(prefix: str, after: str, limit: int) -> Steps[list[str]]:
    """Session names behind `after`, at most `limit`."""
    # "0" is the character behind "/": a name that `after` begins may still follow it.
    return (yield from _list_folders(prefix, f"{prefix}{after}0" if after else "", check_session, limit))


def list_sessions(context: Context, prefix: str, after: str, limit: int) -> Steps[Listing]:
    """One page of sessions behind the name `after`; those that were deleted are passed over."""
    names = yield from list_names(prefix, after, limit + 1)
    found = []
    for name in names[:limit]:
        with suppress(Deleted):
            found.append((yield from _summarise(context, prefix, name)))
    return Listing(tuple(found), names[limit - 1] if len(names) > limit else None)


def _summarise(context: Context, prefix: str, session: str) -> Steps[SessionSummary]:
    log, messages, size, problem = Log(prefix, session), 0, 0, None
    meta: Mapping[str, str] = {}
    try:
        seen = yield from look(context, log)
        listing, meta = seen.listing, seen.info.meta if seen.info else {}
        messages, size = (seen.line.messages, seen.line.end.offset) if seen.line else (0, 0)
    except Corrupt as error:
        listing, problem = (yield from list_log(log)), str(error)
    written, active = last_write(listing, meta), last_activity(listing, meta)
    branches, later = (yield from list_branches(prefix, session)), None
    for branch in branches:
        listing, meta = yield from _glance(branch, written)
        active = max(active, last_activity(listing, meta))
        if last_write(listing, meta) > written:
            written, later = last_write(listing, meta), branch.branch
    return SessionSummary(session, messages, size, active, len(branches), problem, later)


def _glance(log: Log, other: float) -> Steps[tuple[plan.LogListing, Mapping[str, str]]]:
    """A log's LIST, and its base's metadata where only that tells whether lines came to it after `other`."""
    listing = yield from list_log(log)
    if last_write(listing, {}) <= other or is_told_by_list(listing):
        return listing, {}
    info: Info | None = yield Head(log.base)
    return listing, info.meta if info else {}


def _list_folders(
    prefix: str, after: str, check: Callable[[object], object], limit: int | None = None
) -> Steps[list[str]]:
    """The names of folders that `check` lets pass, at most `limit`; others are nothing of ours."""
    found: list[str] = []
    position: str | None = after
    while position is not None and (limit is None or len(found) < limit):
        page: Page = yield List(prefix, position, by_folder=True)
        for folder in page.folders:
            name = folder.removeprefix(prefix).removesuffix("/")
            with suppress(Malformed):
                check(name)
                found.append(name)
        position = page.next_after
    return found[:limit]


def _compare(context: Context, log: Log, junctions: list[tuple[int, str]]) -> Steps[tuple[LogSnapshot, int]]:
    seen = yield from look(context, log)
    common = (yield from last_common(seen.line, junctions)) if seen.line else 0
    return seen, common


def _log_status(log: Log, seen: LogSnapshot, common: int) -> LogStatus:
    assert seen.line is not None
    assert seen.info is not None
    end, base = seen.line.end, seen.line.base
    written = last_write(seen.listing, seen.info.meta)
    chain, full = shorten(end.chain), end.chain.hex()
    return LogStatus(log.branch, log.base, end.messages, end.offset, chain, base, written, common, full)


def _strays(context: Context, seen: LogSnapshot) -> Steps[list[StrayStatus]]:
    found = []
    for tail in seen.listing.strays:
        messages = 0  # of a foreign writer's object; to read it says what is wrong
        with suppress(Corrupt):
            fact = yield from tail_fact(context, tail)
            if fact is None:
                continue
            messages = fact.messages
        found.append(StrayStatus(tail.entry.key, tail.name.start, tail.end, messages))
    return found


def _count_pending(seen: LogSnapshot) -> int:
    end = seen.line.end.offset if seen.line else 0
    loose = plan.loose_extents(seen.listing, seen.line) if seen.line else list(seen.listing.extents.values())
    # What has parted stays under the name that it waited under.
    kept = {(stray.name.start, stray.name.before, stray.end) for stray in seen.listing.strays}
    waiting = [
        tail
        for tail in (*loose, *seen.listing.undecided)
        if tail.name.start >= end and (tail.name.start, tail.name.before, tail.end) not in kept
    ]
    return len(waiting)
