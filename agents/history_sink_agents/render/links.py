"""Groups: a call and its result, tied by the call's id. They are links, since one turn is one line."""

from collections.abc import Sequence
from dataclasses import replace

from history_sink_agents.render.turns import Part, Turn


def link(turns: Sequence[Turn]) -> list[Turn]:
    """The turns with their links among themselves, and with the tools' names in results that have none.

    Args:
        turns: Turns of one log, in its order.

    Returns:
        The same turns. A result belongs to the last call before it that has its id.
    """
    calls: dict[str, tuple[int, str]] = {}
    links: dict[int, set[int]] = {}
    named: dict[int, tuple[Part, ...]] = {}
    for turn in turns:
        for part in turn.parts:
            if part.kind == "tool_call" and part.call_id:
                calls[part.call_id] = (turn.number, part.name)
            elif part.kind == "tool_result" and part.call_id in calls:
                number, name = calls[part.call_id]
                if number != turn.number:
                    links.setdefault(turn.number, set()).add(number)
                    links.setdefault(number, set()).add(turn.number)
                if name and not part.name:
                    named[turn.number] = tuple(
                        replace(each, name=name) if each is part else each
                        for each in named.get(turn.number, turn.parts)
                    )
    return [
        replace(turn, links=tuple(sorted(links.get(turn.number, ()))), parts=named.get(turn.number, turn.parts))
        if turn.number in links or turn.number in named
        else turn
        for turn in turns
    ]
