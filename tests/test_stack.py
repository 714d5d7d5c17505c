"""The stack that the other tests stand on does what they take for granted."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from stack.minio import MinioServer
from stack.processes import NotReady, Process, free_port, port_is_free, wait_until
from stack.redis import RedisServer, find_server
from stack.s3_server import S3Server
from stack.versitygw import VersitygwServer

REPOSITORY = Path(__file__).parent.parent


def test_of_writers_that_race_for_a_new_key_exactly_one_wins(minio_server: MinioServer, bucket: str) -> None:
    client = minio_server.client()

    def is_winner(number: int) -> bool:
        try:
            client.put_object(Bucket=bucket, Key="key", Body=b"%d" % number, IfNoneMatch="*")
        except client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "PreconditionFailed":
                raise
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        winners = [number for number, won in enumerate(threads.map(is_winner, range(8))) if won]

    assert len(winners) == 1
    assert client.get_object(Bucket=bucket, Key="key")["Body"].read() == b"%d" % winners[0]


@pytest.mark.each_store
def test_a_store_keeps_objects_over_a_kill(tmp_path: Path, s3_server: S3Server) -> None:
    server = (MinioServer if isinstance(s3_server, MinioServer) else VersitygwServer)(tmp_path)
    server.start()
    try:
        bucket = server.create_bucket()
        server.client().put_object(Bucket=bucket, Key="key", Body=b"kept")
        server.process.kill()
        assert not server.is_healthy()
        server.start()
        assert server.client().get_object(Bucket=bucket, Key="key")["Body"].read() == b"kept"
    finally:
        server.stop()


@pytest.fixture
def own_redis(tmp_path: Path) -> RedisServer:
    return RedisServer(tmp_path, password="a secret")


def test_redis_keeps_what_it_acknowledged_over_a_kill(own_redis: RedisServer) -> None:
    own_redis.start()
    try:
        with own_redis.client() as client:
            for number in range(100):
                client.rpush("list", number)
        own_redis.process.kill()
        own_redis.start()
        with own_redis.client() as client:
            assert client.llen("list") == 100
    finally:
        own_redis.stop()


def test_a_paused_redis_answers_nothing_until_it_is_resumed(own_redis: RedisServer) -> None:
    own_redis.start()
    try:
        own_redis.process.pause()
        with socket.create_connection(("127.0.0.1", own_redis.port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            connection.settimeout(0.3)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            own_redis.process.resume()
            connection.settimeout(5)
            assert connection.recv(100).startswith(b"-NOAUTH")
    finally:
        own_redis.stop()


def test_two_databases_do_not_see_each_other(redis_server: RedisServer) -> None:
    one, other = redis_server.new_database(), redis_server.new_database()
    with redis_server.client(one) as here, redis_server.client(other) as there:
        here.set("key", "value")
        assert there.get("key") is None


@pytest.mark.system
def test_the_redis_of_the_system_is_preferred() -> None:
    assert str(find_server()) == shutil.which("redis-server")


@pytest.mark.servers
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part in it is Linux's own")
def test_a_child_dies_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    program = f"""
import sys, time
from pathlib import Path
from stack.processes import Process
process = Process("sleep", ["sleep", "60"], log_path=Path({str(tmp_path / "log")!r}))
process.launch()
print(process.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], cwd=REPOSITORY, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child_pid = int(parent.stdout.readline())
        wait_until(lambda: command_of(child_pid).startswith("sleep"), timeout_seconds=5, what="the child")
        parent.kill()
        wait_until(lambda: not command_of(child_pid), timeout_seconds=5, what="the child to die as well")


