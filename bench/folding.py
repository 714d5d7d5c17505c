"""`python -m bench.folding`: what folds write and let the store copy, by our rule and others. Without servers.

Each save is one message; the sizes are those of real transcripts. Somebody who pauses after each turn lets the log
become idle each time.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import repeat
from typing import NamedTuple

from bench.transcripts import Transcript, make_transcript
from history_sink_worker.archive import plan
from history_sink_worker.archive.grow import COPY_FROM_BYTES, choose_copies

LENGTHS = (100, 300, 1000, 3000, 10_000)
SEEDS = (1, 2, 3)
GOAL = 2.9
"""Bytes PUT per byte after a final fold, as was asked for at every length. See `least_worst`."""
_MIB = 1024 * 1024

IsDue = Callable[[int, int, int, bool], bool]
"""Of extents, the tail's bytes, the base's, and whether the log is idle."""
Copied = Callable[[int, int], int]
"""How much the store copies for a fold, of the base's bytes and the tail's. All the rest is sent."""


class Cost(NamedTuple):
    """Bytes per byte of log: PUT so far, PUT if all were then folded, and copied within the store so far."""

    put: float
    final: float
    copied: float


def copied_by_grow(base: int, tail: int) -> int:
    """As a fold does it."""
    copies = choose_copies(base, tail)
    return copies[-1][1] if copies else 0


def copied_from(least_bytes: int) -> Copied:
    """All of a base that has at least so many bytes."""
    return lambda base, _: base if base >= least_bytes else 0


def copied_for_each(tail_bytes: int) -> Copied:
    """All of a base, for each so many bytes of a tail that was folded in parts."""
    return lambda base, tail: sum(base + done for done in range(0, tail, tail_bytes)) if base >= COPY_FROM_BYTES else 0


def fold_at(share: float, extents_at_most: int, idle: Callable[[int, int, int], bool]) -> IsDue:
    """When the tail has so many times the base's bytes, or so many extents; an idle log by a rule of its own."""

    def is_due(extents: int, tail: int, base: int, is_idle: bool) -> bool:
        if is_idle:
            return idle(extents, tail, base)
        return (extents >= 64 and tail >= share * base) or extents >= extents_at_most

    return is_due


def any_tail(extents: int, tail: int, base: int) -> bool:
    """The older rule for an idle log."""
    return extents >= 16 or tail * 8 >= base


def as_large(extents: int, tail: int, base: int) -> bool:
    """When the fold doubles the base."""
    return tail >= base


RULES: dict[str, tuple[IsDue, Copied]] = {
    "as shipped": (plan.fold_is_due, copied_by_grow),
    "tail >= base or 448 extents; idle: 1/8 or 16; copied from 8 MiB": (
        fold_at(1, 448, any_tail),
        copied_from(8 * _MIB),
    ),
    "tail >= base or 448 extents; idle: 1/8 or 16": (fold_at(1, 448, any_tail), copied_from(COPY_FROM_BYTES)),
    "tail >= base or 448 extents; idle: as large": (fold_at(1, 448, as_large), copied_from(COPY_FROM_BYTES)),
    "tail >= 1.5 base or 448 extents; idle: as large": (fold_at(1.5, 448, as_large), copied_from(COPY_FROM_BYTES)),
    "tail >= 2 base or 448 extents; idle: as large": (fold_at(2, 448, as_large), copied_from(COPY_FROM_BYTES)),
    "tail >= 2 base or 640 extents; idle: as large": (fold_at(2, 640, as_large), copied_from(COPY_FROM_BYTES)),
    "tail >= 3 base or 900 extents; idle: as large": (fold_at(3, 900, as_large), copied_from(COPY_FROM_BYTES)),
}


QUICK_BYTES = (10**8, 5 * 10**8, 18 * 10**8)
QUICK_RULES: dict[str, tuple[IsDue, Copied]] = {
    "as shipped": (plan.fold_is_due, copied_by_grow),
    "640 extents": (fold_at(1.5, 640, as_large), copied_by_grow),
    "640 extents, folded 16 MiB at a time": (fold_at(1.5, 640, as_large), copied_for_each(16 * _MIB)),
}
"""For logs that grow quickly."""


def simulate(sizes: Iterable[int], pauses: Collection[int], is_due: IsDue, copied: Copied) -> Iterator[Cost]:
    """The cost after each save. `pauses`: after how many saves the log becomes idle."""
    base = put = copies = tail = extents = 0
    for saves, size in enumerate(sizes, 1):
        put += size
        if not base:
            base = size
        else:
            tail, extents = tail + size, extents + 1
        is_asked = extents % plan.ASK_EVERY_EXTENTS == 0 and is_due(extents, tail, base, False)
        if tail and (is_asked or (saves in pauses and is_due(extents, tail, base, True))):
            copies, put = copies + copied(base, tail), put + max(base + tail - copied(base, tail), tail)
            base, tail, extents = base + tail, 0, 0
        last_fold = max(base + tail - copied(base, tail), tail) if tail else 0
        length = base + tail
        yield Cost(put / length, (put + last_fold) / length, copies / length)


