"""The store away: uploads wait in the queue, reads are answered, and work goes on when it is back. Real servers."""

import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from stack.minio import MinioServer
from stack.processes import wait_until
from stack.proxy import Proxy
from stack.redis import RedisServer
from store_site import STATUS, Site

REFUSAL = b"HTTP/1.1 %d No\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_uploads_wait_in_the_queue_while_the_store_is_down_and_while_it_hangs(site: Site, pool: str) -> None:
    worker = site.start_worker(pool)
    site.upload(1)
    site.expect_all_stored()
    for count, end, back in ((1, site.minio.process.kill, site.minio.start), (2, *_pausing(site.minio))):
        end()
        site.upload(30)
        answer, seconds = site.read()
        assert answer["kind"] == "backend_error"
        assert seconds < 8  # the store hangs, and nobody knows yet
        site.expect_gate("store away: uploads wait", count=count)
        answer, seconds = site.read()
        assert re.search(r"s3://.* failed: Endpoint|no answer from the store", answer["reason"])
        assert seconds < 1
        answer, seconds = site.ask(STATUS, "s0")
        assert isinstance(answer, Exception)
        assert type(answer).__name__ == "Away"
        assert seconds < 1
        assert site.queues(worker) == ["history.read"]
        assert re.match(r"away for \d+ s, uploads wait: .*(refused|no answer)", site.stats(worker)["store"])
        # Two looks are not one: what is on its way from one to the other may be in both.
        wait_until(
            lambda: site.count_taken() <= 2 and site.count_waiting() + site.count_taken() == 30,
            timeout_seconds=10,
            what="30 uploads, next to all in the queue",
        )
        assert site.measure_resumption(back) < 2
        site.expect_all_stored()
        site.expect_gate("store back", count=count)
        assert site.stats(worker)["store"] == "here"
        assert site.stats(worker)["prefetch_count"] == 2
        assert site.read()[0] == b'{"n":0,"text":""}\n'
    assert worker.process.log().count("store away") == 2


def _pausing(minio: MinioServer) -> tuple[Callable[[], None], Callable[[], None]]:
    return minio.process.pause, minio.process.resume


def test_what_waited_for_its_time_in_the_worker_goes_back_to_the_queue(site: Site) -> None:
    site.start_worker()
    site.upload(1, countdown=3)
    wait_until(lambda: site.count_taken() == 1, timeout_seconds=5, what="the worker to keep it")
    site.minio.process.kill()
    site.upload(1)
    site.expect_gate("store away: uploads wait")
    site.expect_waiting(2)
    assert site.find("PENDING") == site.sent[:1]  # it was not tried
    site.minio.start()
    site.expect_all_stored()


def test_a_queue_that_an_operator_has_cancelled_meanwhile_stays_cancelled(site: Site) -> None:
    worker = site.start_worker()
    site.minio.process.kill()
    site.upload(1)
    site.expect_gate("store away: uploads wait")
    site.client.control.cancel_consumer("history.maintenance", destination=[worker.node], reply=True)
    site.minio.start()
    site.expect_all_stored()
    assert site.queues(worker) == ["history.read", "history.upload"]


def test_refused_credentials_are_denied_to_reads_and_waited_for(site: Site, running: ExitStack) -> None:
    worker = site.start_worker()
    site.upload(1)
    site.expect_all_stored()
    site.minio.stop()
    directory, port = site.minio.process.log_path.parent, site.minio.port
    changed = MinioServer(directory, port=port, secret_key="changed-by-somebody")
    running.callback(changed.stop)
    changed.start()
    site.upload(5)
    site.expect_gate("store away: uploads wait")
    wait_until(lambda: site.read()[0]["kind"] == "denied", timeout_seconds=5, what="a read to be denied")
    answer, seconds = site.read()
    assert seconds < 1
    assert "SignatureDoesNotMatch" in answer["reason"]
    site.expect_waiting(5)
    assert "SignatureDoesNotMatch" in site.stats(worker)["store"]
    changed.stop()
    assert site.measure_resumption(site.minio.start) < 2
    site.expect_all_stored()


