"""All real parts: servers, proxies before them, workers and producers that are started again when they end."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis, RedisError

from history_sink.contract import MAINTENANCE_QUEUE, READ_QUEUE, UPLOAD_QUEUE
from stack.minio import MinioServer
from stack.processes import Process, wait_until
from stack.proxy import Proxy
from stack.redis import RedisServer
from stack.stack import environment, producer_environment
from torture.member import Member

ROOT = Path(__file__).parent.parent
BUCKET = "history"
SETTLE_SECONDS = 120.0
"""The workers' T. No worker is stopped for longer than an eighth of it."""

VISIBILITY_SECONDS = 3.0
_PRIORITIES = ("", "\x06\x163", "\x06\x166", "\x06\x169")  # kombu's lists of a queue
_QUEUES = (UPLOAD_QUEUE, READ_QUEUE, MAINTENANCE_QUEUE)
_POOLS = (("prefork", 2), ("threads", 4), ("threads", 4))
_SPARED = "spared"


@dataclass
class Scene:
    """What the adversary acts on. `directory` holds all data, logs and journals.

    `planted` are the ids of poisonous messages; `hit_claims` counts killed workers that had unacknowledged ones.
    """

    seed: int
    is_stock: bool
    is_short: bool
    directory: Path
    minio: MinioServer
    redis: RedisServer
    to_store: Proxy
    to_redis: Proxy
    producers_to_redis: Proxy
    workers: list[Member] = field(default_factory=list)
    producers: list[Member] = field(default_factory=list)
    began: float = field(default_factory=time.time)
    planted: set[str] = field(default_factory=set)
    hit_claims: int = 0

    @property
    def victims(self) -> list[Member]:
        """The workers that may be killed. One may be spared: so that it can be seen whether its memory is flat."""
        return [worker for worker in self.workers if worker.process.name != _SPARED]

    @property
    def members(self) -> list[Member]:
        return self.workers + self.producers

    @property
    def journals(self) -> list[Path]:
        return sorted(self.directory.glob("*.journal"))

    def tend(self) -> None:
        """Start again what has ended."""
        for member in self.members:
            member.tend()

    def wait(self, seconds: float) -> None:
        """Let time pass, tending."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.tend()
            time.sleep(min(left, 0.05))

    def client(self) -> Redis:
        """To Redis itself, past the proxies."""
        return Redis.from_url(self.redis.url(), socket_timeout=1, socket_connect_timeout=1, retry=None)

    def sink_environment(self) -> dict[str, str]:
        """Of a producer past the proxies."""
        return {**producer_environment(self.worker_environment()), "CODETETHER_HISTORY_S3_BUCKET": BUCKET}

    def worker_environment(self) -> dict[str, str]:
        """Of a worker past the proxies."""
        return environment(self.minio, self.redis.url(), BUCKET)

    def count_claims(self, pid: int | None = None) -> int:
        """Unacknowledged messages, all or those of one worker; -1 if Redis does not say."""
        try:
            with self.client() as client:
                claims: list[bytes] = client.hkeys("unacked")
        except RedisError:
            return -1
        start = f"claim-{pid}-".encode() if pid and not self.is_stock else b""
        return sum(claim.startswith(start) for claim in claims)

    def count_queued(self) -> int:
        """All messages that are not done with; -1 if Redis does not say."""
        try:
            with self.client() as client:
                lists = [queue + priority for queue in _QUEUES for priority in _PRIORITIES]
                waiting = sum(int(client.llen(name)) for name in lists)
                return waiting + int(client.hlen("unacked"))
        except RedisError:
            return -1

    def count_redis_restarts(self) -> int:
        """How often it came back from a kill and had read its data, by its own log."""
        return self.redis.process.log_path.read_bytes().count(b"Ready to accept connections") - 1

    def restart(self, server: MinioServer | RedisServer) -> None:
        """Start it if it does not run; it answers some time later."""
        if not server.process.is_running:
            server.process.kill()
            server.process.launch()

    def heal(self) -> None:
        """Everything runs and answers again; what has waited goes on waiting."""
        for proxy in (self.to_store, self.to_redis, self.producers_to_redis):
            proxy.is_holding, proxy.write_answer, proxy.cut_at, proxy.delay_seconds = False, b"", None, 0.0
        for server, is_back in ((self.minio, self.minio.is_healthy), (self.redis, self.redis.is_answering)):
            self.restart(server)
            server.process.resume()
            wait_until(is_back, timeout_seconds=60, what=f"{server.process.name} to be back")
        with self.client() as client:
            client.config_set("maxmemory", 0)
        for member in self.members:
            member.resume()
        self.tend()

    def end_producers(self) -> None:
        """As a supervisor ends them: each hands over what it has."""
        for member in self.producers:
            member.process.stop(timeout_seconds=10)
        self.producers = []

    def settle(self, patience_seconds: float, limit_seconds: float) -> tuple[int, float]:
        """Wait until nothing is queued or in flight any more; what is left, and how long it took.

        Ends before that if it has not become less for `patience_seconds`, or at the limit.
        """
        began = better_since = quiet_since = now = time.monotonic()
        left, least = -1, sys.maxsize
        while now - began < limit_seconds and now - better_since < patience_seconds:
            left, now = self.count_queued(), time.monotonic()
            if left != 0:
                quiet_since = now
            elif now - quiet_since > 2 * VISIBILITY_SECONDS:
                return 0, quiet_since - began
            if 0 < left < least:
                least, better_since = left, now
            self.wait(0.2)
        return left, now - began


@contextmanager
def open_scene(
    directory: Path, seed: int, *, workers: int, producers: int, spares: bool, is_stock: bool, is_short: bool
) -> Iterator[Scene]:
    """Start everything, if it `spares` one, a worker more; end everything behind the block, whatever happens in it."""
    with ExitStack() as running:
        minio, broker = MinioServer(directory / "minio"), RedisServer(directory / "redis")
        for server in (minio, broker):
            running.callback(server.process.kill)
            server.start()
        minio.create_bucket(BUCKET)
        proxies = [running.enter_context(Proxy(port)) for port in (minio.port, broker.port, broker.port)]
        to_store, to_redis, producers_to_redis = proxies
        scene = Scene(seed, is_stock, is_short, directory, minio, broker, to_store, to_redis, producers_to_redis)
        pools = [_POOLS[number % len(_POOLS)] for number in range(workers)]
        scene.workers = [
            _make_worker(scene, f"{pool}-{number}", pool, size) for number, (pool, size) in enumerate(pools)
        ]
        scene.workers += [_make_worker(scene, _SPARED, "threads", 4)] if spares else []
        scene.producers = [_make_producer(scene, number) for number in range(producers)]
        for member in scene.members:
            running.callback(member.process.kill)
        scene.tend()
        for worker in scene.workers:
            wait_until(lambda worker=worker: worker.is_ready, timeout_seconds=60, what=f"{worker.process.name} at work")  # type: ignore[misc]
        yield scene


def _make_worker(scene: Scene, name: str, pool: str, concurrency: int) -> Member:
    command = [sys.executable, "-m", "celery", "-A", "torture.worker_app", "worker", "--loglevel", "INFO"]
    command += ["-P", pool, "-c", str(concurrency), "-n", f"{name}@local"]
    variables = {
        **os.environ,
        **environment(scene.minio, _behind(scene.to_redis), BUCKET),
        "CODETETHER_HISTORY_S3_ENDPOINT": f"http://127.0.0.1:{scene.to_store.port}",
        "CODETETHER_HISTORY_SETTLE_SECONDS": str(SETTLE_SECONDS),
        "CODETETHER_HISTORY_IDLE_SECONDS": "4",
        "CODETETHER_HISTORY_VISIBILITY_TIMEOUT_SECONDS": str(VISIBILITY_SECONDS),
        "TRANSPORT": "stock" if scene.is_stock else "",
        "TORTURE_SPARED": "yes" if name == _SPARED else "",
    }
    return Member(_make_process(scene, name, command, variables), ready_mark=f"{name}@local ready")


def _make_producer(scene: Scene, number: int) -> Member:
    name = f"producer-{number}"
    journal = scene.directory / f"{name}.journal"
    command = [sys.executable, "-m", "torture.producer", name, str(scene.seed), str(journal), str(scene.began)]
    variables = {
        **os.environ,
        "CODETETHER_HISTORY_BROKER_URL": _behind(scene.producers_to_redis),
        "CODETETHER_HISTORY_S3_BUCKET": BUCKET,
    }
    return Member(_make_process(scene, name, command, variables))


def _behind(proxy: Proxy) -> str:
    return f"redis://127.0.0.1:{proxy.port}/0"


def _make_process(scene: Scene, name: str, command: list[str], variables: dict[str, str]) -> Process:
    return Process(name, command, log_path=scene.directory / f"{name}.log", environment=variables, directory=ROOT)
