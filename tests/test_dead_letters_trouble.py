"""Dead letters when the store is away, hangs, refuses or loses an answer, and when workers are killed or replaced."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery.result import AsyncResult

from office import READS, STATUS, UPLOAD, UPLOADS, Office
from stack.minio import MinioServer
from stack.processes import wait_until
from stack.proxy import Proxy
from stack.redis import RedisServer

TOO_LARGE = (
    b"HTTP/1.1 413 Payload Too Large\r\nContent-Type: text/xml\r\nContent-Length: 45\r\nConnection: close\r\n\r\n"
    b"<Error><Code>EntityTooLarge</Code></Error>   "
)


@pytest.fixture(scope="module")
def proxy(own_minio: MinioServer) -> Iterator[Proxy]:
    with Proxy(own_minio.port) as proxy:
        yield proxy


@pytest.fixture(scope="module", params=["threads", "prefork"])
def office(
    request: pytest.FixtureRequest,
    own_minio: MinioServer,
    proxy: Proxy,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Office]:
    """One whose worker reaches the store through `proxy`."""
    broker, directory = redis_server.new_database(), tmp_path_factory.mktemp("office")
    office = Office(own_minio, broker, directory, request.param, f"http://127.0.0.1:{proxy.port}")
    office.worker.start()
    yield office
    office.worker.process.kill()


def send_poison(office: Office, count: int = 1) -> list[AsyncResult[object]]:
    return [office.send(UPLOAD, "s", ["no\nline"]) for _ in range(count)]


def in_redis(office: Office) -> int:
    return int(office.redis.llen(UPLOADS)) + int(office.redis.hlen("unacked"))


def test_nothing_is_acknowledged_before_its_letter_is_in_the_store(office: Office) -> None:
    office.minio.stop()
    sent = send_poison(office, 6)
    unknown = office.send("no.such.task", queue=READS)
    time.sleep(3)
    assert in_redis(office) + int(office.redis.llen(READS)) == 7
    with pytest.raises(Exception, match=r"PUT|LIST"):
        office.send(STATUS, "s", queue=READS).get(timeout=10)  # reads are answered meanwhile
    office.minio.start()
    for each in (*sent, unknown):
        office.letter(each.id)
    assert len(office.letter_keys()) == 7


def test_a_letter_whose_answer_was_lost_is_written_once(office: Office, proxy: Proxy) -> None:
    (sent,) = send_poison(office)
    office.letter(sent.id)
    proxy.cut_at = b"ETag"
    (sent,) = send_poison(office)
    office.letter(sent.id)
    assert proxy.cut_at is None


def test_what_the_store_refuses_for_ever_is_buried(office: Office, proxy: Proxy) -> None:
    proxy.write_answer = TOO_LARGE
    sent = office.send(UPLOAD, "large", [{"role": "user"}])
    wait_until(lambda: sent.state == "FAILURE", timeout_seconds=10, what="the upload to be refused")
    assert in_redis(office) == 1  # its letter is refused, too, for the time being
    proxy.write_answer = b""
    letter = office.letter(sent.id)
    assert letter.reason.startswith("PUT s3://")
    assert letter.reason.endswith("EntityTooLarge (413)")
    assert office.reason(sent) == f"Refused: {letter.reason}"
    office.command("replay", sent.id)
    office.wait_until_idle()
    assert office.stored("large") == b'{"role":"user"}\n'


@pytest.mark.parametrize("office", ["threads"], indirect=True)
def test_a_body_of_many_megabytes_is_buried_whole(office: Office) -> None:
    text = "x" * (34 * 1024 * 1024)
    sent = office.send(UPLOAD, "huge", [{"text": text}])
    letter = office.letter(sent.id)
    assert "are over the limit of" in letter.reason
    assert json.loads(letter.body)[0] == ["huge", [{"text": text}]]
    assert str(letter.size_bytes) in office.command("list")


@pytest.mark.parametrize("office", ["prefork"], indirect=True)  # threads know no limits
def test_a_task_over_its_time_limit_is_buried(office: Office, proxy: Proxy) -> None:
    proxy.is_holding = True
    sent = office.send(UPLOAD, "slow", [{"role": "user"}], time_limit=1)
    time.sleep(2)
    proxy.is_holding = False
    letter = office.letter(sent.id)
    assert letter.reason == "over its time limit of 1 s"
    assert office.reason(sent) == f"Refused: {letter.reason}"


def test_a_worker_killed_before_it_acknowledges_leaves_one_letter(office: Office, proxy: Proxy) -> None:
    proxy.delay_seconds = 0.5  # of the request, and then of the answer
    (sent,) = send_poison(office)
    wait_until(lambda: any(sent.id in key for key in office.letter_keys()), timeout_seconds=10, what="the letter")
    office.worker.process.kill()
    proxy.delay_seconds = 0
    assert sent.id in repr(office.redis.hvals("unacked")), "not acknowledged before it was killed"
    office.worker.start()
    office.letter(sent.id)
    assert len(office.letters(sent.id)) == 1


@pytest.mark.parametrize("office", ["prefork"], indirect=True)
def test_an_unknown_task_is_stored_once_a_worker_that_knows_it_gets_it_again(office: Office, tmp_path: Path) -> None:
    sent = office.send("history_sink.upload_v9", "later", [{"role": "user"}])
    assert office.letter(sent.id).reason == "its task is unknown: history_sink.upload_v9"
    office.worker.stop()
    newer = office.make_worker("--include", "later_tasks")
    newer.start()
    try:
        office.command("replay", "--all")
        office.wait_until_idle()
        assert office.stored("later") == b'{"role":"user"}\n'
        assert sent.get(timeout=10)["outcome"] == "stored"
    finally:
        newer.stop()
        office.worker.start()
