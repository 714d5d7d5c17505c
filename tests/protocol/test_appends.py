"""Appends of several writers against the seeded adversary, and each of their rules switched off in turn."""

import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from history_sink.protocol.batch import Batch
from history_sink.protocol.chain import Junction
from history_sink_worker.archive import batches, compaction, marks, stream
from history_sink_worker.archive.context import Context
from history_sink_worker.archive.hint import Hint
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.snapshot import LogSnapshot, look
from history_sink_worker.store import Get, Put, Steps

from .appends import AppendSimulation
from .oracle import Violation
from .scheduler import campaign

REQUESTS = 200_000


@pytest.mark.timeout(600)
def test_several_writers_have_each_line_once_and_in_order(record_property: Callable[[str, object], None]) -> None:
    seed = int(os.environ.get("PROTOCOL_SEED") or time.time_ns() % 10**9)
    runs, requests = campaign(120, REQUESTS, seed, time.process_time, AppendSimulation)
    record_property("protocol", f"appends: seed {seed}, {runs} runs, {requests:,.0f} requests, no violation")
    assert requests >= REQUESTS


def _no_marks(*_: Any) -> Steps[None]:
    yield from ()


def _mark_first(self: Any) -> Steps[Any]:
    """As the shipped step, but that the mark is read before the look."""
    batch = self.batch
    if batch.position is None:
        return (yield from _step(self))
    mark, _ = yield from marks._read(self.log, batch.writer)
    seen = yield from look(self.context, self.log, adopt=True)
    mine = seen.line.placed.get(batch.writer) if seen.line else None
    placed = mine.position if mine else mark
    if seen.line and placed >= batch.position + batch.size_bytes:
        return self._covered(seen, None)
    kept = yield from self._check_order(seen, placed)
    return kept or (yield from self._put(seen, batches.drop_placed(batch, placed)))


def _mark_blindly(log: Log, writer: str, position: int) -> Steps[None]:
    blob = yield Get(log.mark(writer))
    yield Put(log.mark(writer), f"{position}\n".encode(), {}, blob.info.etag if blob else None)


def _nothing_placed(*_: Any) -> Steps[int]:
    yield from ()
    return 0


def _any_hint(hint: Hint | None, batch: Batch) -> Junction | None:
    """The log's end, whatever the hint says of the writer."""
    return hint.end if hint and batch.after is None and batch.anchor is None else None


def _without_fence(hint: Hint | None, batch: Batch) -> Junction | None:
    is_new = hint is not None and hint.find_placed(batch.writer) is None and batch.position == 0 and not batch.anchor
    return hint.end if hint and is_new else _find_start(hint, batch)


def _never_early(self: Any, *_: Any) -> Steps[None]:
    yield from ()


def _early_alone(self: Any, seen: LogSnapshot, placed: int) -> Steps[None]:
    yield from ()
    if placed < (self.batch.position or 0):
        raise stream.Early


def _go_there(self: Any, seen: LogSnapshot) -> Steps[Any]:
    """`append(after=…)` without a look at who is there already."""
    return (yield from self._put(seen, batches.drop_placed(self.batch, 0)))


_step, _find_start = stream._Appending.step, batches.find_start

NAIVE_RULES: dict[str, tuple[Any, str, Any]] = {
    "a fold leaves no marks": (compaction, "raise_marks", _no_marks),
    "the mark is read before the look": (stream._Appending, "step", _mark_first),
    "a mark is set without a look at what it says": (marks, "_raise", _mark_blindly),
    "nobody asks what is placed": (stream, "find_placed", _nothing_placed),
    "a hint gives the end to any writer": (stream, "find_start", _any_hint),
    "a new writer needs no fence": (stream, "find_start", _without_fence),
    "what is early does not wait": (stream._Appending, "_check_order", _never_early),
    "an anchor is not looked at": (stream._Appending, "_check_order", _early_alone),
    "an old look proves": (Context, "is_fresh", lambda *_: True),
    "an old hint proves": (stream._Appending, "_is_proven", lambda *_: True),
    "after means at the end": (stream._Appending, "_put_only_there", _go_there),
}


FIRST_SEEDS = {  # shortly before one that shows it, found once from 0 on; should that change, the search goes on
    "a mark is set without a look at what it says": 340,
    "the mark is read before the look": 110,
    "an old hint proves": 95,
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rule", NAIVE_RULES)
def test_each_rule_of_appends_is_needed(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*NAIVE_RULES[rule])
    with pytest.raises((Violation, AssertionError)):
        campaign(60, 20 * REQUESTS, FIRST_SEEDS.get(rule, 0), time.process_time, AppendSimulation)
