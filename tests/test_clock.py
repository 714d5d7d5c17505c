"""A machine whose clock is wrong: its questions are answered by Redis's clock, and it is said where people look."""

import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from command import Command, objects, write
from history_sink import HistorySink, Unavailable
from history_sink.protocol.contract import CLOCKS_DIFFER_SECONDS, READ_QUEUE, SENT_AT, UPLOAD_QUEUE
from history_sink.transport.clock import REFRESH_SECONDS, BrokerClock, describe_skew, explain_expiry, find_skew
from plain_store import PlainWorker, lines_of, messages
from stack.redis import RedisServer
from stack.stack import producer_environment
from stack.worker import Worker

MINUTES = 60.0
BOTH_WAYS = pytest.mark.parametrize("ahead_minutes", [-20, 20], ids=["behind", "ahead"])
Shift = Callable[[float], None]


class Machine:
    """Two clocks that can be set, and a Redis that takes a second to say what time it is."""

    def __init__(self) -> None:
        self.true, self.ahead, self.slept = 1e9, 0.0, 0.0
        self.clock = BrokerClock(lambda: self.true + self.ahead, lambda: self.true - self.slept)

    def ask(self) -> float:
        self.true += 0.5
        told = self.true
        self.true += 0.5
        return told


@pytest.fixture
def shift(monkeypatch: pytest.MonkeyPatch) -> Shift:
    """Sets the clock of sinks that are made from here on so many minutes ahead."""
    return lambda minutes: monkeypatch.setattr(
        "history_sink.transport.broker.BrokerClock", partial(BrokerClock, lambda: time.time() + minutes * MINUTES)
    )


@pytest.fixture
def url(redis_server: RedisServer) -> str:
    return redis_server.new_database()


@pytest.fixture
def blind_url(redis_server: RedisServer, url: str) -> Iterator[str]:
    """The same database for a user that may not ask what time it is."""
    with redis_server.client() as client:
        rights: dict[str, Any] = {"categories": ["+@all"], "commands": ["-time"], "keys": ["*"], "channels": ["*"]}
        client.acl_setuser("blind", enabled=True, passwords=["+blind"], **rights)
        yield url.replace("redis://", "redis://blind:blind@", 1)
        client.acl_deluser("blind")


# The comparison


@pytest.mark.parametrize("ahead", [-1200.0, 0.0, 1200.0])
def test_redis_time_is_told_whatever_this_machines_clock_says(ahead: float) -> None:
    machine = Machine()
    machine.ahead = ahead
    assert machine.clock.ahead_seconds is None
    assert machine.clock.now() == machine.true + ahead
    machine.clock.compare(machine.ask)
    assert machine.clock.ahead_seconds == ahead
    assert machine.clock.now() == machine.true


def test_it_is_asked_again_after_a_while_after_a_sleep_and_when_the_clock_is_set() -> None:
    machine = Machine()
    assert machine.clock.is_due
    machine.clock.compare(machine.ask)
    machine.true += REFRESH_SECONDS / 2
    assert not machine.clock.is_due
    machine.true += REFRESH_SECONDS / 2
    assert machine.clock.is_due
    for change in ("ahead", "slept"):
        machine.clock.compare(machine.ask)
        assert not machine.clock.is_due
        setattr(machine, change, 3600.0)
        assert machine.clock.is_due


def test_who_may_not_ask_goes_by_its_own_clock_and_does_not_ask_with_each_question() -> None:
    machine = Machine()
    machine.ahead = 7.0
    machine.clock.compare(lambda: None)
    assert (machine.clock.ahead_seconds, machine.clock.now()) == (None, machine.true + 7)
    assert not machine.clock.is_due


def test_five_seconds_are_worth_telling() -> None:
    assert [find_skew(seconds) for seconds in (None, 0.0, 4.9, -4.9)] == [None] * 4
    assert [find_skew(seconds) for seconds in (5.0, -5.04)] == [5.0, -5.0]
    assert describe_skew(4.9) is None
    assert describe_skew(-1200.0) == "this machine's clock is 1,200 s behind Redis's"
    assert describe_skew(7.0) == "this machine's clock is 7 s ahead of Redis's"
    assert "its clock or this machine's" in explain_expiry(None)
    assert "the worker's clock" in explain_expiry(0.3)


# A sink


@BOTH_WAYS
def test_questions_are_answered_whatever_the_clock_says(
    url: str, shift: Shift, ahead_minutes: float, caplog: pytest.LogCaptureFixture
) -> None:
    shift(ahead_minutes)
    worker = PlainWorker(url)
    with HistorySink(broker_url=url) as sink, worker.running(), caplog.at_level(logging.WARNING, "history_sink"):
        receipt = sink.save("s", messages("a"))
        assert receipt.clock_ahead_seconds == pytest.approx(ahead_minutes * MINUTES, abs=5)
        assert json.loads(json.dumps(receipt.encode()))["clock_ahead_seconds"] == receipt.clock_ahead_seconds
        assert sink.flush("s", 10)
        assert b"".join(sink.read("s")).splitlines(keepends=True) == lines_of(messages("a"))
        assert sink.clock_ahead_seconds == pytest.approx(ahead_minutes * MINUTES, abs=5)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1
    assert "set it (NTP)" in told[0]


