"""What RabbitMQ itself forbids a tenant: all but to write to its own exchanges."""

from collections.abc import Callable, Iterator
from typing import Any

import amqp
import pytest
from kombu import Connection

from history_sink import Denied
from history_sink_worker.rights.redis_acl import name_tenant
from stack.minio import MinioServer
from stack.processes import wait_until
from tenant_site import ANN, BOB, TenantSite, running_site

pytestmark = pytest.mark.system  # it wants Debian's rabbitmq-server

HERS, HIS = "history.ann.upload", "history.bob.upload"


@pytest.fixture(scope="module")
def site(minio_server: MinioServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TenantSite]:
    with running_site(minio_server, tmp_path_factory.mktemp("tenants"), on_rabbitmq=True) as site:
        worker = site.worker()
        worker.start()
        try:
            yield site
        finally:
            worker.stop()


FORBIDDEN: dict[str, Callable[[Any], Any]] = {
    "consume from his queue": lambda channel: channel.basic_consume(HIS),
    "consume from her own": lambda channel: channel.basic_consume(HERS),
    "get from his queue": lambda channel: channel.basic_get(HIS),
    "get from her own": lambda channel: channel.basic_get(HERS),
    "purge his queue": lambda channel: channel.queue_purge(HIS),
    "delete his queue": lambda channel: channel.queue_delete(HIS),
    "delete her own queue": lambda channel: channel.queue_delete(HERS),
    "delete her own exchange": lambda channel: channel.exchange_delete(HERS),
    "declare her own queue": lambda channel: channel.queue_declare(HERS, durable=True, auto_delete=False),
    "declare a queue": lambda channel: channel.queue_declare("history.ann.more", durable=True),
    "declare an exchange": lambda channel: channel.exchange_declare("history.ann.more", "direct"),
    "bind her queue to his exchange": lambda channel: channel.queue_bind(HERS, HIS, HIS),
    "bind his queue to her exchange": lambda channel: channel.queue_bind(HIS, HERS, HERS),
    "bind her exchange to his": lambda channel: channel.exchange_bind(HERS, HIS, HIS),
    "publish to his exchange": lambda channel: publish(channel, HIS, HIS),
    "publish by the default exchange": lambda channel: publish(channel, "", HIS),
    "publish a word of control": lambda channel: publish(channel, "celery.pidbox", ""),
    "publish an event": lambda channel: publish(channel, "celeryev", "worker.x"),
    "publish to her own maintenance": lambda channel: publish(channel, "history.ann.maintenance", "x"),
}


def publish(channel: Any, exchange: str, key: str) -> None:
    channel.basic_publish_confirm(amqp.Message("planted"), exchange, key)


@pytest.mark.parametrize("what", FORBIDDEN)
def test_a_tenant_may_not(site: TenantSite, what: str) -> None:
    with Connection(site.broker_url(name_tenant(ANN))) as connection, pytest.raises(amqp.AccessRefused):
        FORBIDDEN[what](connection.default_channel)


def test_a_tenant_may_count_what_waits_in_anothers_queue(site: TenantSite) -> None:
    """RabbitMQ has no right for that: docs/tenants.md says so."""
    with Connection(site.broker_url(name_tenant(ANN))) as connection:
        channel: Any = connection.default_channel
        assert channel.queue_declare(HIS, passive=True).message_count == 0


def test_a_tenant_whose_worker_has_never_run_is_told_so(site: TenantSite) -> None:
    with site.sink(ANN) as sink:
        rabbit = site.rabbit
        assert rabbit is not None
        rabbit.control("delete_queue", "-p", site.vhost, HERS)
        receipt = sink.save("s", [{"n": 1}])
        # The worker declares it again as soon as it is told that it has gone.
        assert receipt.state in ("unreachable", "enqueued"), receipt
        wait_until(lambda: sink.save("s", [{"n": 1}]).state in ("enqueued", "unchanged"), timeout_seconds=30, what="it")
        assert sink.flush("s", 30)


def test_a_call_is_denied_each_time(site: TenantSite) -> None:
    with site.sink(ANN, BOB) as sink:
        for _ in range(2):
            with pytest.raises(Denied):
                sink.status("s")
    with site.sink(BOB) as sink:
        assert sink.status("s").logs == ()
