"""`history-sink-worker doctor` on real servers with wrong settings."""

import json
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from forked_process import operate
from history_sink_worker.cli.doctor import examine
from history_sink_worker.doctor.findings import Finding
from history_sink_worker.service.service import make_service
from history_sink_worker.settings import WorkerSettings
from stack.minio import MinioServer
from stack.processes import free_port
from stack.proxy import Proxy
from stack.rabbitmq import RabbitServer
from stack.redis import RedisServer
from stack.stack import environment as variables

NAMESPACE = "CODETETHER_HISTORY_"
PASSWORD = "a-password-0b7c"
DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>no</Message></Error>"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis as it should be; a test that changes it puts it back."""
    server = RedisServer(tmp_path_factory.mktemp("doctor"), password=PASSWORD)
    server.start()
    server.client().config_set("maxmemory", 64 * 2**20)
    yield server
    server.stop()


@pytest.fixture
def found(server: RedisServer, minio_server: MinioServer) -> dict[str, str]:
    """The variables of a deployment that is in order, with a bucket of its own."""
    return variables(minio_server, server.url(), minio_server.create_bucket())


def look(environment: Mapping[str, str], is_read_only: bool = False, **changes: str) -> list[Finding]:
    changed = {f"{NAMESPACE}{name}": value for name, value in changes.items()}
    return list(examine(make_service(WorkerSettings.from_env({**environment, **changed})), is_read_only))


def texts(findings: list[Finding], level: str) -> str:
    return "\n".join(each.text for each in findings if each.level == level)


