"""What holds with every broker: Redis 7.0, Valkey, RabbitMQ. docs/compatibility.md says where they differ."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from broker_site import UPLOAD, BrokerSite
from history_sink import Fault, HistorySink
from history_sink.protocol.lines import encode_line
from history_sink.transport.amqp_sender import CONFIRM_SECONDS
from stack.minio import MinioServer
from stack.processes import wait_until
from stack.proxy import Proxy
from stack.rabbitmq import RabbitServer
from stack.redis import RedisServer, find_server, find_valkey
from stack.worker import Worker

pytestmark = pytest.mark.system  # it wants Debian's servers

ABOUT_A_SECOND = 1.5  # on a busy machine


@pytest.fixture(scope="module", params=["redis", "valkey", "rabbitmq"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A broker of this module's own, as it is killed, paused and filled."""
    directory = tmp_path_factory.mktemp(request.param)
    server: RedisServer | RabbitServer
    if request.param == "rabbitmq":
        server = RabbitServer(directory)
    else:
        server = RedisServer(directory, program=find_valkey() if request.param == "valkey" else find_server())
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def site(
    server: Any, redis_server: RedisServer, minio_server: MinioServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BrokerSite]:
    del minio_server  # asked for only so that the program is built before a test's clock starts
    directory = tmp_path_factory.mktemp("site")
    minio = MinioServer(directory / "minio")
    minio.start()
    redis = server if isinstance(server, RedisServer) else redis_server
    yield BrokerSite(server, redis, minio, directory)
    minio.stop()


@pytest.fixture(scope="module")
def worker(site: BrokerSite) -> Iterator[Worker]:
    worker = site.worker()
    worker.start()
    yield worker
    worker.stop()


@pytest.fixture
def sink(site: BrokerSite) -> Iterator[HistorySink]:
    with site.sink() as sink:
        yield sink


@pytest.fixture(autouse=True)
def mended(site: BrokerSite, worker: Worker) -> Iterator[None]:
    """What one test has broken is not the next one's trouble."""
    yield
    for process, start in (
        (site.server.process, site.server.start),
        (site.minio.process, site.minio.start),
        (worker.process, worker.start),
    ):
        process.resume()
        if not process.is_running:
            start()


def talk(length: int, label: str = "m") -> list[Any]:
    return [{"role": "user", "content": f"{label} {number} «naïve» 😀"} for number in range(length)]


def lines(messages: list[Any]) -> bytes:
    return b"".join(encode_line(message).data for message in messages)


def test_what_goes_in_comes_back(sink: HistorySink) -> None:
    old, new = talk(9), [*talk(5), *talk(2, "other")]
    for end in range(1, 10):
        assert sink.save("whole", old[:end]).state == "enqueued"
    branch = sink.save("whole", new).branch
    assert branch
    assert sink.flush("whole")
    status = sink.status("whole")
    assert ([log.branch for log in status.logs], status.strays, status.pending) == ([None, branch], (), 0)
    assert b"".join(sink.read("whole")) == lines(new)
    key = "history/whole/history.jsonl"
    assert sink.resolve(type(sink.pointer("whole"))(status.bucket, key)) == lines(old)
    assert sink.resolve(sink.pointer("whole", messages=(2, 4))) == lines(new[2:4])
    assert "whole" in [each.session for each in sink.list_sessions().sessions]


def test_two_sinks_that_append_in_turn_are_on_one_log(site: BrokerSite, worker: Worker, sink: HistorySink) -> None:
    with site.sink() as other:
        for number in range(4):
            sink.append("shared", {"n": number, "by": "one"})
            other.append("shared", {"n": number, "by": "two"})
        assert sink.flush("shared", 60)
        assert other.flush("shared", 60)
        found = [json.loads(line) for line in b"".join(other.read("shared")).splitlines()]
        status = other.status("shared")
    for name in ("one", "two"):
        assert [each["n"] for each in found if each["by"] == name] == [0, 1, 2, 3]
    assert (len(found), len(status.logs), status.strays) == (8, 1, ())
    told = sink.append("shared", {"n": 9}, after=status.latest.end if status.latest else None, wait_seconds=60)
    assert getattr(told, "outcome", told) == "stored"


def test_any_program_may_upload_and_is_answered(site: BrokerSite) -> None:
    outcome = site.upload("plain", *talk(3)).get(timeout=20)
    assert (outcome["outcome"], outcome["messages"]) == ("stored", 3)
    assert site.body("history/plain/history.jsonl") == lines(talk(3))


def _revoked(site: BrokerSite) -> str:
    site.client.control.revoke("revoked", reply=True, timeout=10, limit=1)
    return str(site.upload("revoked", *talk(1), task_id="revoked").id)


def _undecodable(site: BrokerSite) -> str:
    site.put(b"\xff", {"task": UPLOAD, "id": "undecodable"})
    return "undecodable"


POISONS: dict[str, Callable[[BrokerSite], str]] = {
    "messages[0]: a line with a line break inside: give each line as a message of its own": lambda site: str(
        site.upload("poison", "no\nline").id
    ),
    "its task is unknown: no.such": lambda site: str(site.client.send_task("no.such", queue="history.upload").id),
    "its body cannot be decoded: DecodeError": _undecodable,
    "revoked": _revoked,
    "expired": lambda site: str(site.upload("expired", *talk(1), expires=3, countdown=4).id),
}


