"""Why a flush is not true: each reason, brought about for real."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, get_args

import pytest

from forked_process import ForkedWorker
from history_sink import FlushResult, HistorySink
from history_sink.client.session import DELETED
from history_sink.protocol.contract import STATUS, UPLOAD
from history_sink.protocol.outcome import FlushState
from history_sink.transport.broker import Broker
from history_sink.transport.results import Answer
from plain_store import lines_of, message, messages
from stack.minio import MinioServer
from stack.redis import RedisServer
from stack.stack import environment as variables
from stack.stack import producer_environment
from stack.worker import Worker

WORKER_COMMAND = str(Path(sys.executable).with_name("history-sink-worker"))
_names = count(1)


@pytest.fixture
def sink(environment: Mapping[str, str], worker: Worker) -> Iterator[HistorySink]:
    """With a worker and a store behind it."""
    with HistorySink.from_env(producer_environment(environment)) as sink:
        yield sink


@pytest.fixture
def session() -> str:
    return f"flush-{next(_names)}"


@pytest.fixture
def own(redis_server: RedisServer, tmp_path: Path) -> Iterator[tuple[MinioServer, Mapping[str, str]]]:
    """A store of this test's own, and what a worker and a producer need."""
    minio = MinioServer(tmp_path / "minio")
    minio.start()
    yield minio, variables(minio, redis_server.new_database(), minio.create_bucket())
    minio.stop()


def flush_of_one(variables: Mapping[str, str], seconds: float) -> FlushResult:
    """That of a session with one message."""
    with HistorySink.from_env(producer_environment(variables)) as sink:
        assert sink.save("s", messages("a")).state == "enqueued"
        return sink.flush("s", seconds)


def test_only_stored_is_true() -> None:
    assert [state for state in get_args(FlushState) if FlushResult(state)] == ["stored"]


def test_stored_has_no_reason(sink: HistorySink, session: str) -> None:
    sink.save(session, messages("a"))
    assert sink.flush(session, 20) == FlushResult("stored")


