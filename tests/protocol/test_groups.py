"""Saves that are stored together, under the same adversary: who dies gives all of a group back, one by one."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from history_sink_worker.archive.context import Context
from history_sink_worker.archive.group import next_group
from history_sink_worker.archive.piece import Piece
from history_sink_worker.archive.reconcile import Placement
from history_sink_worker.archive.save import append_all
from history_sink_worker.store import Steps
from logbook import upload_of

from .jobs import Job, Save
from .oracle import LOG
from .scheduler import Simulation, Violation

REQUESTS = 5_000


@dataclass(frozen=True)
class Group:
    """Saves that met in one worker and go together."""

    saves: tuple[Save, ...]


def piece_of(save: Save) -> Piece | None:
    if save.whole:
        return None
    upload = upload_of(save.history, save.first, save.end)
    return Piece(upload.start, upload.lines)


class Groups(Simulation):
    """Takes saves as a worker does: some that wait meet at the turnstile, and one goes for all."""

    def start(self, what: Any) -> None:
        if isinstance(what, Save):
            met = [what, *(each for each in self.todo[:8] if isinstance(each, Save) and self.rng.random() < 0.8)]
            group = [met[index] for index in next_group([piece_of(save) for save in met])]
            if what in group and len(group) > 1:
                for save in group:
                    if save is not what:
                        self.todo.remove(save)
                what = Group(tuple(group))
        super().start(what)

    def _steps(self, context: Context, what: Any) -> Steps[Any]:
        if isinstance(what, Group):
            pieces = [piece for save in what.saves if (piece := piece_of(save))]
            return append_all(context, LOG, pieces, context.hints.get(LOG.root))
        return super()._steps(context, what)

    def _give_back(self, job: Job) -> None:
        super()._give_back(job)
        if isinstance(job.what, Group):
            self.todo += job.what.saves

    def _finish(self, job: Job, result: Any) -> None:
        if not isinstance(job.what, Group):
            super()._finish(job, result)
            return
        for save, verdict in zip(job.what.saves, result, strict=True):
            super()._finish(replace(job, what=save), verdict)


def run_many(first_seed: int, requests: int, seconds: float) -> int:
    """Simulations until groups have made so many requests, or the time is over. How many they have made."""
    made, seed, began = 0, first_seed, time.process_time()
    while made < requests and time.process_time() - began < seconds:
        simulation = Groups(seed)
        try:
            simulation.run()
        except Violation as violation:
            violation.add_note(f"seed {seed}, histories {simulation.histories}")
            raise
        made += sum(1 for who, *_ in simulation.story if isinstance(who, Group))
        seed += 1
    return made


@pytest.mark.timeout(600)  # by the clock on the wall; a busy machine gives it less of its own
def test_the_promises_hold_for_saves_that_go_together(record_property: Callable[[str, object], None]) -> None:
    seed = int(os.environ.get("PROTOCOL_SEED") or time.time_ns() % 10**9)
    made = run_many(seed, REQUESTS, 60)
    record_property("groups", f"seed {seed}, {made:,} requests of groups, no violation")
    assert made > REQUESTS / 10


def test_each_of_a_group_must_be_told_its_own_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Placement, "outcome_of", lambda self, _: self.outcome)
    with pytest.raises(Violation):
        run_many(0, 20 * REQUESTS, 100)
