"""What happens in one run, as a list of moves; and how a long list that breaks a promise becomes a short one.

A move means something whatever comes before it: its numbers are taken modulo what there is to choose from. So any
move can be left out, and the others stay what they are.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

NUMBERS = 60
"""A move's numbers are below this, which most numbers of things to choose from divide."""


class Move(NamedTuple):
    """What kind of thing happens next; `which`, `how` and `more` say it exactly, each kind in its own way."""

    kind: str
    which: int = 0
    how: int = 0
    more: int = 0


@dataclass(frozen=True)
class Story:
    """`limits` seeds what the program's limits are; `agents` share one session."""

    limits: int
    agents: int
    moves: tuple[Move, ...]


_ALWAYS = {"speak": 6, "save": 9, "flush": 1, "restart": 1, "take": 14, "work": 30, "compact": 2, "read": 1, "wait": 2}
_FAULTS = {"fail": 5, "crash": 1, "redeliver": 2, "land": 1, "arrive": 1, "forget": 1, "hint": 1, "skew": 1}
_FORKS = {"undo": 3, "edit": 3, "redo": 2, "mumble": 1, "whole": 1}


def draw_story(seed: int) -> Story:
    """The story of one seed: of one agent who only speaks, or who changes its mind, or of several."""
    rng = random.Random(seed)
    weights = {**_ALWAYS, **_FAULTS}
    agents = rng.choice([1, 1, 2, 3])
    if agents > 1 or rng.random() < 0.5:
        weights |= _FORKS
    if rng.random() < 0.15:
        weights["empty"] = 1
    count = rng.choice([20, 60, 150, 300])
    kinds = rng.choices([*weights], [*weights.values()], k=count)
    moves = tuple(Move(kind, *(rng.randrange(NUMBERS) for _ in range(3))) for kind in kinds)
    return Story(seed, agents, moves)


def shrink(story: Story, fails: Callable[[Story], bool]) -> Story:
    """The shortest story that is found by leaving moves out, ever fewer at a time, and lowering their numbers."""
    size = max(1, len(story.moves) // 2)
    while True:
        before = story
        story = _drop(story, size, fails)
        if size > 1:
            size //= 2
            continue
        story = _lower(story, fails)
        if story == before:
            return story


def _drop(story: Story, size: int, fails: Callable[[Story], bool]) -> Story:
    at = 0
    while at < len(story.moves):
        shorter = replace(story, moves=story.moves[:at] + story.moves[at + size :])
        if fails(shorter):
            story = shorter
        else:
            at += size
    return story


def _lower(story: Story, fails: Callable[[Story], bool]) -> Story:
    if story.agents > 1 and fails(fewer := replace(story, agents=story.agents - 1)):
        story = fewer
    for at, move in enumerate(story.moves):
        for name in ("which", "how", "more"):
            for number in range(min(getattr(move, name), 3)):
                lower = Move(**{**move._asdict(), name: number})
                changed = replace(story, moves=(*story.moves[:at], lower, *story.moves[at + 1 :]))
                if fails(changed):
                    story, move = changed, lower
                    break
    return story
