"""A disk that is full under Redis: what it does then, and that nothing is lost. On a small tmpfs, which wants root."""

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from forked_process import ForkedWorker
from history_sink import HistorySink
from stack.minio import MinioServer
from stack.processes import wait_until
from stack.redis import RedisServer
from stack.stack import environment
from stack.worker import Worker

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="to mount a file system wants root"),
]
DISK_BYTES = 12 * 2**20


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(directory)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"this container may not mount: {mounted.stderr.strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def enlarge(directory: Path) -> None:
    subprocess.run(["mount", "-o", f"remount,size={4 * DISK_BYTES}", str(directory)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk") as directory:
        yield directory


@pytest.fixture
def start(disk: Path) -> Iterator[Callable[[str], RedisServer]]:
    """Starts a Redis on `disk` with an `appendfsync`."""
    with ExitStack() as running:

        def start(fsync: str) -> RedisServer:
            server = RedisServer(disk, fsync=fsync)
            running.callback(server.process.kill)
            server.start()
            return server

        yield start


@pytest.fixture
def worker(minio_server: MinioServer, bucket: str, tmp_path: Path) -> Iterator[Callable[[RedisServer], Worker]]:
    with ExitStack() as running:

        def make(server: RedisServer) -> Worker:
            made = ForkedWorker(environment(minio_server, server.url(), bucket), log_path=tmp_path / "worker.log")
            running.callback(made.process.kill)
            return made

        yield make


def fill(sink: HistorySink, session: str) -> int:
    """Save until it is refused, and return how many messages were taken."""
    for taken in range(200):
        message = {"role": "user", "content": secrets.token_hex(50_000)}  # what repeats itself travels packed
        if sink.append(session, message).state != "enqueued":
            return taken
    raise AssertionError("the disk was not filled")


def test_with_fsync_always_redis_ends_on_a_full_disk_and_has_all_when_it_is_started_again(
    start: Callable[[str], RedisServer], worker: Callable[[RedisServer], Worker], disk: Path
) -> None:
    server = start("always")
    with HistorySink(broker_url=server.url()) as sink:
        taken = fill(sink, "always")
        assert taken > 10
        assert server.process.wait(timeout_seconds=10) == 1
        assert "Can't recover from AOF write error when the AOF fsync policy is 'always'" in (
            disk / "redis.log"
        ).read_text(errors="replace")
        # It cuts the torn record off, and so starts on the full disk as well; the next write that needs room ends it.
        server.start()
        with server.client() as client:
            assert client.llen("history.upload") == taken
        enlarge(disk)
        worker(server).start()
        assert sink.flush("always", 60)


def test_with_fsync_everysec_redis_refuses_all_writes_and_goes_on_when_there_is_room(
    start: Callable[[str], RedisServer], worker: Callable[[RedisServer], Worker], disk: Path
) -> None:
    server = start("everysec")
    working = worker(server)
    with HistorySink(broker_url=server.url()) as sink:
        taken = fill(sink, "everysec")
        working.process.launch()
        wait_until(lambda: "broker away" in working.process.log(), timeout_seconds=60, what="a word of it")
        assert "MISCONF" in working.process.log()
        assert server.process.is_running
        with server.client() as client:
            assert client.llen("history.upload") == taken  # nothing can be taken out either
        enlarge(disk)
        assert sink.flush("everysec", 60)
        assert working.process.is_running