def run(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return operate(environment, "doctor", *arguments)


def test_what_is_in_order_is_said_to_be_so(found: dict[str, str], minio_server: MinioServer) -> None:
    ended = run(found)
    assert ended.returncode == 0, ended.stdout
    assert "problems: 0" in ended.stdout
    assert "appendfsync always" in ended.stdout
    assert "conditional writes, multipart copy, ranges, LIST: as they must be" in ended.stdout
    left = minio_server.client().list_objects_v2(Bucket=found[f"{NAMESPACE}S3_BUCKET"])
    assert "Contents" not in left


def test_programs_get_json_and_nobody_gets_a_secret(found: dict[str, str], server: RedisServer) -> None:
    away = {
        **found,
        f"{NAMESPACE}S3_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        f"{NAMESPACE}RESULT_URL": server.url(1),
    }
    ended = run(away, "--json")
    assert ended.returncode == 1
    said = json.loads(ended.stdout)
    assert said["problem"] == 1
    assert [each["subject"] for each in said["findings"] if each["level"] == "problem"] == ["store"]
    for secret in (PASSWORD, found[f"{NAMESPACE}S3_SECRET_KEY"], found[f"{NAMESPACE}S3_ACCESS_KEY"]):
        assert secret not in ended.stdout + ended.stderr


def test_a_variable_that_is_missing_is_named() -> None:
    ended = run({})
    assert ended.returncode == 1
    assert f"{NAMESPACE}S3_BUCKET" in ended.stderr


def test_times_that_are_for_tests_alone_are_a_problem(found: dict[str, str]) -> None:
    low = look(found, SETTLE_SECONDS="5", ALLOW_UNSAFE_TIMES="for tests")
    assert texts(low, "problem") == f"{NAMESPACE}SETTLE_SECONDS is below its least value, which is for tests alone"


def test_a_redis_that_forgets_is_a_problem(found: dict[str, str], server: RedisServer) -> None:
    wrong = {"maxmemory-policy": "allkeys-lru", "appendonly": "no", "appendfsync": "everysec", "maxmemory": "1"}
    with server.client() as client:
        right = {name: client.config_get(name)[name] for name in wrong}
        for name, value in wrong.items():
            client.config_set(name, value)
        findings = look(found)
        for name, value in right.items():
            client.config_set(name, value)
    problems = texts(findings, "problem")
    assert "maxmemory-policy is allkeys-lru" in problems
    assert "appendonly is no" in problems
    assert "0 MiB used" in problems
    assert "appendfsync is everysec" in texts(findings, "warning")


def test_rights_that_are_missing_in_redis_are_named(found: dict[str, str], server: RedisServer) -> None:
    with server.client() as client:
        client.acl_setuser(
            "narrow", enabled=True, passwords=["+narrow"], keys=["*"], commands=["+@read", "+@connection"]
        )
    findings = look(found, BROKER_URL=f"redis://narrow:narrow@127.0.0.1:{server.port}/0")
    problems = texts(findings, "problem")
    assert "this user may not take messages from the queues (LMPOP)" in problems
    assert "this user may not keep results" in problems
    assert "maxmemory-policy could not be read" in texts(findings, "warning")
    assert "this user reaches every key there is" in texts(findings, "warning")
    assert "its role and memory (INFO) could not be found out" in texts(findings, "warning")
    wrong = look(found, BROKER_URL=f"redis://:wrong@127.0.0.1:{server.port}/0")
    assert "AuthenticationError" in texts(wrong, "problem")


def test_a_redis_without_a_password_is_open_to_anybody(found: dict[str, str], redis_server: RedisServer) -> None:
    findings = look(found, BROKER_URL=redis_server.new_database())
    assert "it lets in anybody" in texts(findings, "warning")
    assert "no maxmemory" in texts(findings, "warning")


def test_messages_that_wait_for_long_are_seen(found: dict[str, str], server: RedisServer) -> None:
    with Celery("client", broker=server.url(), set_as_current=False) as app:
        app.send_task("any", ["x" * 20_000], queue="history.upload", headers={"x-sent-at": time.time() - 300})
        app.send_task("any", queue="history.upload", headers={"x-sent-at": time.time()})
    findings = look(found)
    with server.client() as client:
        client.delete("history.upload")
    assert "2 messages wait, the oldest for 30" in texts(findings, "warning")


def test_a_bucket_that_is_open_to_anybody_is_a_problem(found: dict[str, str], minio_server: MinioServer) -> None:
    bucket = found[f"{NAMESPACE}S3_BUCKET"]
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": ["*"]},
        "Action": ["s3:GetObject", "s3:PutObject", "s3:ListBucket"],
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    minio_server.client().put_bucket_policy(Bucket=bucket, Policy=policy)
    problems = texts(look(found), "problem").splitlines()
    assert problems == [
        f"anybody without credentials may {act} in this bucket"
        for act in ("read objects", "list objects", "write objects")
    ]


def test_credentials_that_may_do_more_than_they_need_are_seen(found: dict[str, str], minio_server: MinioServer) -> None:
    minio_server.create_bucket()
    warnings = texts(look(found), "warning")
    assert "these credentials also read other buckets" in warnings
    assert "these credentials may delete buckets" in warnings
    assert "may write, though it should only read" in texts(look(found, is_read_only=True), "warning")


def test_rights_that_are_missing_in_the_store_are_named(found: dict[str, str], minio_server: MinioServer) -> None:
    with Proxy(minio_server.port) as proxy:
        proxy.write_answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%b" % (len(DENIED), DENIED)
        problems = texts(look(found, S3_ENDPOINT=f"http://127.0.0.1:{proxy.port}"), "problem")
    assert "may not write: PUT s3://" in problems
    assert "may not delete: DELETE s3://" in problems
    assert "AccessDenied (403)" in problems
    assert "may not read" not in problems


def test_a_bucket_or_a_broker_that_is_not_there_is_a_problem(found: dict[str, str]) -> None:
    assert 'there is no bucket "not-there"' in texts(look(found, S3_BUCKET="not-there"), "problem")
    nobody = f"127.0.0.1:{free_port()}"
    assert "ConnectionError" in texts(look(found, BROKER_URL=f"redis://{nobody}/0"), "problem")
    assert "OperationalError" in texts(look(found, BROKER_URL=f"amqp://{nobody}//"), "problem")
    assert "Sentinel's failover" in texts(look(found, BROKER_URL=f"sentinel://{nobody}/0"), "problem")


class Late(BaseHTTPRequestHandler):
    """A store an hour behind. No real one can be had without changing this machine's clock."""

    def do_GET(self) -> None:
        body = DENIED.replace(b"AccessDenied", b"RequestTimeTooSkewed")
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(time.time() - 3600)

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""


def test_a_store_whose_clock_is_wrong_is_a_problem(found: dict[str, str]) -> None:
    with HTTPServer(("127.0.0.1", 0), Late) as late:
        threading.Thread(target=late.serve_forever, daemon=True).start()
        problems = texts(look(found, S3_ENDPOINT=f"http://127.0.0.1:{late.server_port}"), "problem")
        late.shutdown()
    assert "s behind this machine's; 900 s are borne" in problems
    assert "RequestTimeTooSkewed" in problems


@pytest.mark.system
def test_rabbitmq_is_asked_too(found: dict[str, str], server: RedisServer, tmp_path: Path) -> None:
    rabbit = RabbitServer(tmp_path)
    rabbit.start()
    try:
        with Celery("client", broker=rabbit.url(), set_as_current=False) as app:
            app.send_task("any", queue="history.upload")
        findings = look(found, BROKER_URL=rabbit.url(), RESULT_URL=server.url(), REDIS_URL=server.url())
    finally:
        rabbit.stop()
    assert not texts(findings, "problem")
    assert "RabbitMQ" in texts(findings, "ok")
    assert "1 messages wait" in texts(findings, "ok")


def test_a_bucket_that_could_not_be_tried_by_anybody_is_not_called_closed(
    found: dict[str, str], minio_server: MinioServer
) -> None:
    busy = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with Proxy(minio_server.port) as proxy:
        proxy.refuse = lambda head: b"" if b"authorization:" in head.lower() else busy
        findings = look(found, S3_ENDPOINT=f"http://127.0.0.1:{proxy.port}")
    problems = texts(findings, "problem")
    for act in ("read objects", "list objects", "write objects"):
        assert f"whether anybody without credentials may {act} could not be found out" in problems
