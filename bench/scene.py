"""MinIO and Redis of one run, and the workers and relays that measures start: all end with it."""

import json
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import redis

from bench.naive import BUCKET as NAIVE_BUCKET
from history_sink import HistorySink
from history_sink.protocol.contract import MAINTENANCE_QUEUE, READ_QUEUE, UPLOAD_QUEUE
from stack.processes import Process, free_port, wait_until
from stack.stack import Stack
from stack.worker import RUN, Worker

FAR_MILLISECONDS = 20.0
"""How far away a store is that is not on the same board: a request's answer comes so much later."""

THREADS = 8

STOCK_APPS = {"naive": "bench.naive", "floor": "bench.floor"}


class RelayProcess:
    """See `bench.relay`."""

    def __init__(self, target_port: int, log_path: Path, milliseconds: float, kind: str) -> None:
        self.port, self._control_port = free_port(), free_port()
        command = [sys.executable, "-m", "bench.relay"]
        command += [*map(str, (self.port, self._control_port, target_port, milliseconds)), kind]
        self.process = Process("relay", command, log_path=log_path)

    def start(self) -> None:
        self.process.start(lambda: "ready" in self.process.log())

    def counts(self) -> "Counter[str]":
        """What went through since its start."""
        with socket.create_connection(("127.0.0.1", self._control_port), timeout=5) as control:
            text = b"".join(iter(lambda: control.recv(65536), b""))
        return Counter(json.loads(text))


@dataclass(frozen=True)
class Place:
    """A Redis database and a bucket of its own for a contestant, as variables for a worker."""

    environment: Mapping[str, str]
    bucket: str

    @property
    def broker_url(self) -> str:
        return self.environment["CODETETHER_HISTORY_BROKER_URL"]

    def changed(self, **settings: str) -> "Place":
        """The same, with other settings of the worker, in lower case and without their prefix."""
        changed = {f"CODETETHER_HISTORY_{name.upper()}": value for name, value in settings.items()}
        return Place({**self.environment, **changed}, self.bucket)

    def through(self, *, store_port: int | None = None, broker_port: int | None = None) -> "Place":
        """The same, with a relay before the store or the broker."""
        changed = dict(self.environment)
        if store_port:
            changed["CODETETHER_HISTORY_S3_ENDPOINT"] = f"http://127.0.0.1:{store_port}"
        if broker_port:
            database = self.broker_url.rpartition("/")[2]
            changed["CODETETHER_HISTORY_BROKER_URL"] = f"redis://127.0.0.1:{broker_port}/{database}"
        return Place(changed, self.bucket)


class Scene:
    """Use as a context. `directory` has logs and data, and goes away."""

    def __init__(self) -> None:
        self._names = count(1)

    def __enter__(self) -> "Scene":
        self._stack = ExitStack()
        self.stack = self._stack.enter_context(Stack())
        self.minio, self.redis = self.stack.minio, self.stack.redis
        self.minio.create_bucket(NAIVE_BUCKET)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def place(self) -> Place:
        """A new one."""
        bucket = self.minio.create_bucket()
        return Place(self.stack.environment(bucket), bucket).changed(log_level="WARNING")

    @contextmanager
    def workers(
        self,
        place: Place,
        number: int = 1,
        *,
        threads: int = THREADS,
        queues: Sequence[str] = (),
        way: Sequence[str] = RUN,
    ) -> Iterator[list[Worker]]:
        """Ours, each with so many threads, ready; they end with the block."""
        with ExitStack() as running:
            started = []
            for _ in range(number):
                name = f"worker-{next(self._names)}"
                log_path = self.stack.directory / f"{name}.log"
                worker = Worker(
                    place.environment, log_path=log_path, name=name, concurrency=threads, queues=queues, way=way
                )
                running.callback(worker.process.kill)  # its queue is nobody's any more: nothing is to be finished
                worker.start()
                started.append(worker)
            yield started

    @contextmanager
    def stock_worker(self, contestant: str, place: Place, *arguments: str, threads: int = THREADS) -> Iterator[Process]:
        """A contestant's, ready; it ends with the block."""
        name = f"{contestant}-{next(self._names)}"
        command = [sys.executable, "-m", "celery", "-A", STOCK_APPS[contestant], "worker"]
        command += ["-P", "threads", "-c", str(threads), "-n", f"{name}@local", "--loglevel", "INFO", *arguments]
        environment = {**os.environ, **self.stock_environment(place)}
        log_path = self.stack.directory / f"{name}.log"
        process = Process(name, command, log_path=log_path, environment=environment)
        try:
            process.start(lambda: f"{name}@local ready" in process.log())
            yield process
        finally:
            process.kill()

    def stock_environment(self, place: Place) -> dict[str, str]:
        """What Celery and boto3 read by themselves."""
        return {
            "CELERY_BROKER_URL": place.broker_url,
            "CELERY_RESULT_BACKEND": place.broker_url,
            "AWS_ENDPOINT_URL": place.environment["CODETETHER_HISTORY_S3_ENDPOINT"],
            "AWS_ACCESS_KEY_ID": self.minio.access_key,
            "AWS_SECRET_ACCESS_KEY": self.minio.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    @contextmanager
    def relay(self, target_port: int, milliseconds: float = 0.0, kind: str = "http") -> Iterator[RelayProcess]:
        """To a server; `kind` is ``http`` where S3 requests are to be counted."""
        relay = RelayProcess(target_port, self.stack.directory / f"relay-{next(self._names)}.log", milliseconds, kind)
        try:
            relay.start()
            yield relay
        finally:
            relay.process.kill()

    @contextmanager
    def sink(self, place: Place) -> Iterator[HistorySink]:
        """A producer in this process."""
        with HistorySink(broker_url=place.broker_url) as sink:
            yield sink

    def client(self, place: Place) -> redis.Redis:
        """Of the place's database, by the server's own port."""
        return self.redis.client(self.redis.url(int(place.broker_url.rpartition("/")[2])))

    def redis_bytes(self) -> int:
        """How much memory Redis has allocated."""
        information = self.redis.client().info("memory")
        assert isinstance(information, dict)
        return int(information["used_memory"])

    def objects(self, place: Place, prefix: str = "history/") -> list[tuple[str, int]]:
        """Keys and sizes in the place's bucket."""
        pages = self.minio.client().get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=prefix)
        return [(each["Key"], each["Size"]) for page in pages for each in page.get("Contents", ())]


def wait_until_idle(client: redis.Redis, queues: Sequence[str] = (), timeout_seconds: float = 300) -> float:
    """Return when nothing waits in the queues and nothing is unacknowledged; see `outcomes.wait_for_results`."""
    names = queues or (UPLOAD_QUEUE, READ_QUEUE, MAINTENANCE_QUEUE)

    def is_idle() -> bool:
        with client.pipeline(transaction=True) as pipe:
            for name in names:
                pipe.llen(name)
            pipe.hlen("unacked")
            return not any(pipe.execute())

    wait_until(is_idle, timeout_seconds=timeout_seconds, what="an empty queue")
    return time.perf_counter()
