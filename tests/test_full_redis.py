"""A Redis at its maxmemory refuses what needs memory, and all within MULTI; workers wait until that has passed."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from history_sink import HistorySink
from stack.minio import MinioServer
from stack.redis import RedisServer
from stack.stack import environment
from stack.worker import Worker


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own."""
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def worker(server: RedisServer, minio_server: MinioServer, bucket: str, tmp_path: Path) -> Iterator[Worker]:
    """Not started."""
    worker = Worker(environment(minio_server, server.url(), bucket), log_path=tmp_path / "worker.log")
    yield worker
    worker.process.kill()


def fill(server: RedisServer) -> None:
    with server.client() as client:
        client.config_set("maxmemory", 1)


def empty(server: RedisServer) -> None:
    with server.client() as client:
        client.config_set("maxmemory", 0)


def wait_for(worker: Worker, text: str, times: int = 1) -> None:
    deadline = time.monotonic() + 20
    while worker.process.log().count(text) < times and time.monotonic() < deadline and worker.process.is_running:
        time.sleep(0.05)
    assert worker.process.log().count(text) >= times


def test_a_worker_outlives_a_full_redis_at_its_start_and_at_a_reconnect(server: RedisServer, worker: Worker) -> None:
    fill(server)
    worker.process.launch()
    wait_for(worker, "Connection to broker lost")
    empty(server)
    wait_for(worker, "ready.")
    fill(server)
    with server.client() as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    wait_for(worker, "Connection to broker lost", times=3)
    empty(server)
    with HistorySink(broker_url=server.url()) as sink:
        assert sink.append("session", {"role": "user", "content": []}).state == "enqueued"
        assert sink.flush("session", 30)
    assert worker.process.is_running
