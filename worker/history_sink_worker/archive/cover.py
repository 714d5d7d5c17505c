"""Which objects of the tail the base surely holds: one walk over its end answers for all of them."""

from collections.abc import Sequence
from contextlib import suppress

from history_sink_worker.archive.changed import Changed
from history_sink_worker.archive.context import Context, Fact
from history_sink_worker.archive.plan import Segment, Tail
from history_sink_worker.archive.snapshot import tail_fact
from history_sink_worker.archive.trace import Walk, trace
from history_sink_worker.store import Corrupt, Steps

_ATTEMPTS = 3
"""From how many objects the walk may start; what is then unproven is placed one by one."""


def covered_tails(context: Context, base: Segment, tails: Sequence[Tail]) -> Steps[set[str]]:
    """The keys of those of `tails` (in order) whose lines and whole history lie in the base."""
    facts: list[tuple[Tail, Fact]] = []
    for tail in tails:
        try:
            fact = yield from tail_fact(context, tail)
        except Corrupt:
            continue
        if fact is not None and tail.end <= base.end:
            facts.append((tail, fact))
    for first in range(min(_ATTEMPTS, len(facts))):
        tail, fact = facts[first]
        wanted = {offset for item, _ in facts[first:] for offset in (item.name.start, item.end)}
        chains = yield from _chains_from(base, tail.name.start, fact.before, wanted)
        if chains:
            ends = [(item.entry.key, chains.get(item.name.start), chains.get(item.end), known) for item, known in facts]
            return {key for key, start, end, known in ends if (start, end) == (known.before, known.after)}
    return set()


def _chains_from(base: Segment, offset: int, chain: bytes, wanted: set[int]) -> Steps[dict[int, bytes]]:
    """The base's chains at the offsets `wanted`, none before `offset`; empty if `chain` is not the one at `offset`.

    The base is read from `offset` on only. If `chain` were not the true chain there, the walk would not end with the
    chain that is known at the base's end.
    """
    chains = {offset: chain}

    def note(_: bytes, walk: Walk) -> bool:
        if walk.offset in wanted:
            chains[walk.offset] = walk.chain
        return False

    with suppress(Changed):  # another has folded: nothing is proven, and there is no need to look again
        walk = yield from trace((base,), offset, chain, base.end, note)
        if (walk.offset, walk.chain) == (base.end, base.after):
            return chains
    return {}
