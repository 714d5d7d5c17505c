"""How far the store is with one session: all its logs, and what lies beside them."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from history_sink.protocol.chain import shorten
from history_sink.protocol.status import LogStatus, Status, StrayStatus
from history_sink_worker.archive import plan
from history_sink_worker.archive.changed import look_again
from history_sink_worker.archive.context import Context
from history_sink_worker.archive.marks import find_placed
from history_sink_worker.archive.match import last_common
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.piece import read_meta, read_rules
from history_sink_worker.archive.sessions import list_branches
from history_sink_worker.archive.snapshot import LogSnapshot, look, make_hint, tail_fact
from history_sink_worker.archive.tombstone import Deleted
from history_sink_worker.archive.written import last_write
from history_sink_worker.store import Corrupt, Steps


@dataclass(frozen=True, slots=True)
class Asked:
    """How far does the history with these `junctions` (offset, chain16) lie on each log, and how much of the streams of
    these `writers` is there?
    """

    junctions: tuple[tuple[int, str], ...] = ()
    writers: tuple[str, ...] = ()


def survey(context: Context, bucket: str, prefix: str, session: str, asked: Asked) -> Steps[Status]:
    """The state of a session's logs, and what was `asked` of each.

    A session that was deleted is told as one that has never been.
    """
    try:
        return (yield from _survey(context, bucket, prefix, session, asked))
    except Deleted:
        return Status(bucket, prefix, session, ())


def _survey(context: Context, bucket: str, prefix: str, session: str, asked: Asked) -> Steps[Status]:
    logs: list[LogStatus] = []
    strays: list[StrayStatus] = []
    pending = 0
    branches = yield from list_branches(prefix, session)
    for log in (Log(prefix, session), *branches):
        seen, common = yield from look_again(log, partial(_compare, context, log, asked.junctions))
        if seen.line is not None and seen.line.end.offset:
            placed = {}
            for writer in asked.writers:
                placed[writer] = yield from find_placed(log, seen.line, writer)
            _leave_hint(context, log, seen)
            logs.append(replace(_log_status(log, seen, common), placed=placed))
        strays += yield from _strays(context, seen)
        pending += _count_pending(seen)
    return Status(bucket, prefix, session, tuple(logs), tuple(strays), pending)


def _leave_hint(context: Context, log: Log, seen: LogSnapshot) -> None:
    """Who asks where a log ends is about to go on there: with a hint that is one PUT, without, a look and more.

    Not of a base that was not adopted yet: its last line may be open, and then nothing can follow it.
    """
    is_ours = seen.line is not None and seen.info is not None and read_meta(seen.info.meta) is not None
    if is_ours and context.hints.get(log.root) is None:
        context.hints.put(log.root, make_hint(seen, now=0.0))


def _compare(context: Context, log: Log, junctions: Sequence[tuple[int, str]]) -> Steps[tuple[LogSnapshot, int]]:
    seen = yield from look(context, log)
    common = (yield from last_common(seen.line, junctions)) if seen.line else 0
    return seen, common


def _log_status(log: Log, seen: LogSnapshot, common: int) -> LogStatus:
    assert seen.line is not None
    assert seen.info is not None
    end, base = seen.line.end, seen.line.base
    written = last_write(seen.listing, seen.info.meta)
    chain, full = shorten(end.chain), end.chain.hex()
    rules = read_rules(seen.info.meta)
    return LogStatus(log.branch, log.base, end.messages, end.offset, chain, base, written, common, full, rules=rules)


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
    return len(waiting) + len(seen.listing.waiting)