@pytest.mark.parametrize("reason", POISONS, ids=["impossible", "unknown", "undecodable", "revoked", "expired"])
def test_what_can_never_succeed_becomes_a_dead_letter_and_can_be_replayed(site: BrokerSite, reason: str) -> None:
    task_id = POISONS[reason](site)
    letter = site.letter(task_id)
    assert (letter.reason, letter.queue, letter.form) == (reason, "history.upload", "message")
    wait_until(
        lambda: site.client.AsyncResult(task_id).state == "FAILURE", timeout_seconds=10, what="the failure to be told"
    )
    site.command("dead", "replay", task_id)
    if reason in ("revoked", "expired"):
        site.expect_stored(reason, 1)
        wait_until(lambda: site.count_waiting() == 0, timeout_seconds=10, what="an empty queue")
    else:
        wait_until(lambda: site.letter(task_id).last > letter.last, timeout_seconds=20, what="the letter of the replay")
        site.command("dead", "drop", "--yes", task_id)


def test_an_upload_that_expires_while_workers_are_stopped_is_buried(site: BrokerSite, worker: Worker) -> None:
    worker.process.pause()
    sent = site.upload("late", *talk(1), expires=0.5)
    time.sleep(1)
    worker.process.resume()
    assert site.letter(sent.id).reason == "expired"


def test_uploads_wait_in_the_queue_while_the_store_is_away(site: BrokerSite, worker: Worker, sink: HistorySink) -> None:
    site.upload("before", *talk(1)).get(timeout=20)
    pointer, before = sink.pointer("before"), memory_bytes(worker)
    site.minio.process.kill()
    count = 1200
    for number in range(count):
        site.upload(f"away-{number}", {"text": "x" * 10_000})
    log = worker.process.log
    wait_until(lambda: "store away: uploads wait" in log(), timeout_seconds=20, what="the gate to shut")
    wait_until(lambda: site.count_waiting() == count, timeout_seconds=10, what="all to be in the queue")
    assert memory_bytes(worker) - before < 10 * 1024 * 1024
    answer = sink.resolve(pointer)
    assert isinstance(answer, Fault)
    assert answer.kind == "backend_error"
    site.minio.start()
    began = time.monotonic()
    wait_until(lambda: len(site.keys("away-")) > 0, timeout_seconds=20, what="the first upload")
    assert time.monotonic() - began < 2.5
    site.purge()


def memory_bytes(worker: Worker) -> int:
    pages = Path(f"/proc/{worker.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def test_what_a_killed_worker_had_in_hand_comes_back(site: BrokerSite, worker: Worker) -> None:
    site.upload("open", *talk(1)).get(timeout=20)  # the gate is, after an outage
    site.minio.process.pause()
    for number in range(10):
        site.upload(f"killed-{number}", *talk(1))
    wait_until(lambda: site.count_waiting() < 10, timeout_seconds=10, what="some to be in hand")
    worker.process.kill()
    site.minio.process.resume()
    worker.start()
    site.expect_stored("killed-", 10)


def test_a_broker_that_is_killed_comes_back_with_all_that_it_accepted(
    site: BrokerSite, worker: Worker, sink: HistorySink
) -> None:
    history = talk(4)
    sink.save("survivor", history)
    assert sink.flush("survivor")
    site.minio.process.pause()
    for number in range(10):
        site.upload(f"accepted-{number}", *talk(1))
    history += talk(2, "accepted")
    assert sink.save("survivor", history).state == "enqueued"
    wait_until(lambda: site.count_waiting() < 11, timeout_seconds=10, what="some to be in hand")
    site.server.process.kill()
    site.minio.process.resume()
    history += talk(2, "missed")
    start = time.monotonic()
    assert sink.save("survivor", history).state == "unreachable"
    assert time.monotonic() - start < ABOUT_A_SECOND
    site.server.start()
    site.expect_stored("accepted-", 10)
    assert sink.flush("survivor")
    assert b"".join(sink.read("survivor")) == lines(history)
    assert sink.status("survivor").strays == ()
    assert worker.process.is_running


@pytest.mark.parametrize("trouble", ["hangs", "is full"])
def test_a_save_does_not_wait_for_a_broker_that(site: BrokerSite, sink: HistorySink, trouble: str) -> None:
    session, history = f"trouble-{trouble[:2]}", talk(3)
    assert sink.save(session, history).state == "enqueued"
    (site.server.process.pause if trouble == "hangs" else site.refuse)()
    try:
        for number in range(4):  # what is sent meanwhile may be accepted later: an answer that is lost
            history += talk(1, f"more {number}")
            start = time.monotonic()
            assert sink.save(session, history).state == "unreachable"
            assert time.monotonic() - start < ABOUT_A_SECOND
            time.sleep(0.6)  # the breaker's pause
    finally:
        site.server.process.resume()
        site.accept()
    assert sink.flush(session)
    assert b"".join(sink.read(session)) == lines(history)
    assert sink.status(session).strays == ()


def test_a_long_line_gets_through_a_slow_link(site: BrokerSite) -> None:
    history = [*talk(1), {"text": os.urandom(700_000).hex()}]
    with Proxy(site.server.port, bytes_a_second=500_000) as link:
        slow = site.url.replace(f":{site.server.port}/", f":{link.port}/")
        with site.sink(broker_url=slow) as sink:
            assert sink.save("slow", history[:1]).state == "enqueued"
            start = time.monotonic()
            assert sink.save("slow", history).state == "enqueued"
            assert time.monotonic() - start > CONFIRM_SECONDS
            assert sink.flush("slow", 60)
            assert b"".join(sink.read("slow")) == lines(history)
