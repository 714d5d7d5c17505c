"""Workers whose store goes away, what they need, and a client without the library."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from celery import Celery

from forked_process import ForkedWorker
from stack.minio import MinioServer
from stack.processes import wait_until
from stack.redis import RedisServer
from stack.stack import environment as variables
from stack.worker import Worker

UPLOAD, RESOLVE, STATUS = "history_sink.upload_history", "history_sink.resolve_pointer", "history_sink.status"


class Site:
    """A worker or two, what they need, and a client without the library."""

    worker_type: type[Worker] = ForkedWorker

    def __init__(self, minio: MinioServer, redis: RedisServer, directory: Path, endpoint: str | None = None) -> None:
        self.minio, self.redis, self.directory = minio, redis, directory
        self.url, self.bucket = redis.new_database(), minio.create_bucket()
        self.environment = variables(minio, self.url, self.bucket)
        if endpoint:
            self.environment["CODETETHER_HISTORY_S3_ENDPOINT"] = endpoint
        self.client = Celery("client", broker=self.url, backend=self.url, set_as_current=False)
        self.workers: list[Worker] = []
        self.sent: list[str] = []
        """The task ids of the uploads."""

    def start_worker(self, pool: str = "threads", concurrency: int = 2, **options: Any) -> Worker:
        name = f"worker{len(self.workers)}"
        log_path = self.directory / f"{name}.log"
        worker = self.worker_type(
            self.environment, log_path=log_path, name=name, pool=pool, concurrency=concurrency, **options
        )
        self.workers.append(worker)
        worker.start()
        return worker

    def upload(self, count: int, size_bytes: int = 0, **options: Any) -> None:
        """Whole histories of a session each."""
        for number in range(len(self.sent), len(self.sent) + count):
            message = {"n": number, "text": "x" * size_bytes}
            sent = self.client.send_task(UPLOAD, (f"s{number}", [message]), queue="history.upload", **options)
            self.sent.append(sent.id)

    def upload_newer(self, size_bytes: int = 0, session: str = "newer") -> str:
        """What a later version of the library might send."""
        payload = {"v": 3, "lines": b"x" * size_bytes}
        sent = self.client.send_task(
            UPLOAD, (session, None), payload, queue="history.upload", serializer="msgpack", argsrepr="()", kwargsrepr=""
        )
        return str(sent.id)

    def upload_broken(self, size_bytes: int = 0) -> None:
        self.client.send_task(UPLOAD, ("broken", [{"text": "x" * size_bytes}, "no\nline"]), queue="history.upload")

    def ask(self, task: str, *args: Any) -> tuple[Any, float]:
        """The answer, or the error, and after how many seconds."""
        began = time.monotonic()
        result = self.client.send_task(task, args, queue="history.read", expires=30)
        answer: Any = None
        try:
            answer = result.get(timeout=30)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is asserted on
            answer = error
        return answer, time.monotonic() - began

    def read(self, number: int = 0) -> tuple[Any, float]:
        key = f"history/s{number}/history.jsonl"
        return self.ask(RESOLVE, {"bucket": self.bucket, "key": key, "byte_range": None})

    def stats(self, worker: Worker) -> dict[str, Any]:
        answer = self.client.control.inspect([worker.node], timeout=2).stats() or {}
        return dict(answer[worker.node])

    def queues(self, worker: Worker) -> list[str]:
        answer = self.client.control.inspect([worker.node], timeout=2).active_queues() or {}
        return sorted(queue["name"] for queue in answer[worker.node])

    def count_waiting(self) -> int:
        """How many uploads are in the queue, and in no worker."""
        with self.redis.client(self.url) as client:
            return int(client.llen("history.upload"))

    def count_taken(self) -> int:
        with self.redis.client(self.url) as client:
            return int(client.hlen("unacked"))

    def expect_waiting(self, count: int) -> None:
        def all_wait() -> bool:
            return (self.count_waiting(), self.count_taken()) == (count, 0)

        wait_until(all_wait, timeout_seconds=5, what=f"{count} uploads to be in the queue, and none in a worker")

    def find(self, state: str) -> list[str]:
        """The uploads in this state."""
        return [each for each in self.sent if self.client.backend.get_state(each) == state]

    def count_stored(self) -> int:
        return len(self.find("SUCCESS"))

    def expect_gate(self, event: str, worker: Worker | None = None, count: int = 1, *, seconds: float = 10) -> None:
        log = (worker or self.workers[0]).process.log
        wait_until(lambda: log().count(f'"event": "{event}') == count, timeout_seconds=seconds, what=f"{count} {event}")

    def measure_resumption(self, act: Callable[[], None]) -> float:
        """Seconds from when the store is back, `act`, to the first upload that it has after that."""
        before = self.count_stored()
        act()
        began = time.monotonic()
        wait_until(lambda: self.count_stored() > before, timeout_seconds=20, what="the first upload")
        return time.monotonic() - began

    def expect_all_stored(self) -> None:
        wait_until(lambda: self.count_stored() == len(self.sent), timeout_seconds=40, what="all to be stored")
        keys = (f"history/s{number}/history.jsonl" for number in range(len(self.sent)))
        found = [json.loads(self.minio.client().get_object(Bucket=self.bucket, Key=key)["Body"].read()) for key in keys]
        assert [each["n"] for each in found] == list(range(len(self.sent)))

    def stop(self) -> None:
        for worker in self.workers:
            worker.process.kill()


def rss_mb(worker: Worker) -> float:
    """Of the main process, which is the one that takes messages."""
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    assert found, "no such process"
    return int(found[1]) / 1024
