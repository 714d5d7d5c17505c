"""Whether uploads are taken while the store is away: what is decided, and how probes are sent, without a server."""

import re
import threading
import time

import pytest

from history_sink_worker.gate.barred_tenants import BARRED_SECONDS, BarredTenants
from history_sink_worker.gate.store_breaker import ProbeFinding, StoreBreaker
from history_sink_worker.gate.store_probe import StoreProbe
from history_sink_worker.store import Away, Corrupt, Denied, Rejected, StoreError
from stack.processes import wait_until

HERE = ProbeFinding()
AWAY = Away("PUT s3://b/k failed: SlowDown (503)")


@pytest.mark.parametrize("error", [AWAY, Denied("no")])
def test_an_upload_that_the_store_keeps_out_shuts_the_gate_and_a_probe_opens_it(error: StoreError) -> None:
    gate = StoreBreaker()
    assert gate.meet(error, began_at=99, now=100)
    assert gate.reason is error
    assert gate.reading is None
    for finding in (ProbeFinding(AWAY, AWAY), HERE):
        gate.learn(finding, now=101)
        assert (gate.reason, gate.reading) == (finding.writing, finding.reading)
    assert gate.is_open


@pytest.mark.parametrize("error", [Corrupt("foreign"), Rejected("too large"), ValueError(), None])
def test_what_lies_in_one_upload_does_not_shut_it(error: object) -> None:
    gate = StoreBreaker()
    assert not gate.meet(error, began_at=99, now=100)
    assert gate.is_open


def test_a_full_store_keeps_uploads_waiting_and_reads_going() -> None:
    gate = StoreBreaker()
    gate.meet(AWAY, began_at=99, now=100)
    gate.learn(ProbeFinding(None, AWAY), now=101)
    assert (gate.reason, gate.reading) == (AWAY, None)


def test_an_error_from_before_it_opened_is_a_reason_to_look_and_no_more() -> None:
    gate = StoreBreaker()
    gate.meet(AWAY, began_at=99, now=100)
    gate.learn(HERE, now=110)
    assert gate.meet(AWAY, began_at=98, now=120)
    assert gate.is_open
    gate.learn(ProbeFinding(AWAY, AWAY), now=121)
    assert not gate.is_open


def test_a_store_that_lets_only_probes_through_is_left_alone_for_longer_and_longer() -> None:
    gate, now, pauses = StoreBreaker(), 100.0, []
    for _ in range(5):
        gate.meet(AWAY, began_at=now, now=now)
        shut_at = now
        while not gate.is_open:
            now += 0.5
            gate.learn(HERE, now)
        pauses.append(now - shut_at)
    assert pauses == [0.5, 1.0, 3.0, 5.0, 5.0]
    gate.meet(AWAY, began_at=now + 6, now=now + 6)
    gate.learn(HERE, now + 6.1)
    assert gate.is_open


def test_a_task_that_takes_long_is_a_reason_to_look_now_and_then() -> None:
    gate = StoreBreaker()
    assert [now for now in range(100, 120) if gate.suspect(now - 100, now)] == [102, 107, 112, 117]
    gate.meet(AWAY, began_at=120, now=121)
    assert not gate.suspect(60, now=140)


def test_a_probe_that_hangs_holds_up_none() -> None:
    begun, hangs, findings = list[float](), threading.Event(), list[ProbeFinding]()

    def look() -> ProbeFinding:
        begun.append(time.monotonic())
        if len(begun) == 1:
            hangs.wait(30)
        return HERE

    def learn(finding: ProbeFinding) -> bool:
        findings.append(finding)
        return finding != HERE

    StoreProbe(look, learn, lambda: 0.2).begin()
    wait_until(lambda: len(findings) == 2, timeout_seconds=5, what="the second probe")
    hangs.set()
    assert "no answer from the store within 0.2 s" in str(findings[0].reading)
    assert findings[1] == HERE
    assert begun[1] - begun[0] < 1.6


def test_whatever_a_probe_meets_is_a_finding_and_shows_no_content() -> None:
    findings = list[ProbeFinding]()

    def look() -> ProbeFinding:
        raise KeyError("a word")

    def learn(finding: ProbeFinding) -> bool:
        findings.append(finding)
        return False

    StoreProbe(look, learn, lambda: 5.0).begin()
    wait_until(lambda: bool(findings), timeout_seconds=5, what="a finding")
    assert re.fullmatch(r"a probe failed: KeyError at test_gate.py:\d+", str(findings[0].writing))


def test_a_tenant_is_barred_for_a_time_from_its_last_refusal() -> None:
    barred = BarredTenants()
    barred.bar("ann", 100.0)
    barred.bar("bob", 105.0)
    assert barred.find(109.9) == {"ann", "bob"}
    assert barred.find(100.0 + BARRED_SECONDS) == {"bob"}
    barred.bar("bob", 112.0)
    assert barred.find(121.9) == {"bob"}
    assert barred.find(122.0) == frozenset()