@pytest.mark.parametrize(("code", "status"), [("XMinioStorageFull", 507), ("SlowDown", 503)])
def test_a_store_that_is_full_or_throttles_is_waited_for_and_read_from(
    own_minio: MinioServer, redis_server: RedisServer, tmp_path: Path, running: ExitStack, code: str, status: int
) -> None:
    proxy = running.enter_context(Proxy(own_minio.port))
    site = Site(own_minio, redis_server, tmp_path, f"http://127.0.0.1:{proxy.port}")
    running.callback(site.stop)
    worker = site.start_worker()
    site.upload(1)
    site.expect_all_stored()
    error = f"<Error><Code>{code}</Code></Error>".encode()
    proxy.write_answer = REFUSAL % (status, len(error), error)
    site.upload(10)
    site.expect_gate("store away: uploads wait")
    time.sleep(2)  # that more than one probe is refused
    answer, seconds = site.read()
    assert answer == b'{"n":0,"text":""}\n'
    assert seconds < 1
    site.expect_waiting(10)
    assert f"{code} ({status})" in site.stats(worker)["store"]

    def make_room() -> None:
        proxy.write_answer = b""

    assert site.measure_resumption(make_room) < 2
    site.expect_all_stored()
    assert worker.process.log().count("store away") == 1
    listed = own_minio.client().list_objects_v2(Bucket=site.bucket, Prefix="history/.probe/")
    assert listed["KeyCount"] == 0


def test_a_save_whose_answer_was_lost_is_found_to_be_there(
    own_minio: MinioServer, redis_server: RedisServer, tmp_path: Path, running: ExitStack
) -> None:
    proxy = running.enter_context(Proxy(own_minio.port))
    site = Site(own_minio, redis_server, tmp_path, f"http://127.0.0.1:{proxy.port}")
    running.callback(site.stop)
    site.start_worker()
    proxy.cut_at = b"ETag"
    site.upload(1)
    site.expect_all_stored()
    assert proxy.cut_at is None
    outcome = site.client.backend.get_result(site.sent[0])
    assert (outcome["outcome"], outcome["attempts"]) == ("duplicate", 2)
    listed = own_minio.client().list_objects_v2(Bucket=site.bucket, Prefix="history/s0/")
    assert [entry["Key"] for entry in listed["Contents"]] == ["history/s0/history.jsonl"]


def test_a_worker_that_reads_only_answers_soon_when_the_store_hangs_and_goes_on_taking(site: Site) -> None:
    worker = site.start_worker(queues=["history.read"])
    site.minio.process.pause()
    assert site.read()[1] < 8
    site.expect_gate("store away")
    for _ in range(3):
        answer, seconds = site.read()
        assert answer["kind"] == "backend_error"
        assert seconds < 1
    assert site.queues(worker) == ["history.read"]
    site.minio.process.resume()
    wait_until(lambda: site.read()[0] == {"kind": "no_match"}, timeout_seconds=5, what="an answer of the store's")


def test_a_worker_that_has_lost_its_broker_meanwhile_comes_back_without_taking_uploads(
    own_minio: MinioServer, tmp_path: Path, running: ExitStack
) -> None:
    redis = RedisServer(tmp_path / "redis")
    redis.start()
    running.callback(redis.stop)
    site = Site(own_minio, redis, tmp_path)
    running.callback(site.stop)
    worker = site.start_worker()
    own_minio.process.kill()
    site.upload(20)
    site.expect_gate("store away: uploads wait")
    site.expect_waiting(20)
    redis.process.kill()
    time.sleep(1)
    redis.start()
    wait_until(lambda: worker.process.log().count("Connected to redis") == 2, timeout_seconds=20, what="a reconnect")
    answer, seconds = site.read()
    assert answer["kind"] == "backend_error"
    assert seconds < 5
    assert site.queues(worker) == ["history.read"]
    site.expect_waiting(20)
    assert len(site.find("RETRY")) <= 2
    assert site.measure_resumption(own_minio.start) < 2
    site.expect_all_stored()
    assert worker.process.log().count("store away") == 1


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_what_was_in_hand_shows_as_a_retry_and_the_worker_ends_at_once_with_all_in_the_queue(
    site: Site, pool: str
) -> None:
    worker = site.start_worker(pool)
    site.minio.process.kill()
    site.upload(20)
    site.expect_gate("store away: uploads wait")
    site.expect_waiting(20)
    retried = site.find("RETRY")
    assert 1 <= len(retried) <= 2
    assert all("Connection refused" in str(site.client.backend.get_result(each)) for each in retried)
    assert len(site.find("PENDING")) == 20 - len(retried)
    began = time.monotonic()
    worker.stop()
    assert time.monotonic() - began < 5
    assert worker.process.exit_status == 0
    assert "Traceback" not in worker.process.log()
    assert (site.count_waiting(), site.count_taken()) == (20, 0)
    site.minio.start()
    site.start_worker()
    site.expect_all_stored()


def test_each_worker_minds_its_own_gate(site: Site) -> None:
    workers = [site.start_worker(), site.start_worker()]
    site.minio.process.kill()
    site.upload(30)
    for worker in workers:
        site.expect_gate("store away: uploads wait", worker)
    site.expect_waiting(30)
    assert site.measure_resumption(site.minio.start) < 2
    for worker in workers:
        site.expect_gate("store back", worker)
    site.expect_all_stored()
