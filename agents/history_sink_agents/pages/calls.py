"""Which messages hold a call, and which its result: by the call's id, and where there is none by the tool's name."""

from collections.abc import Sequence
from dataclasses import replace

from history_sink_agents.render import Turn, link


def has_calls(turns: Sequence[Turn]) -> bool:
    """Whether any of these holds a call or a result."""
    return any(part.kind in ("tool_call", "tool_result") for turn in turns for part in turn.parts)


def connect(turns: Sequence[Turn]) -> list[Turn]:
    """The turns of one history with their links among themselves, as `render.link`, and for calls without ids, too.

    Gemini's API gives none: the results of one tool then come in the order of its calls.
    """
    waiting: dict[str, list[int]] = {}
    links: dict[int, set[int]] = {}
    for turn in turns:
        for part in turn.parts:
            if part.call_id or not part.name:
                continue
            if part.kind == "tool_call":
                waiting.setdefault(part.name, []).append(turn.number)
            elif part.kind == "tool_result" and waiting.get(part.name):
                number = waiting[part.name].pop(0)
                links.setdefault(turn.number, set()).add(number)
                links.setdefault(number, set()).add(turn.number)
    return [
        replace(turn, links=tuple(sorted({*turn.links, *links[turn.number]} - {turn.number})))
        if turn.number in links
        else turn
        for turn in link(turns)
    ]
