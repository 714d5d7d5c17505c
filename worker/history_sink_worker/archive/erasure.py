"""Delete a session: a tombstone first, then all that lies beside it, until nothing does.

This is safe beside any number of writers. It may be done again: the tombstone stays, and whatever lies beside it is to
go. A second sweep after `second_sweep_seconds` takes what was on its way when the tombstone was written. So does a
sweep after each upload that has met the tombstone.
"""

from dataclasses import dataclass, field

from history_sink.protocol.chain import ORIGIN, shorten
from history_sink_worker.archive.changed import Changed, look_again
from history_sink_worker.archive.compaction import Compacted, compact
from history_sink_worker.archive.context import Context
from history_sink_worker.archive.hint import Hint
from history_sink_worker.archive.names import Log, parse_beside, parse_key
from history_sink_worker.archive.tombstone import Deleted, find_tombstone, is_tombstone, tombstone
from history_sink_worker.store import Delete, Head, Info, List, Page, Steps

NOTHING_KNOWN = Hint(0, shorten(ORIGIN), 0.0)
"""True of every log, and too old to prove anything: takes the place of what a writer would go on from."""
_ROUNDS = 20


@dataclass(slots=True)
class Swept:
    """What was removed; `foreign` are keys in the session's folder that this project has not written: they stay."""

    objects: int = 0
    size_bytes: int = 0
    foreign: set[str] = field(default_factory=set)


def second_sweep_seconds(context: Context) -> float:
    """How long after the tombstone a write may still come that had begun before it.

    A hint from before it proves for T/2 at most (and T/8, as clocks go), and a request lingers for T at most.
    """
    return 2 * context.settle_seconds


def entomb(context: Context, prefix: str, session: str) -> Steps[Swept | None]:
    """Write the tombstone; None where there is one already. From here on the session reads as if it had never been.

    Returns what was in its place.
    """
    log = Log(prefix, session)
    return (yield from look_again(log, lambda: _entomb_once(context, log)))


def _entomb_once(context: Context, log: Log) -> Steps[Swept | None]:
    info: Info | None = yield Head(log.base)
    if info is not None and is_tombstone(info.meta):
        return None
    if (yield tombstone(log, context.now(), info.etag if info else None)) is None:
        raise Changed
    return Swept(1, info.size_bytes) if info else Swept()


def sweep_beside(context: Context, prefix: str, session: str) -> Steps[Swept]:
    """Remove what lies beside the tombstone; nothing where there is none."""
    swept = Swept()
    if (yield from find_tombstone(prefix, session)) is None:
        return swept
    for _ in range(_ROUNDS):
        # Hints first: who has none finds the tombstone. Again in each round: a save under way may have left another.
        context.hints.put(Log(prefix, session).root, NOTHING_KNOWN)
        if not (yield from _sweep_once(context, prefix, session, swept)):
            break
    return swept


def compact_or_sweep(context: Context, log: Log, idle: bool = False, everything: bool = False) -> Steps[Compacted]:
    """Compact a log; of a session that was deleted, sweep away what has come since."""
    try:
        return (yield from compact(context, log, idle, everything))
    except Deleted:
        swept = yield from sweep_beside(context, log.prefix, log.session)
        return Compacted(swept=swept.objects)


def _sweep_once(context: Context, prefix: str, session: str, swept: Swept) -> Steps[bool]:
    """Whether there was anything to remove."""
    main, had = Log(prefix, session), swept.objects
    after: str | None = ""
    while after is not None:
        page: Page = yield List(main.root, after)
        sizes: dict[str, int] = {}
        logs: dict[Log, None] = {}  # in the order of the LIST, so that a run of the simulation can be repeated
        for entry in page.entries:
            found, marked = parse_key(prefix, entry.key), parse_beside(prefix, entry.key)
            log = found[0] if found else marked
            if log is None:
                swept.foreign.add(entry.key)
            elif entry.key != main.base:
                sizes[entry.key] = entry.size_bytes
                logs[log] = None
        for log in logs:
            context.hints.put(log.root, NOTHING_KNOWN)
        if sizes:
            yield Delete(tuple(sizes))
        swept.objects, swept.size_bytes = swept.objects + len(sizes), swept.size_bytes + sum(sizes.values())
        after = page.next_after
    return swept.objects > had
