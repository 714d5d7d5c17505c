"""Threads at a turnstile: one group at a time for each key, in the order chosen, and nobody held up for ever."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from history_sink_worker.service import keyed_batcher
from history_sink_worker.service.keyed_batcher import LINES_KEPT, KeyedBatcher
from history_sink_worker.store import Away, Corrupt
from stack.processes import wait_until


def choose_run(waiting: Sequence[int | None]) -> list[int]:
    """The least number, and what follows it without a gap."""
    first = min(range(len(waiting)), key=lambda index: waiting[index] or -1)
    group = [first]
    while (at := waiting[group[-1]]) is not None and at + 1 in waiting:
        group.append(waiting.index(at + 1))
    return group


class Gate:
    """A turnstile whose first visitor, 0, stays inside until `open`; what was done together is in `done`."""

    def __init__(self, patience_seconds: float = 30.0) -> None:
        self.turnstile: KeyedBatcher[int, str] = KeyedBatcher(choose_run, patience_seconds)
        self.done: list[list[int]] = []
        self.is_open = threading.Event()
        self.threads = ThreadPoolExecutor(12)
        self.first = self.come(0)
        wait_until(lambda: self.done == [[0]], timeout_seconds=5, what="the first to be inside")

    def come(self, work: int | None) -> "Future[str]":
        return self.threads.submit(self.turnstile.turn, "log", work, self.do)

    def do(self, works: list[int]) -> list[str]:
        self.done.append(works)
        if works == [0]:
            assert self.is_open.wait(10)
        if 13 in works:
            raise Corrupt("unlucky")
        if 66 in works:
            raise Away("SlowDown")
        return [f"did {work}" for work in works] or ["did it alone"]

    def wait_for(self, *works: int | None) -> "list[Future[str]]":
        """They come in this order, and all wait."""
        futures = []
        for count, work in enumerate(works, 2):
            futures.append(self.come(work))
            line: Any = self.turnstile._lines["log"]
            self.expect_waiting(line, count)
        return futures

    @staticmethod
    def expect_waiting(line: Any, count: int) -> None:
        wait_until(lambda: len(line.waiting) == count, timeout_seconds=5, what="a ticket")


def test_those_that_wait_and_go_together_are_done_together_in_order_and_each_gets_its_own_result() -> None:
    gate = Gate()
    futures = gate.wait_for(7, 3, None, 2, 8, 4)
    gate.is_open.set()
    assert [each.result(5) for each in futures] == ["did 7", "did 3", "did it alone", "did 2", "did 8", "did 4"]
    assert gate.first.result(5) == "did 0"
    assert gate.done == [[0], [], [2, 3, 4], [7, 8]]
    assert len(gate.turnstile) == 0


def test_who_waits_behind_one_that_met_the_store_away_need_not_find_out_too() -> None:
    gate = Gate()
    futures = gate.wait_for(66, 70, 67)
    gate.is_open.set()
    for each in futures:
        with pytest.raises(Away, match="SlowDown"):
            each.result(5)
    assert gate.done == [[0], [66, 67]]


def test_what_is_wrong_with_one_of_a_group_is_its_own_trouble() -> None:
    gate = Gate()
    futures = gate.wait_for(12, 13, 14)
    gate.is_open.set()
    assert [futures[0].result(5), futures[2].result(5)] == ["did 12", "did 14"]
    with pytest.raises(Corrupt, match="unlucky"):
        futures[1].result(5)
    assert gate.done[:2] == [[0], [12, 13, 14]]


def test_one_that_hangs_holds_up_another_key_not_at_all_and_nobody_for_ever() -> None:
    gate = Gate(patience_seconds=0.2)
    assert gate.turnstile.turn("other", 5, gate.do) == "did 5"
    assert gate.come(6).result(5) == "did 6"
    assert not gate.first.done()
    gate.is_open.set()
    gate.first.result(5)


def test_who_is_early_lets_those_go_first_that_come_before() -> None:
    gates: KeyedBatcher[int, str] = KeyedBatcher(choose_run)
    done: list[int] = []

    def do(works: list[int]) -> list[str]:
        done.extend(works)
        return [""] * len(works)

    with ThreadPoolExecutor(2) as threads:
        early = threads.submit(gates.turn, "log", 5, do, lambda: 4 not in done)
        wait_until(lambda: len(gates) == 1, timeout_seconds=5, what="the early one")
        threads.submit(gates.turn, "log", 4, do)
        early.result(5)
    assert done == [4, 5]


def test_a_group_waits_to_be_as_large_as_the_one_before_but_only_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyed_batcher, "LINGER_SECONDS", 10.0)
    gate = Gate()
    futures = gate.wait_for(1, 2, 3)
    gate.is_open.set()
    for each in futures:
        each.result(5)
    monkeypatch.setattr(keyed_batcher, "LINGER_SECONDS", 0.2)
    for each in [gate.come(4), gate.come(5), gate.come(6)]:
        each.result(5)
    assert gate.done == [[0], [1, 2, 3], [4, 5, 6]]
    gate.come(7).result(5)  # alone, after a moment
    monkeypatch.setattr(keyed_batcher, "LINGER_SECONDS", 10.0)
    began = time.monotonic()
    for work in range(200, 210):
        gate.come(work).result(5)  # the one before went alone, too
    assert time.monotonic() - began < 5


def test_keys_that_nobody_is_at_are_forgotten() -> None:
    gates: KeyedBatcher[int, int] = KeyedBatcher(choose_run)
    for key in range(2 * LINES_KEPT):
        gates.turn(key, 1, lambda works: works)
    assert len(gates._lines) == LINES_KEPT
