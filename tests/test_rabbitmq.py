"""What is particular to RabbitMQ: what it drops by itself, what it has no count of, and what it can't be used with."""

import json
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import amqp
import pytest
from celery import Celery
from celery.result import AsyncResult

from broker_site import NAMESPACE, UPLOAD, UPLOADS, BrokerSite
from history_sink import Unavailable
from history_sink.transport.clock import BrokerClock
from stack.minio import MinioServer
from stack.processes import wait_until
from stack.proxy import Proxy
from stack.rabbitmq import RabbitServer
from stack.redis import RedisServer
from stack.worker import Worker
from test_tls import server_side

pytestmark = pytest.mark.system  # it wants Debian's rabbitmq-server

HERE = str(Path(__file__).parent / "support")
MESSAGE = {"role": "user", "content": "«naïve»"}
NewSite = Callable[..., BrokerSite]


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """RabbitMQ, running."""
    server = RabbitServer(tmp_path_factory.mktemp("rabbitmq"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def new_site(
    rabbit: RabbitServer, redis_server: RedisServer, minio_server: MinioServer, tmp_path: Path
) -> Callable[..., BrokerSite]:
    """A virtual host of its own, made with these options of `rabbitmqctl add_vhost`."""
    return lambda *options: BrokerSite(rabbit, redis_server, minio_server, tmp_path, options)


@pytest.fixture
def site(new_site: NewSite) -> BrokerSite:
    return new_site()


@pytest.fixture
def worker(site: BrokerSite) -> Iterator[Worker]:
    """On `site`, ready."""
    worker = site.worker()
    worker.start()
    yield worker
    worker.stop()


def test_queues_and_messages_outlive_a_restart(site: BrokerSite, rabbit: RabbitServer) -> None:
    with site.sink() as sink:
        assert sink.save("s", [MESSAGE]).state == "enqueued"
        site.upload("plain", MESSAGE)
        rabbit.process.kill()
        rabbit.start()
        assert site.count_waiting() == 2


def test_what_is_for_a_queue_that_somebody_has_deleted_is_not_enqueued_in_vain(
    site: BrokerSite, rabbit: RabbitServer
) -> None:
    """RabbitMQ would drop it, and confirm. The queue is declared anew, and what was in it is found to be missing."""
    with site.sink() as sink:
        sink.save("s", [MESSAGE])
        rabbit.control("delete_queue", "-p", site.url.rpartition("/")[2], UPLOADS)
        assert sink.save("s", [MESSAGE, MESSAGE]).state == "enqueued"
        assert site.count_waiting() == 1
        worker = site.worker()
        worker.start()
        try:
            assert sink.flush("s", 60)
            assert b"".join(sink.read("s")).count(b"\n") == 2
        finally:
            worker.stop()


def test_a_worker_consumes_anew_when_its_queue_was_deleted(
    site: BrokerSite, worker: Worker, rabbit: RabbitServer
) -> None:
    rabbit.control("delete_queue", "-p", site.url.rpartition("/")[2], UPLOADS)
    wait_until(lambda: "ConsumerCancelled" in worker.process.log(), timeout_seconds=10, what="the worker to notice")
    assert site.upload("s", MESSAGE).get(timeout=20)["outcome"] == "stored"


@pytest.mark.parametrize("ahead_seconds", [-1200, 1200])
def test_questions_go_by_the_clock_of_the_redis_that_has_the_answers(
    site: BrokerSite, worker: Worker, monkeypatch: pytest.MonkeyPatch, ahead_seconds: float
) -> None:
    shifted = partial(BrokerClock, lambda: time.time() + ahead_seconds)
    monkeypatch.setattr("history_sink.transport.broker.BrokerClock", shifted)
    with site.sink() as sink:
        assert sink.save("s", [MESSAGE]).clock_ahead_seconds == pytest.approx(ahead_seconds, abs=5)
        assert sink.flush("s", 30).state == "stored"


def test_without_redis_all_is_stored_and_it_is_said_what_there_is_not(site: BrokerSite) -> None:
    worker = site.worker(**{f"{NAMESPACE}RESULT_URL": "", f"{NAMESPACE}REDIS_URL": ""})
    worker.start()
    try:
        assert "no hints: each save costs a LIST" in worker.process.log()
        assert "resolve, status and list cannot answer" in worker.process.log()
        with site.sink(result_url=None) as sink:
            for end in range(1, 6):
                assert sink.save("s", [MESSAGE] * end).state == "enqueued"
            began = time.monotonic()
            assert not sink.flush("s", 30)  # nobody can tell
            assert time.monotonic() - began < 5
            with pytest.raises(Unavailable, match="RESULT_URL is not set"):
                sink.status("s")
        wait_until(lambda: len(site.keys("s/")) == 5, timeout_seconds=20, what="five objects")
    finally:
        worker.stop()


def test_results_by_rpc_reach_celery_s_own_clients(site: BrokerSite) -> None:
    """The library reads results from a Redis only: it looks at many with one request, and after a fork."""
    worker = site.worker(**{f"{NAMESPACE}RESULT_URL": "rpc://"})
    worker.start()
    client = Celery("client", broker=site.url, backend="rpc://", set_as_current=False)
    try:
        sent = client.send_task("history_sink.upload_history", ("s", [MESSAGE]), queue=UPLOADS)
        assert sent.get(timeout=20)["outcome"] == "stored"
        key = "history/s/history.jsonl"
        handle = {"bucket": site.bucket, "key": key, "byte_range": None}
        read = client.send_task("history_sink.resolve_pointer", (handle,), queue="history.read")
        assert read.get(timeout=20) == site.body(key)
    finally:
        client.close()
        worker.stop()


def test_a_client_of_plain_amqp_uploads_and_is_answered(site: BrokerSite, worker: Worker) -> None:
    """As examples/README.md has it for other languages: neither the library nor Celery has a hand in it."""
    del worker  # it has declared the queue
    url = urlsplit(site.url)
    address: dict[str, Any] = {"host": f"{url.hostname}:{url.port}", "userid": url.username, "password": url.password}
    properties = {
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "delivery_mode": 2,
        "correlation_id": "a-task-of-theirs",
        "application_headers": {"task": UPLOAD, "id": "a-task-of-theirs"},
    }
    with amqp.Connection(**address, virtual_host=url.path[1:], confirm_publish=True) as connection:
        message = amqp.Message(json.dumps([["theirs", [MESSAGE]], {}, {}]), **properties)
        connection.channel().basic_publish(message, routing_key=UPLOADS, mandatory=True)
    assert AsyncResult("a-task-of-theirs", app=site.client).get(timeout=20)["outcome"] == "stored"
    assert json.loads(site.body("history/theirs/history.jsonl")) == MESSAGE


def test_a_message_that_kills_its_process_each_time_is_buried(site: BrokerSite) -> None:
    path = os.pathsep.join([HERE, os.environ.get("PYTHONPATH", "")])
    worker = site.worker("prefork", "prefork", "--include", "deadly_tasks", PYTHONPATH=path)
    worker.start()
    try:
        sent = site.client.send_task("deadly", ("s",), queue=UPLOADS)
        letter = site.letter(sent.id)
        assert letter.reason == "it has killed its process 3 times"
        assert site.upload("s", MESSAGE).get(timeout=20)["outcome"] == "stored"
        wait_until(lambda: site.count_waiting() == 0, timeout_seconds=10, what="an empty queue")
    finally:
        worker.stop()


def test_a_message_that_kills_the_whole_worker_comes_back_each_time_and_is_never_lost(site: BrokerSite) -> None:
    path = os.pathsep.join([HERE, os.environ.get("PYTHONPATH", "")])
    worker = site.worker("threads", "threads", "--include", "deadly_tasks", PYTHONPATH=path)
    site.client.send_task("deadly", ("s",), queue=UPLOADS)
    for _ in range(3):
        worker.process.launch()
        worker.process.wait(timeout_seconds=60)
    wait_until(lambda: site.count_waiting() == 1, timeout_seconds=10, what="the message to be back")


def test_a_message_that_waits_for_longer_than_consumer_timeout_does_not_end_the_worker(
    site: BrokerSite, rabbit: RabbitServer
) -> None:
    rabbit.control("eval", "application:set_env(rabbit, consumer_timeout, 2000).")
    rabbit.control("eval", "application:set_env(rabbit, channel_tick_interval, 500).")
    worker = site.worker()
    worker.start()
    try:
        sent = site.upload("later", MESSAGE, countdown=8)
        wait_until(lambda: "PRECONDITION_FAILED" in worker.process.log(), timeout_seconds=20, what="a closed channel")
        assert sent.get(timeout=40)["outcome"] == "stored"
        assert worker.process.is_running
    finally:
        rabbit.control("eval", "application:set_env(rabbit, consumer_timeout, 1800000).")
        worker.stop()


def test_an_upload_that_expires_in_the_queue_is_kept_if_a_policy_says_so(
    site: BrokerSite, rabbit: RabbitServer
) -> None:
    """RabbitMQ drops it, by itself. The policy is that of docs/compatibility.md."""
    worker = site.worker()
    worker.start()
    worker.stop()  # the queues are there, and nobody takes from them
    site.upload("dropped", MESSAGE, expires=0.2)
    wait_until(lambda: site.count_waiting() == 0, timeout_seconds=10, what="the message to be dropped")
    policy = '{"dead-letter-exchange":"","dead-letter-routing-key":"history.maintenance"}'
    vhost = site.url.rpartition("/")[2]
    rabbit.control("set_policy", "-p", vhost, "--apply-to", "queues", "expired", r"^history\.upload$", policy)
    sent = site.upload("kept", MESSAGE, expires=0.2)
    wait_until(lambda: site.count_waiting("history.maintenance") == 1, timeout_seconds=10, what="it to be kept")
    worker.start()
    try:
        assert site.letter(sent.id).reason == "expired"
        site.command("dead", "replay", sent.id)
        site.expect_stored("kept", 1)
    finally:
        worker.stop()


@pytest.mark.parametrize("is_its_host", [True, False])
def test_tls_is_spoken_but_not_with_another_hosts_certificate(
    site: BrokerSite, rabbit: RabbitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_its_host: bool
) -> None:
    context = server_side(tmp_path, "IP:127.0.0.1" if is_its_host else "DNS:elsewhere.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    with Proxy(rabbit.port, tls=context) as proxy:
        url = site.url.replace(f":{rabbit.port}/", f":{proxy.port}/").replace("amqp://", "amqps://")
        worker = site.worker(**{f"{NAMESPACE}BROKER_URL": url})
        with site.sink(broker_url=url) as sink:
            receipt = sink.save("s", [MESSAGE])
            worker.process.launch()
            try:
                if is_its_host:
                    assert receipt.state == "enqueued"
                    assert sink.flush("s", 60)
                else:
                    assert "certificate" in (receipt.reason or "")
                    log = worker.process.log
                    wait_until(lambda: "certificate verify failed" in log(), timeout_seconds=30, what="a refusal")
            finally:
                worker.process.kill()


def test_a_worker_ends_and_says_why_if_the_queues_are_quorum_queues(new_site: NewSite) -> None:
    site = new_site("--default-queue-type", "quorum")
    worker = site.worker()
    worker.process.launch()
    assert worker.process.wait(timeout_seconds=60) != 0
    assert "quorum queues are not supported" in worker.process.log()
    assert "--default-queue-type classic" in worker.process.log()
