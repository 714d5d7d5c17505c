"""Starts all parts of the scene, and ends them."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from stack.minio import MinioServer
from stack.processes import Process, wait_until
from stack.proxy import Proxy
from stack.rabbitmq import RabbitServer
from stack.redis import RedisServer
from stack.stack import environment
from torture.member import Member
from torture.scene import BUCKET, SPARED, VISIBILITY_SECONDS, Scene, Server, queue_environment
from torture.searching import make_searcher

ROOT = Path(__file__).parent.parent
SETTLE_SECONDS = 120.0
"""The workers' T. No worker is stopped for longer than an eighth of it."""

_POOLS = (("prefork", 2), ("threads", 4), ("threads", 4))


@contextmanager
def open_scene(
    directory: Path, seed: int, *, workers: int, producers: int, spares: bool, transport: str, is_short: bool
) -> Iterator[Scene]:
    """Start everything, if it `spares` one, a worker more; end everything behind the block, whatever happens in it."""
    with ExitStack() as running:
        minio, redis = MinioServer(directory / "minio"), RedisServer(directory / "redis")
        rabbit = RabbitServer(directory / "rabbitmq") if transport == "rabbitmq" else None
        servers: list[Server] = [minio, redis, *([rabbit] if rabbit else [])]
        for server in servers:
            running.callback(server.stop)
            running.callback(server.process.kill)  # it may be stopped, and nothing in it is needed any more
            server.start()
        minio.create_bucket(BUCKET)
        to_redis, producers_to_redis = (running.enter_context(Proxy(redis.port)) for _ in range(2))
        to_broker, producers_to_broker = to_redis, producers_to_redis
        if rabbit:
            to_broker, producers_to_broker = (running.enter_context(Proxy(rabbit.port)) for _ in range(2))
        scene = Scene(
            seed,
            transport,
            is_short,
            directory,
            minio,
            redis,
            rabbit,
            to_store=running.enter_context(Proxy(minio.port)),
            to_redis=to_redis,
            to_broker=to_broker,
            producers_to_redis=producers_to_redis,
            producers_to_broker=producers_to_broker,
        )
        pools = [_POOLS[number % len(_POOLS)] for number in range(workers)]
        scene.workers = [
            _make_worker(scene, f"{pool}-{number}", pool, size) for number, (pool, size) in enumerate(pools)
        ]
        scene.workers += [_make_worker(scene, SPARED, "threads", 4)] if spares else []
        scene.searchers = [make_searcher(directory, _worker_variables(scene), ROOT)]
        scene.producers = [_make_producer(scene, number) for number in range(producers)]
        for member in scene.members:
            running.callback(member.process.kill)
        scene.tend()
        for worker in (*scene.workers, *scene.searchers):
            wait_until(lambda worker=worker: worker.is_ready, timeout_seconds=60, what=f"{worker.process.name} at work")  # type: ignore[misc]
        yield scene


def _make_worker(scene: Scene, name: str, pool: str, concurrency: int) -> Member:
    command = [sys.executable, "-m", "celery", "-A", "torture.worker_app", "worker", "--loglevel", "INFO"]
    command += ["-P", pool, "-c", str(concurrency), "-n", f"{name}@local"]
    variables = {**os.environ, **_worker_variables(scene), "TORTURE_SPARED": "yes" if name == SPARED else ""}
    return Member(_make_process(scene, name, command, variables), ready_mark=f"{name}@local ready")


def direct_variables(scene: Scene) -> dict[str, str]:
    """Of a worker past the proxies."""
    settings = environment(scene.minio, scene.broker.url(), BUCKET)
    return {**settings, **scene.sink_environment(), "CODETETHER_HISTORY_REDIS_URL": scene.redis.url()}


def _worker_variables(scene: Scene) -> dict[str, str]:
    return {
        **environment(scene.minio, scene.broker.url(), BUCKET),
        **queue_environment(_behind(scene.to_broker, scene.broker), _behind(scene.to_redis, scene.redis)),
        "CODETETHER_HISTORY_S3_ENDPOINT": f"http://127.0.0.1:{scene.to_store.port}",
        "CODETETHER_HISTORY_SETTLE_SECONDS": str(SETTLE_SECONDS),
        "CODETETHER_HISTORY_IDLE_SECONDS": "4",
        "CODETETHER_HISTORY_VISIBILITY_TIMEOUT_SECONDS": str(VISIBILITY_SECONDS),
        "CODETETHER_HISTORY_REDIS_URL": _behind(scene.to_redis, scene.redis),
        "TRANSPORT": scene.transport,
    }


def _make_producer(scene: Scene, number: int) -> Member:
    name = f"producer-{number}"
    journal = scene.directory / f"{name}.journal"
    command = [sys.executable, "-m", "torture.producer", name, str(scene.seed), str(journal), str(scene.began)]
    broker_url = _behind(scene.producers_to_broker, scene.broker)
    variables = queue_environment(broker_url, _behind(scene.producers_to_redis, scene.redis))
    return Member(_make_process(scene, name, command, {**os.environ, **variables}))


def _behind(proxy: Proxy, server: RedisServer | RabbitServer) -> str:
    return server.url().replace(f":{server.port}/", f":{proxy.port}/")


def _make_process(scene: Scene, name: str, command: list[str], variables: dict[str, str]) -> Process:
    return Process(name, command, log_path=scene.directory / f"{name}.log", environment=variables, directory=ROOT)
