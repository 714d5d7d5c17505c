"""A queue's messages go to one store: workers note it beside the queue, and one with another does not start."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from forked_process import ForkedWorker, operate, run_module
from history_sink import HistorySink
from history_sink_worker.belonging import KEY, Home, find_place, find_refusal
from history_sink_worker.doctor.belonging import judge_note
from history_sink_worker.settings import BrokerSettings
from stack.minio import MinioServer
from stack.processes import wait_until
from stack.rabbitmq import RabbitServer
from stack.redis import RedisServer
from stack.stack import environment as variables
from stack.worker import Worker

NAMESPACE = "CODETETHER_HISTORY_"
PREFIX, BUCKET = NAMESPACE + "S3_PREFIX", NAMESPACE + "S3_BUCKET"
HERE = Home("b", "p/", "http://minio:9000")


@pytest.fixture
def asked(minio_server: MinioServer, redis_server: RedisServer) -> dict[str, str]:
    """The variables of a worker on a queue of this test's own."""
    return variables(minio_server, redis_server.new_database(), minio_server.create_bucket())


@pytest.fixture
def first(asked: Mapping[str, str], tmp_path: Path) -> Iterator[Worker]:
    """A worker that runs, and has noted its store."""
    worker = ForkedWorker(asked, log_path=tmp_path / "first.log", name="first")
    worker.start()
    yield worker
    worker.process.kill()


def expect_refusal(environment: Mapping[str, str], *named: str) -> None:
    """A worker with these variables ends by itself, has never been ready, and names both stores."""
    ended = run_module(environment, "celery", "-A", "history_sink_worker", "worker", "-P", "threads", "-n", "second@b")
    said = ended.stdout + ended.stderr
    assert ended.returncode != 0
    assert "second@b ready" not in said
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if "another store's" in line]
    assert len(lines) == 1, said
    assert all(name in lines[0] for name in (*named, "history-sink-worker move")), lines


def starts(environment: Mapping[str, str], directory: Path) -> bool:
    worker = ForkedWorker(environment, log_path=directory / "starts.log", name="starts")
    worker.start()
    worker.stop()
    return True


def test_a_worker_of_another_prefix_or_bucket_does_not_start_and_names_both(
    asked: dict[str, str], first: Worker, minio_server: MinioServer
) -> None:
    del first
    expect_refusal({**asked, PREFIX: "other"}, "history/", "other/", asked[BUCKET])
    elsewhere = minio_server.create_bucket()
    expect_refusal({**asked, BUCKET: elsewhere}, elsewhere, asked[BUCKET])
    with HistorySink.from_env(asked) as sink:
        for count in range(1, 5):
            sink.save("whole", [{"n": n} for n in range(count)])
        assert sink.flush("whole", 20)


def test_a_store_by_another_name_is_the_same_store(asked: dict[str, str], first: Worker, tmp_path: Path) -> None:
    del first
    renamed = {**asked, NAMESPACE + "S3_ENDPOINT": asked[NAMESPACE + "S3_ENDPOINT"].replace("127.0.0.1", "localhost")}
    assert renamed != asked
    assert starts(renamed, tmp_path)
    assert "the same store by another name" in operate(renamed, "doctor").stdout


def test_doctor_calls_a_queue_of_another_store_a_problem(asked: dict[str, str], first: Worker) -> None:
    assert "as noted beside the queue" in operate(asked, "doctor").stdout
    ended = operate({**asked, PREFIX: "other"}, "doctor", "--json")
    (problem,) = (each for each in json.loads(ended.stdout)["findings"] if each["level"] == "problem")
    assert all(f'prefix "{prefix}"' in problem["text"] for prefix in ("history/", "other/"))
    assert "history-sink-worker move" in problem["advice"]


def test_a_queue_is_moved_on_purpose(asked: dict[str, str], first: Worker, tmp_path: Path) -> None:
    first.stop()
    there = {**asked, PREFIX: "other"}
    assert operate(there, "move", answer="n\n").returncode == 1
    expect_refusal(there, "other/")
    moved = operate(there, "move", answer="y\n")
    assert moved.returncode == 0, moved.stderr
    assert all(f'prefix "{prefix}"' in moved.stdout for prefix in ("history/", "other/"))
    assert starts(there, tmp_path)
    expect_refusal(asked, "other/")
    missing = operate({**asked, BUCKET: "not-there"}, "move", "--yes")
    assert (missing.returncode, "not-there" in missing.stderr) == (1, True)


