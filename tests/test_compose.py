"""compose.yaml without Docker: its commands, on local servers.

What stands in compose.yaml is run as it stands there; only hosts and ports become those of servers on loopback.
"""

import base64
import json
import os
import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import celery
import pytest
import redis

from compose_file import USERS_TEXT, instructions, load, localize
from history_sink.protocol.contract import UPLOAD, UPLOAD_QUEUE
from history_sink_worker.rights.redis_acl import FLOWER, PRODUCER, USERS, WORKER, user_line
from stack.minio import MinioServer
from stack.processes import Process, free_port, wait_until
from stack.redis import find_server

PASSWORD = "pass0word"


def values(minio: MinioServer) -> dict[str, str]:
    return {
        "REDIS_PASSWORD": PASSWORD,
        "MINIO_ROOT_USER": minio.access_key,
        "MINIO_ROOT_PASSWORD": minio.secret_key,
        "FLOWER_BASIC_AUTH": f"someone:{PASSWORD}",
    }


@pytest.fixture(scope="module")
def compose(minio_server: MinioServer) -> Any:
    return load(values(minio_server))


@contextmanager
def running_redis(compose: Any, directory: Path) -> Iterator[int]:
    """A Redis with the configuration and the command that compose.yaml gives it: its port."""
    port = free_port()
    ours = f'bind 127.0.0.1\nport {port}\ndir "{directory}"\n'  # the last of two lines counts
    (directory / "redis.conf").write_text(compose["configs"]["redis"]["content"] + ours)
    program, *arguments = localize(compose["services"]["redis"]["command"], {"/usr/local/etc": str(directory)})
    assert program == "redis-server"
    process = Process("Redis", [str(find_server()), *arguments], log_path=directory / "redis.log")
    process.start(lambda: is_answering(port))
    try:
        yield port
    finally:
        process.stop()


