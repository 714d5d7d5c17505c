"""One worker with its queues and its dead letters, for the tests of those."""

import os
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from celery.result import AsyncResult
from kombu import Connection

from forked_process import ForkedWorker, operate
from history_sink_worker.dead import letter_format
from history_sink_worker.dead.letter_format import Letter
from stack.minio import MinioServer
from stack.processes import wait_until
from stack.stack import environment as variables
from stack.worker import Worker

UPLOAD, STATUS = "history_sink.upload_history", "history_sink.status"
UPLOADS, READS = "history.upload", "history.read"
# How often parked messages are looked for, and how soon a dead worker's messages come back.
QUICK = {"CODETETHER_HISTORY_IDLE_SECONDS": "1", "CODETETHER_HISTORY_VISIBILITY_TIMEOUT_SECONDS": "4"}


class Office:
    """One worker, its queues, and its dead letters."""

    def __init__(
        self, minio: MinioServer, broker_url: str, directory: Path, pool: str, endpoint: str | None = None
    ) -> None:
        """The worker reaches the store at `endpoint`, if that is not `minio` itself."""
        self.minio, self.url, self.pool, self.directory = minio, broker_url, pool, directory
        self.bucket, self.store = minio.create_bucket(), minio.client()
        self.environment = {**variables(minio, broker_url, self.bucket), **QUICK}
        self.environment["CODETETHER_HISTORY_S3_ENDPOINT"] = endpoint or minio.endpoint
        self.redis = redis.Redis.from_url(broker_url)
        self.app = Celery("client", broker=broker_url, backend=broker_url, set_as_current=False)
        self.worker = self.make_worker()

    def make_worker(self, *arguments: str, name: str = "worker", **more: str) -> Worker:
        """One that finds the modules of the tests."""
        here = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        return ForkedWorker(
            {**self.environment, "PYTHONPATH": here, **more},
            log_path=self.directory / f"{name}-{self.pool}.log",
            name=name,
            pool=self.pool,
            concurrency=2,
            arguments=arguments,
        )

    def send(self, task: str, *args: Any, queue: str = UPLOADS, **options: Any) -> AsyncResult[Any]:
        sent: AsyncResult[Any] = self.app.send_task(task, args, queue=queue, **options)
        return sent

    def put(self, body: bytes, headers: dict[str, Any], content_type: str = "application/json") -> None:
        """A message of any kind."""
        with Connection(self.url) as connection:
            connection.Producer().publish(
                body, routing_key=UPLOADS, headers=headers, content_type=content_type, content_encoding="binary"
            )

    def letter_keys(self) -> list[str]:
        page = self.store.list_objects_v2(Bucket=self.bucket, Prefix="history/.dead/")
        return [entry["Key"] for entry in page.get("Contents", ())]

    def letters(self, task_id: str = "") -> dict[str, Letter]:
        """By name: those of one task, or all."""
        found = {}
        for key in self.letter_keys():
            if key.endswith(f"-{task_id}") or not task_id:
                body = self.store.get_object(Bucket=self.bucket, Key=key)["Body"].read()
                found[key.rpartition("/")[2]] = letter_format.decode(body)
        return found

    def letter(self, task_id: str, *, but: str = "") -> Letter:
        """The only letter of a task, besides the one named `but`, and nothing of it left in Redis."""
        wait_until(lambda: bool(set(self.letters(task_id)) - {but}), timeout_seconds=15, what=f"a letter of {task_id}")
        self.wait_until_idle()
        (name,) = set(self.letters(task_id)) - {but}
        return self.letters(task_id)[name]

    def wait_until_idle(self) -> None:
        queues = (UPLOADS, READS, "history.maintenance")

        def is_idle() -> bool:
            return not self.redis.exists("unacked", "unacked.dead", *queues, *(f"{queue}.dead" for queue in queues))

        wait_until(is_idle, timeout_seconds=15, what="empty queues")

    def reason(self, sent: AsyncResult[Any]) -> str:
        """What the result backend tells of a task that was refused."""
        with pytest.raises(Exception) as caught:  # noqa: PT011  # a class that Celery makes up
            sent.get(timeout=10)
        return f"{type(caught.value).__name__}: {caught.value}"

    def stored(self, session: str) -> bytes:
        return self.store.get_object(Bucket=self.bucket, Key=f"history/{session}/history.jsonl")["Body"].read()

    def command(self, *arguments: str, status: int = 0, stdin: str = "") -> str:
        """What ``history-sink-worker dead`` prints."""
        ended = operate(self.environment, "dead", *arguments, answer=stdin)
        assert ended.returncode == status, ended.stderr
        return ended.stdout + ended.stderr
