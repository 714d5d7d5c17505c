"""Compact what the due list has lost: all logs under the prefix, found by listing them."""

from collections.abc import Iterator
from dataclasses import dataclass

from history_sink_worker.archive.compaction import Compacted
from history_sink_worker.archive.erasure import compact_or_sweep
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.sessions import list_branches, list_names
from history_sink_worker.archive.snapshot import list_log
from history_sink_worker.archive.tombstone import TOMBSTONE_BYTES
from history_sink_worker.service.service import Service
from history_sink_worker.store import Corrupt

PAGE_SESSIONS = 1000
MOST_RUNS = 100
"""Of one log at a time: one run folds 32 MiB at most."""


@dataclass(frozen=True, slots=True)
class Tidied:
    """What was done to one log; `problem` says why it was left as it is."""

    log: Log
    folded_bytes: int = 0
    swept: int = 0
    left: int = 0
    again_in_seconds: float | None = None
    problem: str | None = None


def find_logs(work: Service) -> Iterator[Log]:
    """Every log there is: each session's main line, then its branches. Raises `StoreError`."""
    prefix, after = work.settings.prefix, ""
    while True:
        names = work.run(list_names(prefix, after, PAGE_SESSIONS))
        for name in names:
            yield work.log(name)
            yield from work.run(list_branches(prefix, name))
        if len(names) < PAGE_SESSIONS:
            return
        after = names[-1]


def tidy(work: Service, log: Log, idle_seconds: float, everything: bool = False) -> Tidied | None:
    """Compact one log as far as it goes now. What is due later goes on the due list. None: there was nothing to do.

    `everything`: fold the whole tail, whatever the policy says. Raises `StoreError`.
    """
    listing = work.run(list_log(log))
    may_be_deleted = listing.base is not None and listing.base.size_bytes <= TOMBSTONE_BYTES
    if not listing.extents and not listing.undecided and not may_be_deleted:
        return None
    idle = work.context.now() - listing.last_write >= idle_seconds
    folded = swept = 0
    try:
        for _ in range(MOST_RUNS):
            done: Compacted = work.run(compact_or_sweep(work.context, log, idle, everything))
            folded, swept = folded + done.folded_bytes, swept + done.swept
            if done.again_in_seconds != 0:
                break
    except Corrupt as error:
        return Tidied(log, folded, swept, problem=str(error))
    if may_be_deleted and done == Compacted():
        return None
    if done.again_in_seconds is not None:
        work.due.put("sweep", log, work.context.now() + done.again_in_seconds)
    return Tidied(log, folded, swept, done.left, done.again_in_seconds)