@pytest.fixture(scope="module")
def redis_port(compose: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running_redis(compose, tmp_path_factory.mktemp("redis")) as port:
        yield port


def is_answering(port: int) -> bool:
    try:
        with client(port) as connection:
            return bool(connection.ping())
    except redis.RedisError:
        return False


def client(port: int, password: str | None = PASSWORD) -> redis.Redis:
    return redis.Redis(port=port, password=password, socket_timeout=5)


def localities(redis_port: int, minio: MinioServer, directory: Path) -> dict[str, str]:
    """Where what compose.yaml names is to be found on this machine."""
    return {
        "redis:6379": f"127.0.0.1:{redis_port}",
        "http://minio:9000": minio.endpoint,
        "0.0.0.0:9808": f"127.0.0.1:{free_port()}",
        "5555": str(free_port()),
        "/var/lib/flower": str(directory),
    }


@pytest.fixture(scope="module")
def local(redis_port: int, minio_server: MinioServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return localities(redis_port, minio_server, tmp_path_factory.mktemp("flower"))


def environment_of(service: Mapping[str, Any], local: Mapping[str, str]) -> dict[str, str]:
    """The container's environment: the image's, PATH with our programs first, and what compose.yaml says."""
    image = dict(word.split("=", 1) for line in instructions()["ENV"] for word in shlex.split(line))
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**localize({**image, **service["environment"]}, local), "PATH": programs, "HOME": "/nonexistent"}


def run(service: Mapping[str, Any], command: list[str], local: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        localize(command, local),
        env=environment_of(service, local),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def bucket(compose: Any, local: Mapping[str, str]) -> str:
    """Made by the service that makes it. Twice, as at each `docker compose up`."""
    service = compose["services"]["bucket"]
    for _ in range(2):
        done = run(service, service["command"], local)
        assert done.returncode == 0, done.stderr
    return str(service["environment"]["CODETETHER_HISTORY_S3_BUCKET"])


@pytest.fixture(scope="module")
def worker(
    compose: Any, local: Mapping[str, str], bucket: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Process]:
    with running_worker(compose, local, tmp_path_factory.mktemp("worker")) as process:
        yield process


@contextmanager
def running_worker(compose: Any, local: Mapping[str, str], directory: Path) -> Iterator[Process]:
    service, log_path = compose["services"]["worker"], directory / "worker.log"
    process = Process("worker", service["command"], log_path=log_path, environment=environment_of(service, local))
    process.start(lambda: re.search(r"celery@\S+ ready", process.log()) is not None)
    try:
        yield process
    finally:
        process.stop()


def test_redis_keeps_what_it_acknowledges_and_wants_a_password(redis_port: int) -> None:
    with client(redis_port) as connection:
        found = connection.config_get("append*", "maxmemory-policy", "maxmemory")
    assert found["appendonly"] == "yes"
    assert found["appendfsync"] == "always"
    assert found["maxmemory-policy"] == "noeviction"
    assert int(found["maxmemory"]) > 0
    with client(redis_port, password=None) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


@pytest.mark.system  # redis-cli comes with Debian's redis-server
def test_the_health_check_of_redis_tells_an_open_door_from_a_closed_one(
    compose: Any, local: Mapping[str, str], redis_port: int
) -> None:
    service = compose["services"]["redis"]
    kind, line = service["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    command = ["sh", "-c", line.replace("redis-cli", f"redis-cli -p {redis_port}")]
    assert run(service, command, local).returncode == 0
    closed = {**service, "environment": {"REDISCLI_AUTH": "wrong"}}
    assert run(closed, command, local).returncode != 0


def test_the_health_check_of_the_store_asks_whether_it_takes_writes(compose: Any, minio_server: MinioServer) -> None:
    url = compose["services"]["minio"]["healthcheck"]["test"][-1]
    with urllib.request.urlopen(url.replace("http://127.0.0.1:9000", minio_server.endpoint), timeout=5) as answer:
        assert answer.status == 200
    assert url.endswith("/minio/health/cluster")


def test_what_a_plain_client_sends_arrives_in_the_bucket(
    compose: Any, local: Mapping[str, str], worker: Process, bucket: str, minio_server: MinioServer
) -> None:
    url = localize(compose["services"]["worker"]["environment"]["CODETETHER_HISTORY_BROKER_URL"], local)
    with celery.Celery(broker=url, backend=url) as app:
        sent = app.send_task(UPLOAD, args=["compose", [{"role": "user"}]], queue=UPLOAD_QUEUE)
        assert sent.get(timeout=30)["outcome"] == "stored"
    body = minio_server.client().get_object(Bucket=bucket, Key="history/compose/history.jsonl")["Body"].read()
    assert body == b'{"role":"user"}\n'


def test_the_health_check_of_a_worker_notices_one_that_hangs(
    compose: Any, local: Mapping[str, str], worker: Process
) -> None:
    command = ["sh", "-c", instructions()["HEALTHCHECK"][0].partition("CMD ")[2]]
    service = compose["services"]["worker"]
    done = run(service, command, local)
    assert done.returncode == 0, done.stderr
    worker.pause()
    try:
        assert run(service, command, local).returncode != 0
    finally:
        worker.resume()


@contextmanager
def running_flower(compose: Any, local: Mapping[str, str], directory: Path) -> Iterator[None]:
    """Flower, whose health check says yes."""
    service = compose["services"]["flower"]
    command = localize(service["command"], local)
    process = Process("Flower", command, log_path=directory / "flower.log", environment=environment_of(service, local))
    kind, line = service["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    check = ["sh", "-c", line]
    process.launch()
    try:
        wait_until(lambda: run(service, check, local).returncode == 0, timeout_seconds=40, what="Flower to be well")
        yield
    finally:
        process.stop(timeout_seconds=5)


def test_flower_runs_and_asks_who_is_there(
    compose: Any, local: Mapping[str, str], tmp_path: Path, worker: Process
) -> None:
    with running_flower(compose, local, tmp_path):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            ask(f"http://127.0.0.1:{local['5555']}/api/workers")
        user = compose["services"]["flower"]["environment"]["FLOWER_BASIC_AUTH"]
        assert ask(f"http://127.0.0.1:{local['5555']}/api/workers?refresh=true", user)


def test_with_users_of_redis_each_part_does_its_work_and_no_more(minio_server: MinioServer, tmp_path: Path) -> None:
    (tmp_path / "history-sink.acl").write_text("".join(f"{user_line(user, f'of-{user}')}\n" for user in USERS))
    passwords = {"HISTORY_WORKER_PASSWORD": f"of-{WORKER}", "HISTORY_FLOWER_PASSWORD": f"of-{FLOWER}"}
    compose = load({**values(minio_server), **passwords}, USERS_TEXT)
    with running_redis(compose, tmp_path) as port:
        local = localities(port, minio_server, tmp_path)
        bucket = compose["services"]["bucket"]
        assert run(bucket, bucket["command"], local).returncode == 0
        url = f"redis://{PRODUCER}:of-{PRODUCER}@127.0.0.1:{port}/0"
        with running_worker(compose, local, tmp_path), celery.Celery(broker=url, backend=url) as app:
            sent = app.send_task(UPLOAD, args=["users", [{"role": "user"}]], queue=UPLOAD_QUEUE)
            assert sent.get(timeout=30)["outcome"] == "stored"
            with running_flower(compose, local, tmp_path):
                user = compose["services"]["flower"]["environment"]["FLOWER_BASIC_AUTH"]
                assert ask(f"http://127.0.0.1:{local['5555']}/api/workers?refresh=true", user)
        for name in ("worker", "flower"):
            its = localize(compose["services"][name]["environment"]["CODETETHER_HISTORY_BROKER_URL"], local)
            with redis.Redis.from_url(its) as connection, pytest.raises(redis.exceptions.NoPermissionError):
                connection.flushall()


def ask(url: str, user: str = "") -> Any:
    request = urllib.request.Request(url)
    if user:
        request.add_header("Authorization", f"Basic {base64.b64encode(user.encode()).decode()}")
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)