def command_of(pid: int) -> str:
    """The command line of a process; empty when it has died (a zombie has none)."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.mark.servers
def test_what_does_not_come_up_says_why(tmp_path: Path) -> None:
    process = Process("it", ["sh", "-c", "echo no such disk; exit 3"], log_path=tmp_path / "log")
    with pytest.raises(NotReady, match=r"(?s)it ended with status 3; .*no such disk"):
        process.start(lambda: False)


@pytest.mark.servers
def test_what_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    process = Process(
        "it",
        ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"],
        log_path=tmp_path / "log",
    )
    process.start(lambda: "up" in process.log())
    process.stop(timeout_seconds=0.2)
    assert process.exit_status == -signal.SIGKILL


@pytest.fixture
def services(tmp_path: Path, minio_server: MinioServer) -> Callable[..., Process]:
    """`make services` on free ports, not started."""
    del minio_server  # as above: built before the clock starts
    ports = [f"--{name}-port={free_port()}" for name in ("minio", "console", "redis")]
    published = f"--environment={tmp_path / 'services.env'}"
    return lambda *options: Process(
        "services",
        [sys.executable, "-m", "stack.services", *ports, published, *options],
        log_path=tmp_path / "log",
        environment={**os.environ, "TMPDIR": str(tmp_path)},
        directory=REPOSITORY,
    )


def test_services_print_what_a_worker_needs_and_leave_nothing_behind(
    tmp_path: Path, services: Callable[..., Process]
) -> None:
    process = services()
    process.start(lambda: "# A producer" in process.log())
    text = process.log()
    os.kill(process.pid, signal.SIGINT)  # Ctrl-C

    assert process.wait(timeout_seconds=30) == 0
    for name in ("S3_ENDPOINT", "S3_BUCKET", "S3_ACCESS_KEY", "S3_SECRET_KEY", "BROKER_URL"):
        assert f"export CODETETHER_HISTORY_{name}=" in text
    assert "S3_SECRET" not in text.partition("# A producer")[2]
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_services_name_the_port_that_is_taken(services: Callable[..., Process]) -> None:
    process = services()
    port = int(next(part for part in process.command if "redis-port" in part).partition("=")[2])
    with socket.create_server(("127.0.0.1", port)):
        assert not port_is_free(port)
        process.launch()
        assert process.wait(timeout_seconds=30) == 1
    assert f"port {port} is taken" in process.log()


def is_up(process: Process) -> bool:
    return "# A producer" in process.log()


def test_the_end_of_one_server_leaves_the_data_and_the_log_that_services_point_to(
    tmp_path: Path, services: Callable[..., Process]
) -> None:
    process = services()
    process.start(lambda: is_up(process))
    port = next(part for part in process.command if "redis-port" in part).partition("=")[2]
    with redis.Redis(port=int(port)) as client:
        client.set("kept", 1)
        client.shutdown(nosave=True)
    assert process.wait(timeout_seconds=40) == 1
    found = re.search(r"Redis has ended by itself; its log is (\S+),", process.log())
    assert found, process.log()
    log = Path(found[1])
    assert "Redis" in log.read_text()
    assert (log.parents[1] / "minio" / "data" / "history").is_dir()
    assert b"kept" in b"".join(path.read_bytes() for path in log.parent.glob("appendonlydir/*"))
    assert not (tmp_path / "services.env").exists()


def test_data_in_a_folder_of_ones_own_is_there_at_the_next_start(
    tmp_path: Path, services: Callable[..., Process]
) -> None:
    data = tmp_path / "data"
    process = services("--data", str(data))
    port = next(part for part in process.command if "redis-port" in part).partition("=")[2]
    for expected in (1, 2):
        process.start(lambda: is_up(process))
        with redis.Redis(port=int(port)) as client:
            assert client.incr("starts") == expected
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(timeout_seconds=40) == 0
        assert f"their data is in {data}" in process.log()


def test_a_worker_finds_the_services_that_run_and_says_so_where_none_do(
    tmp_path: Path, services: Callable[..., Process]
) -> None:
    published = f"--environment={tmp_path / 'services.env'}"
    command = [sys.executable, "-m", "stack.services_worker", published]
    foreign = {**os.environ, "CODETETHER_HISTORY_BROKER_URL": "redis://127.0.0.1:1/0"}
    worker = Process("worker", command, log_path=tmp_path / "worker.log", environment=foreign, directory=REPOSITORY)
    worker.launch()
    assert worker.wait(timeout_seconds=30) == 1
    assert "no services run here" in worker.log()

    process = services()
    process.start(lambda: is_up(process))
    try:
        assert (tmp_path / "services.env").stat().st_mode & 0o777 == 0o600
        worker.start(lambda: " ready" in worker.log())
    finally:
        worker.stop()
        process.stop(timeout_seconds=40)