def test_a_worker_that_still_runs_when_its_queue_is_moved_ends(asked: dict[str, str], first: Worker) -> None:
    assert operate({**asked, PREFIX: "other"}, "move", "--yes").returncode == 0
    wait_until(lambda: not first.process.is_running, timeout_seconds=30, what="its end")
    assert "another store's" in first.process.log()


def test_the_note_is_left_again_where_redis_was_emptied(
    asked: dict[str, str], first: Worker, redis_server: RedisServer
) -> None:
    del first
    with redis_server.client(asked[NAMESPACE + "BROKER_URL"]) as client:
        client.flushdb()
        wait_until(lambda: client.exists(KEY) == 1, timeout_seconds=20, what="the note")


def test_who_finds_another_store_noted_after_an_outage_ends(asked: dict[str, str], own_redis: RedisServer) -> None:
    """As after a Redis that was started empty, and met another deployment's worker first."""
    asked[NAMESPACE + "BROKER_URL"] = own_redis.url()
    worker = ForkedWorker(asked, log_path=own_redis.process.log_path.parent / "worker.log")
    worker.start()
    try:
        with own_redis.client() as client:
            client.set(KEY, HERE.encode())
        own_redis.process.kill()
        own_redis.start()
        wait_until(lambda: not worker.process.is_running, timeout_seconds=30, what="the worker's end")
        assert "another store's" in worker.process.log()
    finally:
        worker.process.kill()


def test_the_endpoint_makes_no_difference_and_what_cannot_be_read_is_refused() -> None:
    assert find_refusal(None, HERE) is None
    assert find_refusal(Home("b", "p/", "http://elsewhere").encode().encode(), HERE) is None
    newer = json.dumps({**json.loads(HERE.encode()), "more": 1}).encode()
    assert find_refusal(newer, HERE) is None
    for note in (b"", b"{}", b"[]", b"null", b"\xff", Home("b", "q/", HERE.endpoint).encode().encode()):
        assert find_refusal(note, HERE), note
        assert judge_note(note, HERE).level == "problem"
    assert judge_note(None, HERE).level == "note"


def settings(**values: str) -> BrokerSettings:
    return BrokerSettings.from_env({NAMESPACE + name: value for name, value in values.items()})


def test_the_note_is_beside_the_queue_else_beside_the_answers() -> None:
    assert find_place(settings(BROKER_URL="redis://h/3", RESULT_URL="redis://r/1")) == ("redis://h/3", KEY)
    places = [
        find_place(settings(BROKER_URL=f"amqp://{broker}", RESULT_URL="redis://r/1"))
        for broker in ("u:p@one//", "other:pw@one//", "one", "one:5672//", "one/%2F")
    ]
    assert places == [places[0]] * 5
    url, key = places[0] or ("", "")
    assert (url, key.rpartition(":")[0]) == ("redis://r/1", KEY)
    for other in ("amqp://two//", "amqp://one/more", "amqp://one:5673//"):
        assert find_place(settings(BROKER_URL=other, RESULT_URL="redis://r/1")) not in (places[0], None)
    assert find_place(settings(BROKER_URL="amqp://one//")) is None


@pytest.mark.system
def test_with_rabbitmq_the_note_is_beside_the_answers(
    asked: dict[str, str], redis_server: RedisServer, tmp_path: Path
) -> None:
    rabbit = RabbitServer(tmp_path / "rabbit")
    rabbit.start()
    try:
        asked |= {NAMESPACE + "BROKER_URL": rabbit.url(), NAMESPACE + "RESULT_URL": redis_server.new_database()}
        assert starts(asked, tmp_path)
        expect_refusal({**asked, PREFIX: "other"}, "history/", "other/")
        assert operate({**asked, PREFIX: "other"}, "move", "--yes").returncode == 0
        assert starts({**asked, PREFIX: "other"}, tmp_path)
    finally:
        rabbit.stop()
