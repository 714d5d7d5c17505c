"""MinIO and Redis together, and what a worker must know to find them."""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from stack.flower import Flower
from stack.minio import MinioServer
from stack.redis import RedisServer
from stack.s3_server import S3Server
from stack.worker import Worker

UNSAFE_TIMES = {"CODETETHER_HISTORY_ALLOW_UNSAFE_TIMES": "for tests"}
"""Has workers take times below which their promises do not hold: only where the test cannot wait."""


def environment(store: S3Server, broker_url: str, bucket: str) -> dict[str, str]:
    """The variables of a worker that archives into `bucket` what comes through `broker_url`.

    A producer needs `producer_environment` of them.
    """
    return {
        "CODETETHER_HISTORY_S3_ENDPOINT": store.endpoint,
        "CODETETHER_HISTORY_S3_BUCKET": bucket,
        "CODETETHER_HISTORY_S3_ACCESS_KEY": store.access_key,
        "CODETETHER_HISTORY_S3_SECRET_KEY": store.secret_key,
        "CODETETHER_HISTORY_BROKER_URL": broker_url,
    }


def producer_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The one variable that a producer needs: it holds no credential of the store."""
    return {"CODETETHER_HISTORY_BROKER_URL": environment["CODETETHER_HISTORY_BROKER_URL"]}


class Stack:
    """Both servers on free ports, with all data in `directory`, or one that goes away at the end.

    Workers and Flowers that it starts end with it.
    """

    minio: MinioServer
    redis: RedisServer

    def __init__(
        self,
        *,
        minio_port: int | None = None,
        console_port: int | None = None,
        redis_port: int | None = None,
        directory: Path | None = None,
    ) -> None:
        self._minio_port, self._console_port = minio_port, console_port
        self._redis_port = redis_port
        self._given_directory = directory
        self._running = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:  # ends what has started if the rest does not
            self.directory = self._given_directory or Path(
                starting.enter_context(tempfile.TemporaryDirectory(prefix="history-sink-", ignore_cleanup_errors=True))
            )
            self.minio = MinioServer(self.directory / "minio", port=self._minio_port, console_port=self._console_port)
            starting.callback(self.minio.stop)
            self.minio.start()
            self.redis = RedisServer(self.directory / "redis", port=self._redis_port)
            starting.callback(self.redis.stop)
            self.redis.start()
            self._running = starting.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._running.close()

    def environment(self, bucket: str | None = None) -> dict[str, str]:
        """A worker's variables, with a new Redis database and, without `bucket`, a new bucket."""
        bucket = bucket or self.minio.create_bucket()
        return environment(self.minio, self.redis.new_database(), bucket)

    def worker(self, environment: Mapping[str, str], name: str = "worker", queues: Sequence[str] = ()) -> Worker:
        """A worker that is ready; without `queues` it takes all but the search's."""
        worker = Worker(environment, name=name, log_path=self.directory / f"{name}.log", queues=queues)
        self._running.callback(worker.stop)
        worker.start()
        return worker

    def flower(self, environment: Mapping[str, str]) -> Flower:
        """A Flower that serves pages."""
        flower = Flower(environment, log_path=self.directory / "flower.log")
        self._running.callback(flower.stop)
        flower.start()
        return flower
