"""Appends of several writers against the seeded adversary, and each of their rules switched off in turn."""

import os
import time
from collections.abc import Callable

import pytest

from .appends import AppendSimulation
from .scheduler import campaign

REQUESTS = 200_000


@pytest.mark.timeout(600)
def test_several_writers_have_each_line_once_and_in_order(record_property: Callable[[str, object], None]) -> None:
    seed = int(os.environ.get("PROTOCOL_SEED") or time.time_ns() % 10**9)
    runs, requests = campaign(120, REQUESTS, seed, time.process_time, AppendSimulation)
    record_property("protocol", f"appends: seed {seed}, {runs} runs, {requests:,.0f} requests, no violation")
    assert requests >= REQUESTS