def describe_rule(sessions: Sequence[Transcript], has_pauses: bool, is_due: IsDue, copied: Copied) -> str:
    """The worst of the sessions at each length, and at any."""
    runs = []
    for session in sessions:
        pauses = session.ends_of_turns() if has_pauses else []
        runs.append([*simulate(map(len, session.lines), {*pauses}, is_due, copied)])
    cells = [[run[length - 1] for run in runs] for length in LENGTHS]
    cells.append([cost for run in runs for cost in run[LENGTHS[0] - 1 :]])
    return " ".join(" / ".join(f"{max(column):5.2f}" for column in zip(*cell, strict=True)) for cell in cells)


def describe_quick_log(extent_bytes: int, is_due: IsDue, copied: Copied) -> str:
    """What is copied at each length of a log whose extents have one size, and the worst at any length."""
    lengths = [size // extent_bytes for size in QUICK_BYTES]
    run = [cost.copied for cost in simulate(repeat(extent_bytes, lengths[-1]), (), is_due, copied)]
    return " ".join(f"{found:9.2f}" for found in (*(run[length - 1] for length in lengths), max(run)))


def least_worst(extents_at_most: int, copied_from: int) -> float:
    """Bytes PUT per byte of log after a final fold, at the worst length: what no rule at all stays under.

    Messages are of one size. A tail has `extents_at_most`, and a base is written anew while it has fewer messages than
    `copied_from`. Each fold comes as late as it may, and takes as many of the tail's extents as it likes, 16 at a time.
    """
    bounds = [2 + number / 100 for number in range(300)]
    return bounds[bisect_left(bounds, True, key=lambda bound: _can_stay_under(bound, extents_at_most, copied_from))]


def _can_stay_under(bound: float, extents_at_most: int, copied_from: int) -> bool:
    """Whether some folds lead to a base that is copied, so that behind each a final one does not exceed `bound`."""
    ways = {0: 0}  # the messages of the base, and the fewest that folds have written on the way there
    while ways:
        found: dict[int, int] = {}
        for base, written in ways.items():
            length = base + extents_at_most
            if length >= copied_from and written + length <= (bound - 1) * length:
                return True  # behind this fold a final one copies
            most = min(length, int((bound - 2) * length) - written)
            for larger in range(base + plan.ASK_EVERY_EXTENTS, most + 1, plan.ASK_EVERY_EXTENTS):
                found[larger] = min(found.get(larger, written + larger), written + larger)
        ways, least = {}, copied_from * extents_at_most
        for larger in sorted(found, reverse=True):  # a smaller base is of use only where less was written for it
            if found[larger] < least:
                ways[larger] = least = found[larger]
    return False


def describe_every_length(sessions: Sequence[Transcript], has_pauses: bool) -> str:
    """The rule as shipped, with a final fold: the worst length from 100 on, and how many lengths exceed the goal."""
    worst, over = [], []
    for session in sessions:
        pauses = {*session.ends_of_turns()} if has_pauses else set[int]()
        run = simulate(map(len, session.lines), pauses, plan.fold_is_due, copied_by_grow)
        finals = [(cost.final, length) for length, cost in enumerate(run, 1) if length >= LENGTHS[0]]
        worst.append(max(finals))
        over.append(sum(final > GOAL for final, _ in finals) / len(finals))
    shown = ", ".join(
        f"{final:.2f} at {length:,} ({share:.0%} of lengths over {GOAL})"
        for (final, length), share in zip(worst, over, strict=True)
    )
    return f"worst of every length, final: {shown}"


def main() -> None:
    """Bytes per byte of log: PUT, PUT with a final fold of all, copied; then those copied of logs that grow quickly."""
    sessions = [make_transcript(max(LENGTHS), seed) for seed in SEEDS]
    mean = round(sum(len(line) for each in sessions for line in each.lines) / len(sessions) / max(LENGTHS))
    for most in (plan.FOLD_EXTENTS_LONG, 900):
        least = least_worst(most, COPY_FROM_BYTES // mean)
        print(
            f"no rule stays under {least:.2f} with a tail of {most} and messages of {mean:,} bytes, after a final fold"
        )
    for has_pauses in (False, True):
        print("with a pause after each turn" if has_pauses else "without pauses")
        print(f"{'messages':64}", *(f"{length:>21,}" for length in LENGTHS), f"{'any':>21}", sep=" ")
        for name, (is_due, copied) in RULES.items():
            print(f"{name:64}", describe_rule(sessions, has_pauses, is_due, copied))
        print(describe_every_length(sessions, has_pauses))
    print("copied within the store")
    for extent_bytes in (mean, 100_000, 1_000_000):
        megabytes = "".join(f"{size // 10**6:>10,}" for size in QUICK_BYTES)
        print(f"{f'extents of {extent_bytes:,} bytes; MB:':40}{megabytes}       any")
        for name, (is_due, copied) in QUICK_RULES.items():
            print(f"{name:40}", describe_quick_log(extent_bytes, is_due, copied))


if __name__ == "__main__":
    main()
