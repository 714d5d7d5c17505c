"""Numbers of forked processes arrive in the one that forked them. Real forks, no servers."""

import os
import select
import threading
from collections.abc import Callable
from typing import Any

import pytest

from history_sink_worker.telemetry import metrics
from history_sink_worker.telemetry.meter import LOST, Meter
from stack.processes import wait_until

Told = list[tuple[str, float, tuple[str, ...]]]


def in_child(act: Callable[[], None]) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            act()
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture
def meter(told: Told) -> Meter:
    return Meter(lambda *number: told.append(number))


def test_children_tell_the_process_that_forked_them(meter: Meter, told: Told) -> None:
    def act() -> None:
        for _ in range(100):
            meter.tell("n", 1.5, ("a", "b"))

    meter.open()
    for _ in range(3):
        in_child(act)
    meter.tell("own", 1)
    wait_until(lambda: len(told) == 301, timeout_seconds=5, what="all of them")
    assert told.count(("n", 1.5, ("a", "b"))) == 300
    assert ("own", 1, ()) in told


def test_a_childs_child_tells_it_too(meter: Meter, told: Told) -> None:
    meter.open()
    in_child(lambda: in_child(lambda: meter.tell("n", 1)))
    wait_until(lambda: told == [("n", 1, ())], timeout_seconds=5, what="it")


def test_without_anybody_who_asks_a_childs_numbers_go_nowhere(meter: Meter, told: Told) -> None:
    in_child(lambda: meter.tell("n", 1))
    assert told == []


def test_a_child_never_waits_and_says_later_how_much_was_lost(told: Told) -> None:
    free = threading.Event()

    def record(*number: Any) -> None:
        free.wait(10)
        told.append(number)

    meter = Meter(record)
    meter.open()
    finished = os.pipe()

    def act() -> None:
        for _ in range(20_000):  # more than a pipe holds
            meter.tell("n", 1)
        os.write(finished[1], b".")
        assert meter._ends is not None
        assert select.select([], [meter._ends[1]], [], 10)[1]  # there is room again
        meter.tell("last", 1)

    pid = os.fork()
    if pid == 0:
        act()
        os._exit(0)
    assert os.read(finished[0], 1) == b"."  # nobody has read, and it has not waited
    free.set()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    wait_until(lambda: ("last", 1, ()) in told, timeout_seconds=10, what="the last number")
    lost = next(number for name, number, _ in told if name == LOST)
    assert lost > 0
    assert lost + sum(name == "n" for name, _, _ in told) == 20_000


def sample(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_clock_that_is_ahead_makes_no_lag_below_0() -> None:
    before = sample("history_sink_upload_lag_seconds_sum")
    metrics.note_lag(1010.0, now=1000.0)
    assert sample("history_sink_upload_lag_seconds_sum") == before


@pytest.mark.parametrize("sent_at", [None, "soon", True, -5.0, float("nan"), float("-inf"), 1.0])
def test_what_is_no_time_makes_no_lag(sent_at: object) -> None:
    before = sample("history_sink_upload_lag_seconds_count")
    metrics.note_lag(sent_at, now=40 * 86400.0)
    assert sample("history_sink_upload_lag_seconds_count") == before


def test_a_task_of_somebody_elses_is_no_label() -> None:
    before = sample("history_sink_tasks_total", task="other", outcome="done")
    metrics.note_task("somebody.elses_7", "done", 0.1, {})
    assert sample("history_sink_tasks_total", task="other", outcome="done") == before + 1