def test_a_clock_that_is_right_is_not_talked_about(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with HistorySink(broker_url=url) as sink, caplog.at_level(logging.WARNING, "history_sink"):
        assert sink.save("s", messages("a")).clock_ahead_seconds is None
        assert abs(sink.clock_ahead_seconds or 9.0) < 2
    assert not caplog.records


@BOTH_WAYS
def test_what_workers_compare_is_by_redis_time(
    url: str, shift: Shift, ahead_minutes: float, redis_server: RedisServer
) -> None:
    shift(ahead_minutes)
    with HistorySink(broker_url=url) as sink:
        sink.save("s", messages("a"))
        with pytest.raises(Unavailable):
            sink.status("s", timeout_seconds=0.1)
    with redis_server.client(url) as client:
        question, save = (json.loads(client.lrange(queue, 0, 0)[0])["headers"] for queue in (READ_QUEUE, UPLOAD_QUEUE))
    in_seconds = datetime.fromisoformat(question["expires"]).timestamp() - time.time()
    assert in_seconds == pytest.approx(CLOCKS_DIFFER_SECONDS, abs=10)
    assert save[SENT_AT] == pytest.approx(time.time(), abs=10)


def test_time_is_asked_for_once_and_with_a_question_only(url: str, redis_server: RedisServer) -> None:
    def count_times() -> int:
        with redis_server.client() as client:
            return int(client.info("commandstats").get("cmdstat_time", {"calls": 0})["calls"])

    before = count_times()
    with HistorySink(broker_url=url) as sink:
        for session in "abc":
            sink.save(session, messages("1"))
            sink.save(session, messages("1", "2"))
    assert count_times() == before + 1


@pytest.mark.parametrize(("ahead_minutes", "is_answered"), [(-14, True), (-16, False), (20, True)])
def test_where_redis_may_not_be_asked_the_clock_is_named_as_the_reason(
    url: str, blind_url: str, shift: Shift, ahead_minutes: float, is_answered: bool
) -> None:
    shift(ahead_minutes)
    worker = PlainWorker(url)
    with HistorySink(broker_url=blind_url) as sink, worker.running():
        assert sink.save("s", messages("a")).state == "enqueued"
        flushed = sink.flush("s", 10 if is_answered else 3)
        assert (bool(flushed), flushed.state) == (is_answered, "stored" if is_answered else "clock")
        if not is_answered:
            assert "wrong by a quarter of an hour" in (flushed.reason or "")
            with pytest.raises(Unavailable, match="too old as it came"):
                sink.status("s", timeout_seconds=1)
    assert bool(worker.questions) == is_answered


def test_a_worker_leaves_a_question_that_nobody_waits_for_and_its_clock_is_named_where_somebody_does(url: str) -> None:
    worker = PlainWorker(url)
    worker.ahead_seconds = CLOCKS_DIFFER_SECONDS + 5
    expectation = pytest.raises(Unavailable, match="the worker's clock")
    with worker.running(), HistorySink(broker_url=url) as sink, expectation:
        sink.status("s", timeout_seconds=5)
    assert worker.questions == 0


# The command, and a real worker


class ShiftedCommand(Command):
    """`history-sink` in a process whose clock is so far ahead."""

    def shifted(self, ahead_seconds: float, *arguments: str | Path) -> "subprocess.CompletedProcess[bytes]":
        shift = f"import time; real = time.time; time.time = lambda: real() + {ahead_seconds}"
        code = f"{shift}; from history_sink.cli.main import main; main()"
        command = [sys.executable, "-c", code, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, env=self.environment, timeout=60, check=False)


@pytest.fixture(scope="module")
def run(environment: Mapping[str, str], worker: Worker) -> ShiftedCommand:
    return ShiftedCommand(producer_environment(environment))


@BOTH_WAYS
def test_check_names_the_clock_and_finds_the_rest_well(run: ShiftedCommand, ahead_minutes: float) -> None:
    checked = run.shifted(ahead_minutes * MINUTES, "check", "--json")
    found = {each["part"]: each for each in map(json.loads, checked.stdout.splitlines())}
    assert [part for part, each in found.items() if not each["ok"]] == ["clock"]
    assert f"1,200 s {'ahead of' if ahead_minutes > 0 else 'behind'} Redis's: set it (NTP)" in found["clock"]["text"]
    assert "round trip" in found
    assert checked.returncode == 1


def test_check_passes_with_a_note_where_a_clock_is_off_by_seconds(run: ShiftedCommand) -> None:
    checked = run.shifted(20, "check", "--read-only")
    assert checked.returncode == 0
    assert b"ok      clock       this machine's clock is 20 s ahead of Redis's" in checked.stdout
    assert objects(run("check", "--read-only", "--json"))[1]["text"] == "as Redis's"


@BOTH_WAYS
def test_save_and_status_work_and_note_the_clock(run: ShiftedCommand, tmp_path: Path, ahead_minutes: float) -> None:
    name = f"clock-{ahead_minutes}"
    path = write(tmp_path / f"{name}.jsonl", '{"n":0}')
    saved = run.shifted(ahead_minutes * MINUTES, "save", path)
    assert (saved.returncode, b"stored" in saved.stdout) == (0, True)
    told = run.shifted(ahead_minutes * MINUTES, "status", name)
    assert (told.returncode, b"1 message, 8 bytes" in told.stdout) == (0, True)
    for ended in (saved, told):
        assert b"note: this machine's clock is 1,200 s" in ended.stderr


def test_a_real_worker_says_that_a_question_was_too_old(run: ShiftedCommand, redis_server: RedisServer) -> None:
    rights: dict[str, Any] = {"categories": ["+@all"], "commands": ["-time"], "keys": ["*"], "channels": ["*"]}
    with redis_server.client() as client:
        client.acl_setuser("unseeing", enabled=True, passwords=["+blind"], **rights)
    name = "CODETETHER_HISTORY_BROKER_URL"
    url = run.variables[name].replace("redis://", "redis://unseeing:blind@", 1)
    checked = ShiftedCommand({**run.variables, name: url}).shifted(-20 * MINUTES, "check")
    assert checked.returncode == 4
    assert b"not compared: this Redis user may not ask" in checked.stdout
    assert b"FAILED  worker      a worker took the question for too old as it came" in checked.stdout
