"""What a worker makes sure of before it takes its first message, and says in plain words."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from celery import Celery

from forked_process import run_module
from history_sink_worker import startup
from history_sink_worker.service.service import service
from history_sink_worker.store import Rejected, Unfit
from stack.minio import MinioServer
from stack.processes import free_port, wait_until
from stack.proxy import Proxy
from stack.redis import RedisServer
from stack.stack import environment as variables
from stack.worker import Worker

WRITTEN = b"<CompleteMultipartUploadResult><ETag>any</ETag></CompleteMultipartUploadResult>"
WRITTEN = b"HTTP/1.1 200 OK\r\nETag: any\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(WRITTEN) + WRITTEN
NAMESPACE = "CODETETHER_HISTORY_"


def run(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """`celery -A history_sink_worker …`, which is to end by itself, with nothing of our own environment's."""
    return run_module(environment, "celery", "-A", "history_sink_worker", *arguments)


def test_all_missing_variables_are_named_at_once() -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(NAMESPACE)}
    command = [sys.executable, "-m", "celery", "-A", "history_sink_worker", "worker"]
    ended = subprocess.run(command, env=kept, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr
    for name in ("BROKER_URL", "S3_ENDPOINT", "S3_BUCKET", "S3_ACCESS_KEY", "S3_SECRET_KEY"):
        assert NAMESPACE + name in ended.stderr


@pytest.mark.parametrize("command", ["flower", "inspect"])
def test_who_only_watches_needs_the_broker_and_says_so(command: str) -> None:
    ended = run({}, command, "ping")
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr
    assert f"not set: {NAMESPACE}BROKER_URL" in ended.stderr
    assert "S3" not in ended.stderr


def test_who_only_watches_needs_nothing_of_the_store(environment: Mapping[str, str], worker: Worker) -> None:
    url = environment[NAMESPACE + "BROKER_URL"]
    ended = run({NAMESPACE + "BROKER_URL": url}, "inspect", "ping", "--destination", worker.node)
    assert ended.returncode == 0, ended.stderr
    assert "pong" in ended.stdout


def test_a_malformed_variable_is_named_without_its_value() -> None:
    ended = run({NAMESPACE + "BROKER_URL": "a-secret@nowhere"}, "inspect", "ping")
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr
    assert NAMESPACE + "BROKER_URL" in ended.stderr
    assert "a-secret" not in ended.stderr


def test_the_archives_core_loads_neither_celery_nor_boto3() -> None:
    program = "import sys, history_sink_worker.archive.save; print({'celery', 'boto3', 'structlog'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert ended.stdout.strip() == "set()"


def test_a_missing_bucket_ends_the_worker(environment: Mapping[str, str]) -> None:
    ended = run({**environment, NAMESPACE + "S3_BUCKET": "not-there"}, "worker", "-P", "threads")
    assert ended.returncode != 0
    assert 'there is no bucket "not-there"' in ended.stderr
    assert "Traceback" not in ended.stderr


def test_wrong_credentials_end_the_worker(environment: Mapping[str, str]) -> None:
    ended = run({**environment, NAMESPACE + "S3_SECRET_KEY": "wrong-secret"}, "worker", "-P", "threads")
    assert ended.returncode != 0
    assert "the store does not let us in" in ended.stderr
    assert "wrong-secret" not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_store_that_ignores_conditions_ends_the_worker(
    environment: Mapping[str, str], minio_server: MinioServer
) -> None:
    with Proxy(minio_server.port) as proxy:
        proxy.answer_to_unmet = WRITTEN
        endpoint = f"http://127.0.0.1:{proxy.port}"
        ended = run({**environment, NAMESPACE + "S3_ENDPOINT": endpoint}, "worker", "-P", "threads")
    assert ended.returncode != 0
    assert "a store without conditional writes is refused" in ended.stderr
    assert "Missing here: PUT with If-None-Match: *" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_bucket_is_made_when_that_is_asked_for(
    minio_server: MinioServer, redis_server: RedisServer, tmp_path: Path
) -> None:
    asked = variables(minio_server, redis_server.new_database(), "made-at-start")
    asked[NAMESPACE + "S3_CREATE_BUCKET"] = "true"
    worker = Worker(asked, log_path=tmp_path / "worker.log")
    worker.start()
    worker.stop()
    names = [bucket["Name"] for bucket in minio_server.client().list_buckets()["Buckets"]]
    assert "made-at-start" in names


def test_a_store_that_is_away_is_waited_for(
    minio_server: MinioServer, redis_server: RedisServer, tmp_path: Path
) -> None:
    del minio_server  # asked for only so that the program is built before this test's clock starts
    late = MinioServer(tmp_path / "minio", port=free_port())
    asked = variables(late, redis_server.new_database(), "history")
    asked[NAMESPACE + "S3_CREATE_BUCKET"] = "true"
    worker = Worker(asked, log_path=tmp_path / "worker.log")
    try:
        worker.process.launch()
        wait_until(lambda: "store away" in worker.process.log(), timeout_seconds=20, what="a word of it")
        time.sleep(3)  # not only at the first try
        late.start()
        began = time.monotonic()
        wait_until(lambda: "store ready" in worker.process.log(), timeout_seconds=30, what="the store to be found")
        assert time.monotonic() - began < 2
        wait_until(lambda: f"{worker.node} ready" in worker.process.log(), timeout_seconds=30, what="a start")
    finally:
        worker.stop()
        late.stop()


@pytest.mark.parametrize(
    ("error", "said"),
    [(KeyError("surprise"), "the check at the start broke"), (Rejected("PUT failed: 413"), "cannot be examined: PUT")],
)
def test_a_start_check_that_breaks_ends_the_worker(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(startup, "check_bucket", broken)
    monkeypatch.setattr(startup, "is_for_readers", lambda _: False)
    service.cache_clear()
    with pytest.raises(SystemExit, match=said):
        startup._on_setup((), MagicMock())
    service.cache_clear()


@pytest.mark.parametrize(("garbled", "ends"), [(startup.SURE_AFTER - 1, False), (startup.SURE_AFTER, True)])
def test_an_answer_that_is_garbled_once_ends_no_start(
    garbled: int, ends: bool, monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    check_bucket, tries = startup.check_bucket, iter(range(garbled))

    def garble(*arguments: Any) -> None:
        if next(tries, None) is not None:
            raise Unfit("LIST failed: not an answer of S3's")
        check_bucket(*arguments)

    monkeypatch.setattr(startup, "check_bucket", garble)
    monkeypatch.setattr(startup, "PAUSE_SECONDS", (0.0, 0.0))
    service.cache_clear()
    with pytest.raises(SystemExit, match="cannot be worked with: LIST") if ends else nullcontext():
        assert not startup.check_store(service()).refusal
    service.cache_clear()


def test_it_says_what_it_found_and_takes_exactly_the_three_queues(
    environment: Mapping[str, str], worker: Worker, bucket: str
) -> None:
    log = worker.process.log()
    assert '"event": "store ready"' in log
    assert f'"bucket": "{bucket}"' in log
    assert "PUT with If-None-Match: *" in log
    url = environment[NAMESPACE + "BROKER_URL"]
    answers = Celery("client", broker=url, set_as_current=False).control.inspect(timeout=3).active_queues()
    assert answers is not None
    assert {queue["name"] for queue in answers[worker.node]} == {
        "history.upload",
        "history.read",
        "history.maintenance",
    }


def test_a_worker_without_redis_says_what_that_costs(environment: Mapping[str, str], tmp_path: Path) -> None:
    nobody = f"amqp://127.0.0.1:{free_port()}//"  # it waits for this broker, for ever
    worker = Worker({**environment, NAMESPACE + "BROKER_URL": nobody}, log_path=tmp_path / "worker.log")
    worker.process.launch()
    try:
        wait_until(lambda: "broker away" in worker.process.log(), timeout_seconds=20, what="it to have started")
    finally:
        worker.process.kill()
    assert "each save costs a LIST" in worker.process.log()


@pytest.mark.parametrize(
    ("folder", "said"),
    [("", "not set: CODETETHER_HISTORY_SEARCH_DIR"), ("/proc/nope", "/proc/nope cannot be written to")],
)
def test_a_search_worker_without_a_folder_ends_with_one_line(
    folder: str, said: str, environment: Mapping[str, str], tmp_path: Path
) -> None:
    variables = {**environment, "CODETETHER_HISTORY_SEARCH_DIR": folder}
    worker = Worker(variables, log_path=tmp_path / "worker.log", queues=["history.search"])
    worker.process.launch()
    wait_until(lambda: not worker.process.is_running, timeout_seconds=60, what="its end")
    assert said in worker.process.log()
    assert "Traceback" not in worker.process.log()
