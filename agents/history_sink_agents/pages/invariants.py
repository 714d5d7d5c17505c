"""The pages that each context must have: what it is called when one is missed, and a look for them. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator

from history_sink import Fault
from history_sink_agents.pages.kinds import is_below
from history_sink_agents.pages.page import Page, PageFault
from history_sink_agents.pages.slots import Slot


def find_miss(number: int, page: Page, detail: str) -> PageFault:
    """The fault for an invariant that a context lacks."""
    kind = Fault("post_compaction_bootstrap" if page.kind == "bootstrap" else "pinned_invariant_miss")
    return PageFault(kind, number, detail, page.handle)


def find_missed(slots: Iterable[Slot], keys: Iterable[str]) -> Iterator[PageFault]:
    """A fault for each invariant that none of a context's messages stands for; `keys` are those of the messages."""
    left = Counter(keys)
    for slot in slots:
        page = slot.page
        fit = [page.key, *(key for key, level in page.shown.items() if not is_below(level, page.minimum))]
        found = next((key for key in fit if left[key]), None)
        if found is not None:
            left[found] -= 1  # of two equal messages, both must be there
        elif page.is_invariant:
            yield find_miss(slot.number, page, "no message of the context stands for it")
