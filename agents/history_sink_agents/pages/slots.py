"""A history's messages, each with its page and its turn. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from history_sink_agents.pages.alignment import align
from history_sink_agents.pages.calls import connect, has_calls
from history_sink_agents.pages.content import Entry
from history_sink_agents.pages.kinds import classify
from history_sink_agents.pages.page import Page
from history_sink_agents.render import Turn, render


@dataclass(frozen=True, slots=True)
class Slot:
    """A message of the history with all that is known of it. Where it is not `is_held`, another stands in for it."""

    number: int
    entry: Entry
    page: Page
    turn: Turn

    @property
    def is_held(self) -> bool:
        """Whether the message itself is here."""
        return self.entry.key == self.page.key


def arrange(
    entries: Sequence[Entry], pages: Sequence[Page], retired: tuple[Page, ...], before: Sequence[Slot]
) -> tuple[list[Slot], list[int], tuple[Page, ...]]:
    """Put these messages behind the slots `before`. Their pages are among `pages` and `retired`, or new.

    Returns all slots, the numbers of the messages whose pages are new, and the pages that have no message any more.
    """
    first, aligned = len(before), align(pages, retired, [entry.key for entry in entries])
    turns = render((entry.line for entry in entries), first)
    slots = [*before]
    for at, (entry, page, turn) in enumerate(zip(entries, aligned.found, turns, strict=True)):
        slots.append(_see(Slot(first + at, entry, page or _make_page(entry, turn, aligned.heirs.get(at)), turn)))
    fresh = [first + at for at, page in enumerate(aligned.found) if page is None]
    return (link_calls(slots) if has_calls(turns) else slots), fresh, aligned.retired


def link_calls(slots: Sequence[Slot]) -> list[Slot]:
    """The slots with the links between calls and results as they are now."""
    turns = connect([slot.turn for slot in slots])
    return [replace(slot, turn=turn) for slot, turn in zip(slots, turns, strict=True)]


def hold(slot: Slot, line: bytes, entry: Entry) -> Slot:
    """The slot with its own message, which was fetched as `line`, in place of what stood in for it."""
    if isinstance(slot.entry.message, Mapping):
        entry = replace(entry, message=entry.record or line)
    return replace(slot, entry=entry, turn=render([entry.line], slot.number)[0])


def _make_page(entry: Entry, turn: Turn, heir_of: Page | None) -> Page:
    kind = classify(turn)
    if heir_of is None:
        return Page(entry.key, kind)
    given = heir_of.kind if heir_of.kind in ("constraint", "plan", "preference") else kind
    return Page(entry.key, given, is_pinned=heir_of.is_pinned)


def _see(slot: Slot) -> Slot:
    """The slot, its page at the level of the message that stands in for its own, where one does."""
    level = slot.page.shown.get(slot.entry.key)
    return slot if slot.is_held or level is None else replace(slot, page=replace(slot.page, level=level))
