"""All real parts: servers, proxies before them, workers and producers that are started again when they end."""

import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis, RedisError

from history_sink.protocol.contract import MAINTENANCE_QUEUE, READ_QUEUE, UPLOAD_QUEUE
from stack.minio import MinioServer
from stack.processes import wait_until
from stack.proxy import Proxy
from stack.rabbitmq import RabbitServer
from stack.redis import RedisServer
from torture.member import Member

BUCKET = "history"
VISIBILITY_SECONDS = 3.0
SPARED = "spared"
_PRIORITIES = ("", "\x06\x163", "\x06\x166", "\x06\x169")  # kombu's lists of a queue
_QUEUES = (UPLOAD_QUEUE, READ_QUEUE, MAINTENANCE_QUEUE)

Server = MinioServer | RedisServer | RabbitServer


@dataclass
class Scene:
    """What the adversary acts on. `directory` holds all data, logs and journals.

    Without `rabbit`, Redis is the broker, and a proxy to the broker is the one to Redis.
    `planted` are the ids of poisonous messages, `tried` those that may be there besides; `hit_claims` counts killed
    workers that had unacknowledged ones.
    """

    seed: int
    transport: str
    is_short: bool
    directory: Path
    minio: MinioServer
    redis: RedisServer
    rabbit: RabbitServer | None
    to_store: Proxy
    to_redis: Proxy
    to_broker: Proxy
    producers_to_redis: Proxy
    producers_to_broker: Proxy
    workers: list[Member] = field(default_factory=list)
    producers: list[Member] = field(default_factory=list)
    searchers: list[Member] = field(default_factory=list)
    began: float = field(default_factory=time.time)
    planted: set[str] = field(default_factory=set)
    tried: set[str] = field(default_factory=set)
    hit_claims: int = 0

    @property
    def broker(self) -> RedisServer | RabbitServer:
        return self.rabbit or self.redis

    @property
    def victims(self) -> list[Member]:
        """The workers that may be killed. One may be spared: so that it can be seen whether its memory is flat."""
        return [worker for worker in self.workers if worker.process.name != SPARED]

    @property
    def members(self) -> list[Member]:
        return self.workers + self.producers + self.searchers

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
        return queue_environment(self.broker.url(), self.redis.url())

    def count_claims(self, pid: int | None = None) -> int:
        """Unacknowledged messages, all or those of one worker; -1 if Redis does not say."""
        try:
            with self.client() as client:
                claims: list[bytes] = client.hkeys("unacked")
        except RedisError:
            return -1
        start = f"claim-{pid}-".encode() if pid and self.transport == "ours" else b""
        return sum(claim.startswith(start) for claim in claims)

    def count_queued(self) -> int:
        """All messages that are not done with; -1 if the broker does not say."""
        if self.rabbit:
            return _count_messages(self.rabbit)
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

    def restart(self, server: Server) -> None:
        """Start it if it does not run; it answers some time later."""
        if not server.process.is_running:
            server.process.kill()
            server.process.launch()

    def heal(self) -> None:
        """Everything runs and answers again; what has waited goes on waiting."""
        for proxy in (
            self.to_store,
            self.to_redis,
            self.to_broker,
            self.producers_to_redis,
            self.producers_to_broker,
        ):
            proxy.is_holding, proxy.write_answer, proxy.cut_at, proxy.delay_seconds = False, b"", None, 0.0
        for server in (self.minio, self.redis, self.broker):
            self.restart(server)
            server.process.resume()
            is_back = server.is_healthy if isinstance(server, MinioServer) else server.is_answering
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


def queue_environment(broker_url: str, result_url: str) -> dict[str, str]:
    """What a producer is told, and a worker besides."""
    return {
        "CODETETHER_HISTORY_BROKER_URL": broker_url,
        "CODETETHER_HISTORY_RESULT_URL": result_url,
        "CODETETHER_HISTORY_S3_BUCKET": BUCKET,
    }


def _count_messages(rabbit: RabbitServer) -> int:
    try:
        lines = rabbit.control("list_queues", "name", "messages", "--no-table-headers").splitlines()
    except (RuntimeError, subprocess.SubprocessError):  # it is down, or does not answer
        return -1
    counts = dict(line.split("\t") for line in lines)
    return sum(int(counts.get(queue, 0)) for queue in _QUEUES)
