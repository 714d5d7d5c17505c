"""A Redis at its maxmemory refuses what needs memory, and all within MULTI; workers wait until that has passed."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from forked_process import ForkedWorker
from history_sink import HistorySink
from stack.minio import MinioServer
from stack.redis import RedisServer
from stack.stack import environment
from stack.worker import Worker


@pytest.fixture
def worker(own_redis: RedisServer, minio_server: MinioServer, bucket: str, tmp_path: Path) -> Iterator[Worker]:
    """Not started."""
    worker = ForkedWorker(environment(minio_server, own_redis.url(), bucket), log_path=tmp_path / "worker.log")
    yield worker
    worker.process.kill()


def fill(own_redis: RedisServer) -> None:
    with own_redis.client() as client:
        client.config_set("maxmemory", 1)


def empty(own_redis: RedisServer) -> None:
    with own_redis.client() as client:
        client.config_set("maxmemory", 0)


def wait_for(worker: Worker, text: str, times: int = 1) -> None:
    deadline = time.monotonic() + 20
    while worker.process.log().count(text) < times and time.monotonic() < deadline and worker.process.is_running:
        time.sleep(0.05)
    assert worker.process.log().count(text) >= times


def test_a_worker_outlives_a_full_redis_at_its_start_and_at_a_reconnect(own_redis: RedisServer, worker: Worker) -> None:
    fill(own_redis)
    worker.process.launch()
    wait_for(worker, "broker away")
    time.sleep(3)  # it is let in and refused, again and again, and never without a pause
    assert "Frequent restarts" not in worker.process.log()
    assert "Error on restarting" not in worker.process.log()
    assert worker.process.log().count("broker away") == 1
    empty(own_redis)
    wait_for(worker, "ready.")
    fill(own_redis)
    with own_redis.client() as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    wait_for(worker, "broker away", times=2)
    empty(own_redis)
    with HistorySink(broker_url=own_redis.url()) as sink:
        assert sink.append("session", {"role": "user", "content": []}).state == "enqueued"
        assert sink.flush("session", 30)
    assert worker.process.is_running