def test_a_burst_is_asked_about_once_when_its_outcomes_are_there(
    sink: HistorySink, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("history_sink.client.flush.WAIT_SECONDS", 30.0)  # on a machine that is busy with tests
    for number in range(40):
        sink.append(session, message(str(number)))
    asked = note_questions(sink, monkeypatch)
    assert sink.flush(session, 60)
    assert asked == [STATUS]
    sink.save(session, messages("an", "edited", "history"))
    asked.clear()
    assert sink.flush(session, 60)
    assert asked == [STATUS]


def test_outcomes_that_are_lost_delay_it_once(sink: HistorySink, session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("history_sink.client.flush.WAIT_SECONDS", 0.2)
    waits: list[int] = []

    def find_none(task_ids: Sequence[str], timeout_seconds: float) -> dict[str, Answer]:
        waits.append(len(task_ids))
        time.sleep(timeout_seconds)
        return {}

    monkeypatch.setattr(sink._broker, "watch", find_none)
    sink.append(session, *messages("a", "b"))
    assert sink.flush(session, 30)
    waited = len(waits)
    assert waited > 0
    assert sink.flush(session, 30)
    assert len(waits) == waited  # the store has said that it has all of it, so nothing is waited for


def note_questions(sink: HistorySink, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which questions go out from now on."""
    asked: list[str] = []
    send = sink._broker.send

    def note(task: str, *rest: Any, **more: Any) -> str:
        if task != UPLOAD:
            asked.append(task)
        return send(task, *rest, **more)

    monkeypatch.setattr(sink._broker, "send", note)
    return asked


def test_no_store_when_a_worker_answers_and_its_store_is_away(
    own: tuple[MinioServer, Mapping[str, str]], tmp_path: Path
) -> None:
    minio, environment = own
    worker = ForkedWorker(environment, log_path=tmp_path / "worker.log")
    worker.start()
    try:
        minio.stop()
        flushed = flush_of_one(environment, 8)
    finally:
        worker.stop()
    assert flushed.state == "no_store"
    assert flushed.reason == "the worker failed with Away: its store is down, full, or does not answer it"


def test_time_when_the_store_lacks_something_still(own: tuple[MinioServer, Mapping[str, str]], tmp_path: Path) -> None:
    environment = own[1]
    worker = ForkedWorker(environment, log_path=tmp_path / "worker.log", queues=["history.read"])
    worker.start()
    try:
        flushed = flush_of_one(environment, 1.5)
    finally:
        worker.stop()
    size = len(lines_of(messages("a"))[0])
    assert flushed == FlushResult("time", f"the store has 0 of {size} bytes")


def test_time_when_there_is_none(sink: HistorySink, session: str) -> None:
    sink.save(session, messages("a"))
    assert sink.flush(session, 0).state == "time"


def test_no_worker_when_none_answers(redis_server: RedisServer) -> None:
    flushed = flush_of_one({"CODETETHER_HISTORY_BROKER_URL": redis_server.new_database()}, 0.5)
    assert flushed.state == "no_worker"
    assert (flushed.reason or "").startswith("no worker answered within")


def test_unreachable_when_the_broker_does_not_take_it() -> None:
    with HistorySink(broker_url="redis://127.0.0.1:1/0") as sink:
        assert sink.save("s", messages("a")).state == "unreachable"
        flushed = sink.flush("s", 0.5)
    assert flushed.state == "unreachable"
    assert "the broker is away" in (flushed.reason or "")


def test_no_answers_when_there_is_no_result_store(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Broker, "has_answers", False)  # as with a RabbitMQ alone
    with HistorySink(broker_url=redis_server.new_database()) as sink:
        assert sink.save("s", messages("a")).state == "enqueued"
        flushed = sink.flush("s", 5)
    assert flushed.state == "no_answers"
    assert "RESULT_URL is not set" in (flushed.reason or "")


def test_deleted_when_an_operator_has_deleted_the_session(
    sink: HistorySink, session: str, environment: Mapping[str, str]
) -> None:
    sink.save(session, messages("a"))
    assert sink.flush(session, 20)
    command = [WORKER_COMMAND, "delete", session, "--yes"]
    subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True, timeout=60)
    sink.save(session, messages("a", "b"))
    assert sink.flush(session, 30) == FlushResult("deleted", DELETED)
    assert sink.flush(session, 0.1) == FlushResult("deleted", DELETED)


def test_stored_when_another_writer_has_saved_before_what_is_appended(
    sink: HistorySink, session: str, environment: Mapping[str, str]
) -> None:
    sink.append(session, *messages("a", "b"))
    assert sink.flush(session, 20)
    with HistorySink.from_env(producer_environment(environment)) as another:
        another.save(session, messages("a", "b", "another's"))
        assert another.flush(session, 20)
    for text in "cd":
        sink.append(session, message(text))
        assert sink.flush(session, 30).state == "stored"
    assert b"".join(sink.read(session)) == b"".join(lines_of(messages("a", "b", "another's", "c", "d")))
    assert not sink.status(session).strays


def test_a_whole_history_that_parts_is_stored_in_a_branch(
    sink: HistorySink, session: str, environment: Mapping[str, str]
) -> None:
    sink.save(session, messages("a", "b"))
    assert sink.flush(session, 20)
    with HistorySink.from_env(producer_environment(environment)) as another:
        another.save(session, messages("a", "b", "another's"))
        assert another.flush(session, 20)
    sink.save(session, messages("a", "b", "c"))
    assert sink.flush(session, 30).state == "stored"
    assert b"".join(sink.read(session)) == b"".join(lines_of(messages("a", "b", "c")))
    assert "/branches/" in sink.pointer(session).key


def test_failed_when_the_fault_is_ours_and_no_word_of_the_error_is_shown(
    sink: HistorySink, session: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("canary")

    sink.save(session, messages("a"))
    monkeypatch.setattr("history_sink.client.session.Session.ask", fail)
    assert sink.flush(session, 5) == FlushResult("failed", "failed with RuntimeError")
    assert "flush failed with RuntimeError" in caplog.text
    assert "canary" not in caplog.text
