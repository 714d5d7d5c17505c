"""Stories one after the other, until time is up or one of them fails; that one is made short."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from .model_store import ModelStore
from .story import Story, draw_story, shrink
from .telling import shorten_names
from .world import World


@dataclass(frozen=True)
class Failure:
    """A story that breaks a promise. `kind` is what stays the same while it shrinks."""

    seed: int
    story: Story
    kind: str
    reason: str
    told: tuple[str, ...]

    def text(self) -> str:
        """What happened, a line each, and what is wrong then."""
        return shorten_names("\n".join([f"seed {self.seed}:", *self.told, f"BROKEN: {self.reason}"]))


@dataclass
class Campaign:
    """How much was played, and the first story that failed."""

    stories: int = 0
    requests: int = 0
    failure: Failure | None = None


class Simulation(Protocol):
    """One run of an adversary."""

    store: ModelStore

    def run(self) -> None: ...


Simulate = Callable[[int], Simulation]
"""Makes the run of a seed."""


@dataclass
class Simulated:
    """`failed`: what was wrong, by seed."""

    runs: int = 0
    requests: int = 0
    failed: dict[int, str] = field(default_factory=dict)


def simulate(make: Simulate, first_seed: int, seconds: float) -> Simulated:
    """Run seeds from the first on, for so long."""
    done, end = Simulated(), time.monotonic() + seconds
    while time.monotonic() < end:
        seed = first_seed + done.runs
        simulation = make(seed)
        try:
            simulation.run()
        except Exception as error:  # noqa: BLE001  # the code under test may raise anything
            done.failed[seed] = f"{type(error).__name__}: {error}"
        done.runs += 1
        done.requests += sum(simulation.store.counts.values())
    return done


def play(story: Story, seed: int = 0) -> tuple[World, Failure | None]:
    """Whatever is raised breaks the promise that nothing is."""
    world = World(story)
    try:
        world.play()
    except Exception as error:  # noqa: BLE001  # the code under test may raise anything
        kind = f"{type(error).__name__} {str(error).partition(':')[0]}"
        return world, Failure(seed, story, kind, f"{type(error).__name__}: {error}", tuple(world.told))
    return world, None


def find_failure(first_seed: int, seconds: float, most: int = 10**9) -> Campaign:
    """Play at most so many stories, for at most so long, to the first that fails."""
    found, end = Campaign(), time.monotonic() + seconds
    while found.failure is None and found.stories < most and time.monotonic() < end:
        seed = first_seed + found.stories
        world, found.failure = play(draw_story(seed), seed)
        found.stories += 1
        found.requests += sum(world.store.counts.values())
    return found


def shorten_failure(failure: Failure, seconds: float = 45) -> Failure:
    """The shortest story that is found in that time and breaks the same promise."""
    end = time.monotonic() + seconds

    def fails(story: Story) -> bool:
        found = play(story)[1] if time.monotonic() < end else None
        return found is not None and found.kind == failure.kind

    return play(shrink(failure.story, fails), failure.seed)[1] or failure
