"""Deleting a session beside the seeded adversary, and two of the rules that it needs switched off."""

import os
import time
from collections.abc import Callable

import pytest

from history_sink_worker.archive import save
from history_sink_worker.archive import snapshot as look
from history_sink_worker.archive.names import Log
from history_sink_worker.store import Steps

from .deletions import Deletions
from .oracle import Violation
from .scheduler import allot, campaign

REQUESTS = 60_000


@pytest.mark.timeout(600)  # by the clock on the wall; a busy machine gives it less of its own
def test_nothing_of_a_deleted_session_comes_back_whatever_the_adversary_does(
    record_property: Callable[[str, object], None],
) -> None:
    seed = int(os.environ.get("PROTOCOL_SEED") or time.time_ns() % 10**9)
    runs, requests = campaign(120, allot(REQUESTS), seed, time.process_time, Deletions)
    record_property("deletions", f"seed {seed}, {runs} runs, {requests:,.0f} requests, no violation")
    assert requests >= allot(REQUESTS)


def _ask_nobody(_: Log) -> Steps[None]:
    yield from ()


@pytest.mark.parametrize("module", [save, look], ids=["begins a branch", "looks at a branch"])
def test_who_does_this_has_to_ask_for_the_tombstone(monkeypatch: pytest.MonkeyPatch, module: object) -> None:
    monkeypatch.setattr(module, "check_alive", _ask_nobody)
    with pytest.raises(Violation):
        campaign(60, 20 * REQUESTS, 0, time.process_time, Deletions)
