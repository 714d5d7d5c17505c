"""A message that kills whoever takes it becomes a dead letter; an operator's and a network's doings do not count."""

import json
import os
import signal
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from celery.result import AsyncResult

from office import READS, STATUS, UPLOAD, UPLOADS, Office
from stack.minio import MinioServer
from stack.processes import wait_until
from stack.redis import RedisServer
from stack.worker import Worker

MESSAGES = [{"role": "user", "content": "to be kept"}]
INCLUDE = ("--include", "killer_tasks")


@pytest.fixture
def office(
    request: pytest.FixtureRequest, minio_server: MinioServer, redis_server: RedisServer, tmp_path: Path
) -> Office:
    office = Office(minio_server, redis_server.new_database(), tmp_path, request.param)
    office.environment["CODETETHER_HISTORY_VISIBILITY_TIMEOUT_SECONDS"] = "3"
    return office


def send_killer(office: Office) -> AsyncResult[Any]:
    """Seven have died of it already: each death takes seconds. test_transport.py counts from none."""
    return office.send("kill", "s", MESSAGES, headers={"x-abandoned": 7})


def assert_buried(office: Office, task_id: str) -> None:
    letter = office.letter(task_id)
    assert letter.reason.startswith("abandoned 10 times")
    assert letter.attempts == 10
    assert json.loads(letter.body)[0] == ["s", MESSAGES]


def assert_goes_on(office: Office) -> None:
    assert office.send(UPLOAD, "next", MESSAGES).get(timeout=20)["outcome"] == "stored"


@pytest.mark.parametrize("office", ["prefork"], indirect=True)
def test_a_message_that_kills_ten_children_is_buried_and_the_worker_goes_on(office: Office) -> None:
    worker = office.make_worker(*INCLUDE, "--concurrency", "4")  # it is slow to replace them
    worker.start()
    try:
        sent = send_killer(office)
        wait_until(lambda: bool(office.letters(sent.id)), timeout_seconds=60, what="three children to be killed")
        assert_buried(office, sent.id)
        assert_goes_on(office)
        assert worker.process.log().count("signal 9 (SIGKILL)") >= 3
    finally:
        worker.stop()


@pytest.mark.parametrize("office", ["threads"], indirect=True)
def test_a_message_that_kills_ten_workers_is_buried(office: Office) -> None:
    sent = send_killer(office)
    workers = [office.make_worker(*INCLUDE, name=f"worker{number}") for number in range(3)]
    deaths = 0
    with ExitStack() as running:
        for worker in workers:
            running.callback(worker.process.kill)
            worker.process.launch()
        deadline = time.monotonic() + 100
        while not office.letters(sent.id) and time.monotonic() < deadline:
            deaths += sum(restart_if_dead(worker) for worker in workers)
            time.sleep(0.05)
        assert deaths == 3
        assert_buried(office, sent.id)
        assert_goes_on(office)


def restart_if_dead(worker: Worker) -> bool:
    """As a supervisor does."""
    is_dead = not worker.process.is_running
    if is_dead:
        assert worker.process.exit_status == -signal.SIGKILL
        worker.process.launch()
    return is_dead


def has_begun(begun: Path, times: int) -> bool:
    return len(os.listdir(begun)) == times


def expect_success(sent: AsyncResult[Any]) -> None:
    # Not `get`: the connection that it waits on is one of those that were cut.
    wait_until(lambda: bool(sent.state == "SUCCESS"), timeout_seconds=20, what="a task to end")


@pytest.mark.parametrize("office", ["prefork"], indirect=True)
def test_lost_connections_and_an_operators_restarts_do_not_count(office: Office, tmp_path: Path) -> None:
    worker = office.make_worker(*INCLUDE)
    begun = tmp_path / "begun"
    begun.mkdir()
    worker.start()
    try:
        sent = office.send("linger", str(begun))
        for restart in (1, 2):
            wait_until(partial(has_begun, begun, restart), timeout_seconds=20, what="the task to begin")
            # By this answer the worker has heard, too, that its child has begun. If its connection is lost before that,
            # Celery forgets the job and gives that child others, too; at SIGQUIT it waits for them, and ends no child.
            expect_success(office.send(STATUS, "s", queue=READS))
            for _ in range(5):
                office.redis.client_kill_filter(_type="normal", skipme=True)
                expect_success(office.send(STATUS, "s", queue=READS))
            assert "broker away" in worker.process.log()
            # Celery joins its pool within the signal's handler. If that interrupts what takes in a job's end, the join
            # waits for that end, for ever.
            wait_until(lambda: office.redis.hlen("unacked") == 1, timeout_seconds=20, what="all other tasks' ends")
            os.kill(worker.process.pid, signal.SIGQUIT)  # it waits for no task
            worker.process.wait(timeout_seconds=20)
            (record,) = office.redis.lrange(UPLOADS, 0, -1)
            assert "x-abandoned" not in json.loads(record)["headers"]
            worker.start()
        (begun / "end").touch()
        expect_success(sent)
        office.wait_until_idle()
        assert not office.letter_keys()
        assert len(os.listdir(begun)) == 3 + 1
    finally:
        worker.process.kill()


@pytest.mark.parametrize("office", ["threads"], indirect=True)
def test_a_cold_shutdown_of_threads_ends_with_what_runs_and_without_a_traceback(office: Office, tmp_path: Path) -> None:
    worker = office.make_worker(*INCLUDE)
    begun = tmp_path / "begun"
    begun.mkdir()
    worker.start()
    try:
        office.send("linger", str(begun))
        wait_until(partial(has_begun, begun, 1), timeout_seconds=20, what="the task to begin")
        wait_until(lambda: office.redis.hlen("unacked") == 1, timeout_seconds=20, what="all other tasks' ends")
        os.kill(worker.process.pid, signal.SIGQUIT)
        time.sleep(1)  # it has been told, and the task still runs
        (begun / "end").touch()
        assert worker.process.wait(timeout_seconds=20) == 1
        assert "Traceback" not in worker.process.log()
        assert not office.redis.exists("unacked")
    finally:
        worker.process.kill()
