"""Results of tools that are out of sight, at pointer, and calls that would be made again for want of them. Pure."""

from collections.abc import Iterable, Iterator, Sequence

from history_sink import Fault
from history_sink_agents.pages.content import canonical_arguments
from history_sink_agents.pages.page import PageFault
from history_sink_agents.pages.slots import Slot


def list_evicted(slots: Sequence[Slot]) -> dict[tuple[str, str], int]:
    """The numbers of the results at pointer, by the tools' names and arguments."""
    found = {}
    for slot in slots:
        results = {part.call_id or part.name for part in slot.turn.parts if part.kind == "tool_result"}
        if slot.page.level != "pointer" or not results:
            continue
        for at in (*slot.turn.links, slot.number):
            for part in slots[at].turn.parts:
                if part.kind == "tool_call" and (part.call_id or part.name) in results:
                    found[part.name, canonical_arguments(part.text)] = slot.number
    return found


def find_duplicates(slots: Sequence[Slot], fresh: Iterable[int]) -> Iterator[PageFault]:
    """A fault for each call in the messages `fresh` that has been made before, and whose result is at pointer."""
    evicted = list_evicted(slots)
    for number in fresh if evicted else ():
        for part in slots[number].turn.parts:
            at = evicted.get((part.name, canonical_arguments(part.text))) if part.kind == "tool_call" else None
            if at is not None and at < number:
                yield duplicate(slots, number, at)


def duplicate(slots: Sequence[Slot], number: int, at: int) -> PageFault:
    """Message `number` calls for what message `at` has."""
    detail = f"message {at} has its result, at pointer: fetch that"
    return PageFault(Fault("duplicate_tool"), number, detail, slots[at].page.handle)
