"""No word of a transcript in what a worker says of itself, at the most talkative level and whatever goes wrong."""

import base64
import json
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from kombu import Connection

from forked_process import ForkedWorker, operate
from history_sink import HistorySink
from stack.minio import MinioServer
from stack.processes import free_port, wait_until
from stack.redis import RedisServer
from stack.stack import environment as variables

CANARY = "canary-3f9c27e1d58b"
UPLOAD, UPLOADS, READS = "history_sink.upload_history", "history.upload", "history.read"
MESSAGE = {"role": "user", "content": [{"type": "text", "text": f"a word of {CANARY}"}]}


def disguises() -> list[str]:
    """The canary as it is, and within base64 at each of its three positions."""
    inner = [base64.b64encode(b"x" * shift + CANARY.encode())[4:20].decode() for shift in range(3)]
    return [CANARY, CANARY.encode().hex(), *inner]


class Talker:
    """A worker at DEBUG, with a store of its own."""

    def __init__(self, directory: Path, broker_url: str, pool: str) -> None:
        self.minio = MinioServer(directory / "minio")
        self.minio.start()
        self.port = free_port()
        environment = variables(self.minio, broker_url, self.minio.create_bucket())
        self.environment = {
            **environment,
            "CODETETHER_HISTORY_LOG_LEVEL": "DEBUG",
            "CODETETHER_HISTORY_HTTP_ADDRESS": str(self.port),
        }
        arguments = ["--loglevel", "DEBUG"]
        self.worker = ForkedWorker(
            self.environment, log_path=directory / "log", pool=pool, concurrency=2, arguments=arguments
        )
        self.url = broker_url
        self.client = Celery("client", broker=broker_url, backend=broker_url, set_as_current=False)

    def log(self) -> str:
        return self.worker.process.log()

    def wait_for(self, event: str, task_id: str) -> None:
        wait_until(
            lambda: any(event in line and task_id in line for line in self.log().splitlines()),
            timeout_seconds=30,
            what=f"{event!r} of {task_id}",
        )

    def send(self, name: str, *args: object, queue: str = UPLOADS, **options: object) -> str:
        return str(self.client.send_task(name, args, queue=queue, **options).id)  # type: ignore[arg-type]

    def put(self, body: bytes, task_id: str) -> None:
        """A message whose body is no task."""
        headers = {"task": UPLOAD, "id": task_id, "argsrepr": f"({CANARY},)"}
        with Connection(self.url) as connection:
            connection.Producer().publish(
                body, routing_key=UPLOADS, headers=headers, content_type="application/json", content_encoding="utf-8"
            )

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            text: str = answer.read().decode()
            return text

    def command(self, *arguments: str) -> str:
        ended = operate(self.environment, *arguments)
        return ended.stdout + ended.stderr


@pytest.fixture(params=["threads", "prefork"])
def talker(
    request: pytest.FixtureRequest, minio_server: MinioServer, redis_server: RedisServer, tmp_path: Path
) -> Iterator[Talker]:
    del minio_server  # only that its program is there
    talker = Talker(tmp_path, redis_server.new_database(), request.param)
    try:
        talker.worker.start()
        yield talker
    finally:
        talker.worker.stop()
        talker.minio.stop()


def test_no_word_of_a_transcript_is_said(talker: Talker) -> None:
    with HistorySink.from_env(talker.environment) as sink:
        sink.save("library", [MESSAGE] * 3)
        assert sink.flush("library")
        assert CANARY.encode() in b"".join(sink.read("library"))
        sink.save("library", [{**MESSAGE, "role": "undone"}])  # a branch
    talker.wait_for("task ended", talker.send(UPLOAD, "plain", [MESSAGE]))
    talker.wait_for("message buried", talker.send(UPLOAD, "refused", [MESSAGE, f"no\nline {CANARY}"]))
    talker.wait_for("message buried", talker.send(UPLOAD, CANARY + "\n", [MESSAGE]))
    talker.wait_for("message buried", talker.send("a.task.that.nobody.knows", f"a {CANARY}"))
    talker.wait_for("task ended", talker.send("history_sink.resolve_pointer", {"key": CANARY}, queue=READS))
    talker.wait_for("task ended", talker.send("history_sink.status", {CANARY: 1}, queue=READS))
    broken = str(uuid.uuid4())
    talker.put(f'[["broken", ["{CANARY}'.encode(), broken)
    talker.wait_for("message buried", broken)
    talker.minio.process.kill()
    talker.wait_for("retry", talker.send(UPLOAD, "waits", [MESSAGE]))
    away = talker.get("/live") + talker.command("doctor") + talker.command("health")
    talker.minio.start()
    said = away + talker.get("/metrics") + talker.command("doctor", "--json") + talker.log()
    assert '"level": "debug"' in said
    assert '"event": "store answered"' in said
    assert [found for found in disguises() if found in said] == []
    first = talker.log().index("\n{")  # before it, Celery may warn who runs as root
    assert all(json.loads(line)["event"] for line in talker.log()[first:].splitlines() if line)
