"""Whether a page may go to a lower level. Pure."""

from history_sink import Malformed
from history_sink_agents.pages.kinds import LEVELS, Level, is_below
from history_sink_agents.pages.slots import Slot


def check_degradation(slot: Slot, level: Level, text: str | None) -> None:
    """Raise `Malformed`, which says why not, where it may not."""
    page, who = slot.page, f"message {slot.number}"
    if level not in LEVELS:
        raise Malformed(f"a level is one of {', '.join(LEVELS)}")
    if is_below(level, page.minimum):
        raise Malformed(f"{who}: a {page.rule} goes no lower than {page.minimum}")
    if level == "full" or level not in page.path:
        raise Malformed(f"{who}: a {page.rule} is degraded to {' or '.join(page.path[1:])}, and not to {level}")
    if is_below(page.level, level):
        raise Malformed(f"{who} is at {page.level} already: fetch it first")
    if (level == "compressed") > bool(text) or (level == "pointer" and text is not None):
        raise Malformed("compressed takes a text, which is the summary; pointer takes none")
    if level == "structured" and text is None and not slot.is_held:
        raise Malformed(f"{who} is not here: fetch it first, or give a text")
