"""The list of all sessions. What is asked of each decides what it costs.

Names alone: a LIST of folders, a page for each thousand. The last write: a LIST of all their objects. Anything else: a
look at each session.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from history_sink.errors import Malformed
from history_sink.protocol.chain import shorten
from history_sink.protocol.contract import check_branch, check_session
from history_sink.protocol.listing import BY_LIST, BY_LOOK, Listing, SessionSummary, are_names_alone
from history_sink_worker.archive import plan
from history_sink_worker.archive.context import Context
from history_sink_worker.archive.names import Log, owner_of, parse_key
from history_sink_worker.archive.snapshot import list_log, look
from history_sink_worker.archive.tombstone import Deleted, find_tombstone, may_be_tombstone
from history_sink_worker.archive.written import is_told_by_list, last_activity, last_write
from history_sink_worker.store import Corrupt, Entry, Head, Info, List, Page, Steps

EVERYTHING = BY_LIST | BY_LOOK


def list_sessions(
    context: Context, root: str, after: str, limit: int, prefix: str = "", fields: Collection[str] = EVERYTHING
) -> Steps[Listing]:
    """One page of the sessions under `root` whose names begin with `prefix`, behind the name `after`.

    Those that were deleted are passed over, but where names alone are asked for: a LIST of folders does not tell.
    """
    if BY_LOOK.isdisjoint(fields) and not are_names_alone(fields):
        return (yield from _list_outlines(root, after, limit, prefix))
    names = yield from list_names(root, after, limit + 1, prefix)
    found = []
    for name in names[:limit]:
        if are_names_alone(fields):
            found.append(SessionSummary(name))
        else:
            with suppress(Deleted):
                found.append((yield from _summarise(context, root, name)))
    return Listing(tuple(found), names[limit - 1] if len(names) > limit else None)


def list_names(root: str, after: str, limit: int, prefix: str = "") -> Steps[list[str]]:
    """Session names that begin with `prefix`, behind `after`, at most `limit`."""
    return (yield from list_folders(root, _start(root, after, prefix), check_session, limit, prefix))


def list_branches(root: str, session: str) -> Steps[list[Log]]:
    """The branches of a session, by name."""
    folders = yield from list_folders(f"{root}{session}/branches/", "", check_branch)
    return [Log(root, session, folder) for folder in folders]


def list_folders(
    root: str, after: str | None, check: Callable[[object], object], limit: int | None = None, prefix: str = ""
) -> Steps[list[str]]:
    """The names of folders that begin with `prefix` and `check` lets pass, at most `limit`; others are none of ours."""
    found: list[str] = []
    position = after
    while position is not None and (limit is None or len(found) < limit):
        page: Page = yield List(root + prefix, position, by_folder=True)
        for folder in page.folders:
            name = folder.removeprefix(root).removesuffix("/")
            if _passes(check, name):
                found.append(name)
        position = page.next_after
    return found[:limit]


def _start(root: str, after: str, prefix: str) -> str | None:
    """The key that a LIST of what begins with `root` and `prefix` starts behind; None: nothing comes behind `after`."""
    # "0" is the character behind "/": a name that `after` begins may still follow it.
    start = f"{root}{after}0" if after else ""
    if start.startswith(root + prefix):
        return start
    # Not every store takes a start that does not begin with the LIST's own prefix.
    return "" if start < root + prefix else None


def _passes(check: Callable[[object], object], name: str) -> bool:
    try:
        check(name)
    except Malformed:
        return False
    return True


@dataclass
class _Outline:
    """One session as a LIST of its objects shows it."""

    session: str
    last_write: float = 0.0
    branches: set[str] = field(default_factory=set)
    base: Entry | None = None

    def add(self, root: str, entry: Entry) -> None:
        found = parse_key(root, entry.key)
        if found is None:
            return
        log, tail = found
        self.last_write = max(self.last_write, entry.modified)
        if log.branch is not None:
            self.branches.add(log.branch)
        elif tail is None:
            self.base = entry

    def summary(self) -> SessionSummary:
        return SessionSummary(self.session, last_write=self.last_write, branches=len(self.branches))


def _list_outlines(root: str, after: str, limit: int, prefix: str) -> Steps[Listing]:
    outlines = yield from _walk_outlines(root, _start(root, after, prefix), limit + 1, prefix)
    found = []
    for outline in outlines[:limit]:
        may_be_deleted = outline.base is not None and may_be_tombstone(outline.base)
        if not (may_be_deleted and (yield from find_tombstone(root, outline.session))):
            found.append(outline.summary())
    return Listing(tuple(found), outlines[limit - 1].session if len(outlines) > limit else None)


def _walk_outlines(root: str, start: str | None, limit: int, prefix: str) -> Steps[list[_Outline]]:
    """The first `limit` sessions behind the key `start`, all but the last of them whole."""
    found: list[_Outline] = []
    position = start
    while position is not None:
        page: Page = yield List(root + prefix, position)
        for name, entry in _name_owners(root, page):
            if not found or found[-1].session != name:
                if len(found) == limit - 1:
                    return [*found, _Outline(name)]
                found.append(_Outline(name))
            found[-1].add(root, entry)
        position = _skip_foreign(root, page.next_after)
    return found


def _name_owners(root: str, page: Page) -> Iterator[tuple[str, Entry]]:
    """The objects in sessions' folders, each with the session's name."""
    for entry in page.entries:
        name = owner_of(root, entry.key)
        if name:
            yield name, entry


def _skip_foreign(root: str, position: str | None) -> str | None:
    """Where the next page starts: behind the whole folder where that is no session's, such as the dead letters'."""
    name, slash, _ = (position or "").removeprefix(root).partition("/")
    return f"{root}{name}0" if slash and not _passes(check_session, name) else position


def _summarise(context: Context, root: str, session: str) -> Steps[SessionSummary]:
    log, problem = Log(root, session), None
    messages, size, chain = 0, 0, None
    meta: Mapping[str, str] = {}
    try:
        seen = yield from look(context, log)
        listing, meta = seen.listing, seen.info.meta if seen.info else {}
        if seen.line:
            end = seen.line.end
            messages, size, chain = end.messages, end.offset, shorten(end.chain)
    except Corrupt as error:
        listing, problem = (yield from list_log(log)), str(error)
    written, active = last_write(listing, meta), last_activity(listing, meta)
    branches, later = (yield from list_branches(root, session)), None
    for branch in branches:
        listing, meta = yield from _glance(branch, written)
        active = max(active, last_activity(listing, meta))
        if last_write(listing, meta) > written:
            written, later = last_write(listing, meta), branch.branch
    return SessionSummary(session, messages, size, active, len(branches), problem, later, chain)


def _glance(log: Log, other: float) -> Steps[tuple[plan.LogListing, Mapping[str, str]]]:
    """A log's LIST, and its base's metadata where only that tells whether lines came to it after `other`."""
    listing = yield from list_log(log)
    if last_write(listing, {}) <= other or is_told_by_list(listing):
        return listing, {}
    info: Info | None = yield Head(log.base)
    return listing, info.meta if info else {}
