"""Whole histories of which a worker knows the beginning, against the seeded adversary."""

import random
from typing import Any

import pytest

from history_sink.protocol.chain import START, walk
from history_sink_worker.archive import save
from history_sink_worker.archive.context import Context
from history_sink_worker.archive.match import last_shared
from history_sink_worker.archive.piece import Piece, whole_piece
from history_sink_worker.archive.plan import MainLine
from history_sink_worker.archive.save import upload_rest, upload_whole
from history_sink_worker.archive.verdict import Verdict
from history_sink_worker.store import Steps

from .jobs import Save
from .oracle import LOG, Violation
from .scheduler import Simulation

RUNS = 250


class Knowing(Simulation):
    """Its workers know a beginning of each history, however the store is."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.rests = 0

    def _steps(self, context: Context, what: Any) -> Steps[Any]:
        if not (isinstance(what, Save) and what.whole):
            return super()._steps(context, what)
        return self._upload(context, what.lines, random.Random(len(self.story)).randint(1, len(what.lines)))

    def _upload(self, context: Context, lines: tuple[bytes, ...], known: int) -> Steps[Verdict]:
        (*_, start) = (START, *walk(START, lines[:known]))
        verdict = yield from upload_rest(context, LOG, Piece(start, lines[known:]))
        self.rests += verdict is not None
        return verdict or (yield from upload_whole(context, LOG, whole_piece(lines)))


def _run_all() -> int:
    """How often a rest was enough."""
    rests = 0
    for seed in range(RUNS):
        simulation = Knowing(seed)
        simulation.run()
        rests += simulation.rests
    return rests


def test_a_known_beginning_changes_no_outcome_and_no_byte() -> None:
    assert _run_all() > RUNS / 10, "or nothing has been shown"


def test_a_beginning_that_is_only_believed_to_be_in_the_store_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def believe(line: MainLine, piece: Piece) -> int:
        return last_shared(line, piece) or 0

    monkeypatch.setattr(save, "last_shared", believe)
    with pytest.raises(Violation):
        _run_all()
