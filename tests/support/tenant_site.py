"""Two tenants of one deployment, each with the rights that `acl --tenant` gives, and workers that serve both."""

import base64
import json
import shlex
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from kombu import Connection

from forked_process import ForkedWorker
from history_sink import HistorySink, ProducerSettings
from history_sink.protocol.contract import UPLOAD_QUEUE
from history_sink.protocol.tenants import queue_for
from history_sink_worker.dead.letter_format import Letter, decode
from history_sink_worker.rights import rabbit_permissions
from history_sink_worker.rights.redis_acl import FLOWER, USERS, WORKER, name_tenant, tenant_line, user_line
from stack.minio import MinioServer
from stack.rabbitmq import RabbitServer
from stack.redis import RedisServer
from stack.stack import environment as variables
from stack.worker import Worker

DATABASE = 3
ANN, BOB = TENANTS = ("ann", "bob")
NAMESPACE = "CODETETHER_HISTORY_"


def password_of(user: str) -> str:
    return f"password-of-{user}"


class TenantsRedis(RedisServer):
    """With a password for `default`, so that nobody is let in as everybody, and the users."""

    def _configuration(self, directory: Path, fsync: str) -> str:
        lines = [user_line(user, password_of(user), DATABASE, has_tenants=True) for user in (WORKER, FLOWER)]
        lines += [tenant_line(tenant, password_of(name_tenant(tenant))) for tenant in TENANTS]
        return super()._configuration(directory, fsync) + "\n".join(lines) + "\n"


class TenantSite:
    """`rabbit` None: Redis has the queues, too."""

    def __init__(self, server: RedisServer, rabbit: RabbitServer | None, minio: MinioServer, directory: Path) -> None:
        self.server, self.rabbit, self.minio, self.directory = server, rabbit, minio, directory
        self.bucket, self.store = minio.create_bucket(), minio.client()
        self.vhost = rabbit.new_vhost().rpartition("/")[2] if rabbit else ""
        if rabbit:
            self._make_rabbit_users(rabbit)
        self.environment = {
            **variables(minio, self.broker_url(WORKER), self.bucket),
            f"{NAMESPACE}RESULT_URL": self.redis_url(WORKER),
            f"{NAMESPACE}REDIS_URL": self.redis_url(WORKER),
            f"{NAMESPACE}TENANTS": ", ".join(TENANTS),
            f"{NAMESPACE}IDLE_SECONDS": "1",
            f"{NAMESPACE}VISIBILITY_TIMEOUT_SECONDS": "4",
        }

    def _make_rabbit_users(self, rabbit: RabbitServer) -> None:
        for line in rabbit_permissions.lines(self.vhost, USERS, TENANTS):
            _, *words = shlex.split(line)
            if words[0] == "add_user":
                words.append(password_of(words[1]))
            rabbit.control(*words)

    def redis_url(self, user: str) -> str:
        return f"redis://{user}:{password_of(user)}@127.0.0.1:{self.server.port}/{DATABASE}"

    def broker_url(self, user: str) -> str:
        if self.rabbit is None:
            return self.redis_url(user)
        return f"amqp://{user}:{password_of(user)}@127.0.0.1:{self.rabbit.port}/{self.vhost}"

    def client(self, user: str) -> redis.Redis:
        return redis.Redis.from_url(self.redis_url(user), socket_timeout=5, retry=None)

    def admin(self) -> redis.Redis:
        return self.server.client(self.server.url(DATABASE))

    def sink(self, credentials: str, tenant: str | None = "") -> HistorySink:
        """Of the producers of `credentials`, whose settings name `tenant` (default: the same)."""
        return self._make_sink(name_tenant(credentials), credentials if tenant == "" else tenant)

    def any_sink(self, tenant: str) -> HistorySink:
        """Of a tenant that has no user of its own: with the rights of a worker."""
        return self._make_sink(WORKER, tenant)

    def _make_sink(self, user: str, tenant: str | None) -> HistorySink:
        urls = self.broker_url(user), self.redis_url(user)
        return HistorySink(ProducerSettings(*urls, tenant=tenant, patience_seconds=2))

    def worker(
        self,
        name: str = "worker",
        more: Mapping[str, str] | None = None,
        *,
        pool: str = "threads",
        queues: tuple[str, ...] = (),
    ) -> Worker:
        """One that is not started; `more` is laid over its variables."""
        environment = {**self.environment, **{f"{NAMESPACE}{key}": value for key, value in (more or {}).items()}}
        log_path = self.directory / f"{name}.log"
        return ForkedWorker(environment, log_path=log_path, name=name, pool=pool, concurrency=2, queues=queues)

    def list_keys(self, prefix: str = "") -> list[str]:
        pages = self.store.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return sorted(entry["Key"] for page in pages for entry in page.get("Contents", ()))

    def letters(self, tenant: str) -> list[Letter]:
        """A tenant's dead letters."""
        keys = self.list_keys(f"history/{tenant}/.dead/")
        return [decode(self.store.get_object(Bucket=self.bucket, Key=key)["Body"].read()) for key in keys]

    def post(self, tenant: str, message: "TaskMessage") -> None:
        """Put a message on this tenant's queue of uploads, with its own credentials, and nothing that checks it."""
        queue, body = queue_for(UPLOAD_QUEUE, tenant), json.dumps(message.body).encode()
        if self.rabbit is None:
            with self.client(name_tenant(tenant)) as client:
                client.lpush(queue, json.dumps(_wrap(message, body)))
            return
        with Connection(self.broker_url(name_tenant(tenant))) as connection:
            connection.Producer().publish(
                body,
                exchange=queue,
                routing_key=queue,
                headers=message.headers,
                content_type="application/json",
                content_encoding="utf-8",
                **message.properties,
            )


@contextmanager
def running_site(minio: MinioServer, directory: Path, on_rabbitmq: bool = False) -> Iterator[TenantSite]:
    """One with servers of its own."""
    with ExitStack() as running:
        server = TenantsRedis(directory / "redis", password=password_of("default"))
        server.start()
        running.callback(server.stop)
        rabbit = RabbitServer(directory / "rabbitmq") if on_rabbitmq else None
        if rabbit:
            rabbit.start()
            running.callback(rabbit.stop)
        yield TenantSite(server, rabbit, minio, directory)


@dataclass
class TaskMessage:
    """As Celery's protocol 2 has it; `route` is what the sender claims to have sent it by."""

    headers: dict[str, Any]
    body: Any
    properties: dict[str, Any] = field(default_factory=dict)
    route: str = "history.upload"


def _wrap(message: TaskMessage, body: bytes) -> dict[str, Any]:
    return {
        "body": base64.b64encode(body).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": message.headers,
        "properties": {
            "body_encoding": "base64",
            "delivery_tag": "1",
            "delivery_info": {"exchange": "", "routing_key": message.route},
            **message.properties,
        },
    }
