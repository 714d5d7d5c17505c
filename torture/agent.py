"""What an agent has in its memory: which step of which session is next, and the messages of each session."""

import json
from random import Random
from typing import Any

from torture.script import SHARED, History, write_script

SESSIONS_AT_ONCE = 4
_SHARED_SLOT = 0
_SHARED_SECONDS = 12.0
"""So long all producers save the same session; then the next. By the clock, as a restart must not leave one behind."""


class Agenda:
    """Some sessions at once, each followed by another; that of one slot is shared with the other producers."""

    def __init__(self, name: str, seed: int) -> None:
        self._name, self._seed = name, seed
        self._done = dict.fromkeys(range(SESSIONS_AT_ONCE), (0, -1))  # number of the session, step

    def note(self, session: str, step: int) -> None:
        """This step was begun."""
        slot, number = map(int, session.split("-")[-2:])
        self._done[slot] = max(self._done[slot], (number, step))

    def next(self, slot: int, at_seconds: float) -> tuple[str, int]:
        """Begin the next step of the slot's session, or of a new one. `at_seconds` is since the torture began."""
        number, step = self._done[slot]
        is_last = step + 1 == len(write_script(self._seed, self._session(slot, number), self._name).versions)
        current = int(at_seconds / _SHARED_SECONDS) if slot == _SHARED_SLOT else number + is_last
        if current != number:
            number, step = current, 0
        elif not is_last:
            step += 1
        self._done[slot] = number, step
        return self._session(slot, number), step

    def _session(self, slot: int, number: int) -> str:
        return f"{SHARED if slot == _SHARED_SLOT else self._name}-{slot}-{number}"


class Desk:
    """The messages of the sessions at hand, as the agent hands them over."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[History, list[Any]]] = {}

    def lay_out(self, session: str, history: History) -> list[Any]:
        """The session's own list, brought to `history`. Every other session has objects in it, else lines as bytes."""
        old, messages = self._open.pop(session, ((), []))
        edit(messages, old, history, as_objects=Random(session).random() < 0.5)
        self._open[session] = history, messages
        if len(self._open) > SESSIONS_AT_ONCE:
            del self._open[next(iter(self._open))]
        return messages


def edit(messages: list[Any], old: History, new: History, as_objects: bool) -> None:
    """From `old` to `new` as an agent does it: one message that changes is changed in place; else cut and go on."""
    others = [at for at, (before, after) in enumerate(zip(old, new, strict=False)) if before != after]
    if as_objects and len(others) == 1 and len(old) == len(new):
        messages[others[0]].clear()
        messages[others[0]].update(json.loads(new[others[0]]))
        return
    common = others[0] if others else min(len(old), len(new))
    messages[common:] = [json.loads(line) if as_objects else line for line in new[common:]]
