"""A broker of any kind, and around it what a save needs: a store that can be stopped, workers, clients."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from celery import Celery
from kombu import Connection

from forked_process import ForkedWorker
from history_sink import HistorySink
from history_sink_worker.dead import letter_format
from history_sink_worker.dead.letter_format import Letter
from stack.minio import MinioServer
from stack.processes import wait_until
from stack.rabbitmq import RabbitServer
from stack.redis import RedisServer
from stack.stack import environment as variables
from stack.worker import Worker

UPLOAD, UPLOADS = "history_sink.upload_history", "history.upload"
NAMESPACE = "CODETETHER_HISTORY_"


class BrokerSite:
    """`server` has the queues; `redis` has results and hints, and may be the same."""

    def __init__(
        self,
        server: RedisServer | RabbitServer,
        redis: RedisServer,
        minio: MinioServer,
        directory: Path,
        vhost_options: tuple[str, ...] = (),
    ) -> None:
        self.server, self.minio, self.directory = server, minio, directory
        self.result_url = redis.new_database()
        self.url = server.new_vhost(*vhost_options) if isinstance(server, RabbitServer) else self.result_url
        self.bucket, self.store = minio.create_bucket(), minio.client()
        self.environment = {
            **variables(minio, self.url, self.bucket),
            f"{NAMESPACE}RESULT_URL": self.result_url,
            f"{NAMESPACE}REDIS_URL": self.result_url,
            f"{NAMESPACE}IDLE_SECONDS": "600",
            f"{NAMESPACE}VISIBILITY_TIMEOUT_SECONDS": "4",
        }
        self.client = Celery("client", broker=self.url, backend=self.result_url, set_as_current=False)
        if isinstance(server, RabbitServer):
            self.client.conf.broker_transport_options = {"confirm_publish": True}

    def worker(self, name: str = "worker", pool: str = "threads", *arguments: str, **more: str) -> Worker:
        """One that is not started; `more` is laid over its environment."""
        environment = {key: value for key, value in {**self.environment, **more}.items() if value}
        log_path = self.directory / f"{name}.log"
        return ForkedWorker(environment, log_path=log_path, name=name, pool=pool, concurrency=2, arguments=arguments)

    def sink(self, **settings: Any) -> HistorySink:
        return HistorySink(**{"broker_url": self.url, "result_url": self.result_url, **settings})

    def upload(self, session: str, *messages: Any, **options: Any) -> Any:
        """As any program may, without the library. Returns Celery's result."""
        return self.client.send_task(UPLOAD, (session, list(messages)), queue=UPLOADS, **options)

    def put(self, body: bytes, headers: dict[str, Any]) -> None:
        """Any message, on the queue of uploads."""
        with Connection(self.url) as connection:
            connection.Producer().publish(
                body, routing_key=UPLOADS, headers=headers, content_type="application/json", content_encoding="binary"
            )

    def count_waiting(self, queue: str = UPLOADS) -> int:
        """How many messages are in a queue, and in no worker."""
        with Connection(self.url) as connection:
            channel: Any = connection.default_channel
            try:
                return int(channel.queue_declare(queue, passive=True).message_count)
            except connection.channel_errors:  # Redis has no empty queues
                return 0

    def purge(self) -> None:
        """Forget the uploads that wait."""
        with Connection(self.url) as connection:
            channel: Any = connection.default_channel
            channel.queue_purge(UPLOADS)

    def refuse(self) -> None:
        """From now on the broker takes no more messages: it is full."""
        if isinstance(self.server, RabbitServer):
            self.server.control("set_vm_memory_high_watermark", "absolute", "1")
        else:
            self.server.client().config_set("maxmemory", "1")

    def accept(self) -> None:
        """It takes them again."""
        if isinstance(self.server, RabbitServer):
            self.server.control("set_vm_memory_high_watermark", "0.4")
        else:
            self.server.client().config_set("maxmemory", "0")

    def keys(self, prefix: str) -> list[str]:
        pages = self.store.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=f"history/{prefix}")
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def body(self, key: str) -> bytes:
        return self.store.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def expect_stored(self, prefix: str, count: int, *, seconds: float = 40) -> None:
        """So many sessions, whole."""
        wait_until(lambda: len(self.keys(prefix)) >= count, timeout_seconds=seconds, what=f"{count} sessions {prefix}")
        assert all(json.loads(self.body(key)) for key in self.keys(prefix))

    def letter(self, task_id: str) -> Letter:
        """The only dead letter of a task."""

        def found() -> list[str]:
            return [key for key in self.keys(".dead/") if key.endswith(f"-{task_id}")]

        wait_until(lambda: bool(found()), timeout_seconds=40, what=f"a letter of {task_id}")
        (key,) = found()
        return letter_format.decode(self.body(key))

    def command(self, *arguments: str) -> str:
        """What ``history-sink-worker`` prints."""
        command = [sys.executable, "-m", "history_sink_worker.cli.main", *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, env=self.environment, input="y\n"
        )
        assert done.returncode == 0, done.stderr
        return done.stdout
