"""From pages to a context: which messages it has, at which levels, and what could not be kept. Pure.

First come the invariants, which are bootstrap and pinned pages, then everything else, the newest first. A tool's calls
and their results come together or not at all.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from history_sink_agents.pages.content import Content
from history_sink_agents.pages.invariants import find_miss
from history_sink_agents.pages.kinds import Level, PageKind, is_below
from history_sink_agents.pages.page import Page, PageFault
from history_sink_agents.pages.slots import Slot
from history_sink_agents.pages.stand_ins import stand_in

Measure: TypeAlias = Callable[[Content], int]
"""How much of a budget a message takes."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A message of a context: what stands for message `number` of the history, at `level`, and what it takes."""

    number: int
    level: Level
    message: Content = field(repr=False)
    size: int


@dataclass(frozen=True, slots=True)
class Omitted:
    """A message of the history that no message of the context stands for."""

    number: int
    kind: PageKind
    reason: str


@dataclass(frozen=True, slots=True)
class Context:
    """What `Pages.assemble` returns. Each message of the history is in `placed` or in `omitted`, in its order.

    `faults` has one for each bootstrap page (``post_compaction_bootstrap``) and each pinned page or constraint
    (``pinned_invariant_miss``) among the omitted.
    """

    placed: tuple[Placed, ...]
    omitted: tuple[Omitted, ...]
    faults: tuple[PageFault, ...]
    budget: int

    @property
    def messages(self) -> list[Content]:
        """The messages, in order."""
        return [each.message for each in self.placed]

    @property
    def size(self) -> int:
        """What they take of the budget."""
        return sum(each.size for each in self.placed)


def list_options(slot: Slot, measure: Measure) -> list[Placed]:
    """How a message may stand in a context, the richest first; each takes less than the one before."""
    page = slot.page
    options: list[Placed] = []
    for level in _list_levels(slot):
        message = slot.entry.message
        if level != "full" and slot.is_held:
            message = stand_in(slot.entry, page, slot.turn, level)
        size = measure(message)
        if not options or size < options[-1].size:
            options.append(Placed(slot.number, level, message, size))
    return options


def _list_levels(slot: Slot) -> list[Level]:
    page = slot.page
    if not slot.is_held:
        return [] if is_below(page.level, page.minimum) else [page.level]
    levels = [level for level in page.path if not is_below(page.level, level)]
    known = [level for level in levels if _is_known(page, level)]
    return known or [page.minimum]  # it was degraded too far, and its message is here


def _is_known(page: Page, level: Level) -> bool:
    if level == "compressed":
        return page.level == "compressed" and page.text is not None
    return level != "pointer" or page.handle is not None


class Assembler:
    """One assembly: what is placed so far, and how much of the budget is left."""

    def __init__(self, slots: Sequence[Slot], budget: int, measure: Measure) -> None:
        self._slots = slots
        self._budget = budget
        self._options = [list_options(slot, measure) for slot in slots]
        self._chosen: dict[int, int] = {}  # the number of a message, and which of its options
        self._left = budget

    def run(self) -> Context:
        """Choose, and tell."""
        invariants: list[list[int]] = []
        others: list[list[int]] = []
        for group in find_groups(self._slots):
            is_needed = any(self._slots[at].page.is_invariant for at in group)
            (invariants if is_needed else others).append(group)
        # Bootstrap before pins, then by age; the others from the newest on.
        invariants.sort(key=lambda group: not any(self._slots[at].page.kind == "bootstrap" for at in group))
        held = [at for group in invariants if self._place(group) for at in group]
        self._enrich(held)
        for group in sorted(others, key=max, reverse=True):
            if self._place(group):
                self._enrich(sorted(group, reverse=True))
        return self._tell()

    def _place(self, group: Sequence[int]) -> bool:
        """Place a group at its least, if it can be."""
        options = [self._options[at] for at in group]
        if not all(options) or sum(each[-1].size for each in options) > self._left:
            return False
        for at in group:
            self._choose(at, len(self._options[at]) - 1)
        return True

    def _enrich(self, numbers: Iterable[int]) -> None:
        """Give each of these the richest level that there is room for."""
        for at in numbers:
            room = self._left + self._options[at][self._chosen[at]].size
            best = next(index for index, each in enumerate(self._options[at]) if each.size <= room)
            self._choose(at, best)

    def _choose(self, at: int, index: int) -> None:
        before = self._chosen.get(at)
        self._left += self._options[at][before].size if before is not None else 0
        self._left -= self._options[at][index].size
        self._chosen[at] = index

    def _tell(self) -> Context:
        placed = tuple(self._options[at][self._chosen[at]] for at in sorted(self._chosen))
        out = [slot for slot in self._slots if slot.number not in self._chosen]
        omitted = tuple(Omitted(slot.number, slot.page.kind, self._explain(slot)) for slot in out)
        faults = tuple(find_miss(slot.number, slot.page, self._explain(slot)) for slot in out if slot.page.is_invariant)
        return Context(placed, omitted, faults, self._budget)

    def _explain(self, slot: Slot) -> str:
        if not self._options[slot.number]:
            return f"it is at {slot.page.level}, below {slot.page.minimum}, and its message is not here: fetch it"
        least = self._options[slot.number][-1]
        beside = ", and its calls or results come with it" if slot.turn.links else ""
        return f"no room: at {least.level} it takes {least.size}{beside}"


def find_groups(slots: Sequence[Slot]) -> list[list[int]]:
    """The numbers of messages that need each other: calls and their results; the others are alone. In order."""
    group_of: dict[int, list[int]] = {}
    for slot in slots:
        groups = [group_of[link] for link in slot.turn.links if link in group_of]
        merged = sorted({slot.number, *(at for group in groups for at in group)})
        for at in merged:
            group_of[at] = merged
    return [group for at, group in sorted(group_of.items()) if group[0] == at]
