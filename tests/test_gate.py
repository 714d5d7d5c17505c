"""The store away: uploads wait in the queue, reads are answered, and work goes on when it is back.

What is decided, without a server; then real workers, Redis and MinIO.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from history_sink_worker.gate.gate import Finding, Gate
from history_sink_worker.gate.lookout import Lookout
from history_sink_worker.store import Away, Corrupt, Denied, Rejected, StoreError
from history_sink_worker.turnstile import Turnstile
from stack.minio import MinioServer
from stack.processes import wait_until
from stack.proxy import Proxy
from stack.redis import RedisServer
from stack.stack import environment as variables
from stack.worker import Worker

HERE = Finding()
AWAY = Away("PUT s3://b/k failed: SlowDown (503)")
UPLOAD, RESOLVE, STATUS = "history_sink.upload_history", "history_sink.resolve_pointer", "history_sink.status"
FULL = b"<Error><Code>XMinioStorageFull</Code></Error>"
FULL = b"HTTP/1.1 507 Full\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(FULL) + FULL


@pytest.mark.parametrize("error", [AWAY, Denied("no")])
def test_an_upload_that_the_store_keeps_out_shuts_the_gate_and_a_probe_opens_it(error: StoreError) -> None:
    gate = Gate()
    assert gate.meet(error, began_at=99, now=100)
    assert gate.reason is error
    assert gate.reading is None
    for finding in (Finding(AWAY, AWAY), HERE):
        gate.learn(finding, now=101)
        assert (gate.reason, gate.reading) == (finding.writing, finding.reading)
    assert gate.is_open


@pytest.mark.parametrize("error", [Corrupt("foreign"), Rejected("too large"), ValueError(), None])
def test_what_lies_in_one_upload_does_not_shut_it(error: object) -> None:
    gate = Gate()
    assert not gate.meet(error, began_at=99, now=100)
    assert gate.is_open


def test_a_full_store_keeps_uploads_waiting_and_reads_going() -> None:
    gate = Gate()
    gate.meet(AWAY, began_at=99, now=100)
    gate.learn(Finding(None, AWAY), now=101)
    assert (gate.reason, gate.reading) == (AWAY, None)


def test_an_error_from_before_it_opened_is_a_reason_to_look_and_no_more() -> None:
    gate = Gate()
    gate.meet(AWAY, began_at=99, now=100)
    gate.learn(HERE, now=110)
    assert gate.meet(AWAY, began_at=98, now=120)
    assert gate.is_open
    gate.learn(Finding(AWAY, AWAY), now=121)
    assert not gate.is_open


def test_a_store_that_lets_only_probes_through_is_left_alone_for_longer_and_longer() -> None:
    gate, now, pauses = Gate(), 100.0, []
    for _ in range(5):
        gate.meet(AWAY, began_at=now, now=now)
        shut_at = now
        while not gate.is_open:
            now += 0.5
            gate.learn(HERE, now)
        pauses.append(now - shut_at)
    assert pauses == [0.5, 1.0, 3.0, 5.0, 5.0]
    gate.meet(AWAY, began_at=now + 6, now=now + 6)
    gate.learn(HERE, now + 6.1)
    assert gate.is_open


def test_a_task_that_takes_long_is_a_reason_to_look_now_and_then() -> None:
    gate = Gate()
    assert [now for now in range(100, 120) if gate.suspect(now - 100, now)] == [102, 107, 112, 117]
    gate.meet(AWAY, began_at=120, now=121)
    assert not gate.suspect(60, now=140)


def test_a_probe_that_hangs_holds_up_none() -> None:
    begun, hangs, findings = list[float](), threading.Event(), list[Finding]()

    def look() -> Finding:
        begun.append(time.monotonic())
        if len(begun) == 1:
            hangs.wait(30)
        return HERE

    def learn(finding: Finding) -> bool:
        findings.append(finding)
        return finding != HERE

    Lookout(look, learn, lambda: 0.2).begin()
    wait_until(lambda: len(findings) == 2, timeout_seconds=5, what="the second probe")
    hangs.set()
    assert "no answer from the store within 0.2 s" in str(findings[0].reading)
    assert findings[1] == HERE
    assert begun[1] - begun[0] < 1.6


def test_whatever_a_probe_meets_is_a_finding_and_shows_no_content() -> None:
    findings = list[Finding]()

    def look() -> Finding:
        raise KeyError("a word")

    def learn(finding: Finding) -> bool:
        findings.append(finding)
        return False

    Lookout(look, learn, lambda: 5.0).begin()
    wait_until(lambda: bool(findings), timeout_seconds=5, what="a finding")
    assert re.fullmatch(r"a probe failed: KeyError at test_gate.py:\d+", str(findings[0].writing))


def test_who_waits_behind_a_save_that_met_the_store_away_need_not_find_out_too() -> None:
    turnstile, first_is_in = Turnstile(), threading.Event()

    def save(is_first: bool) -> None:
        with turnstile.turn("log"):
            first_is_in.set()
            wait_until(lambda: len(turnstile._lines["log"]) == 3, timeout_seconds=5, what="all to wait")
            assert is_first
            raise AWAY

    with ThreadPoolExecutor(3) as threads:
        saves = [threads.submit(save, True)]
        first_is_in.wait(5)
        saves += [threads.submit(save, False) for _ in range(2)]
        for each in saves:
            with pytest.raises(Away, match="SlowDown"):
                each.result(timeout=5)
    assert len(turnstile) == 0


class Site:
    """A worker or two, what they need, and a client without the library."""

    def __init__(self, minio: MinioServer, redis: RedisServer, directory: Path, endpoint: str | None = None) -> None:
        self.minio, self.redis, self.directory = minio, redis, directory
        self.url, self.bucket = redis.new_database(), minio.create_bucket()
        self.environment = variables(minio, self.url, self.bucket)
        if endpoint:
            self.environment["CODETETHER_HISTORY_S3_ENDPOINT"] = endpoint
        self.client = Celery("client", broker=self.url, backend=self.url, set_as_current=False)
        self.workers: list[Worker] = []
        self.sent: list[str] = []
        """The task ids of the uploads."""

    def start_worker(self, pool: str = "threads", concurrency: int = 2, **options: Any) -> Worker:
        name = f"worker{len(self.workers)}"
        quick = ["--without-mingle", "--without-gossip"]
        log_path = self.directory / f"{name}.log"
        worker = Worker(
            self.environment,
            log_path=log_path,
            name=name,
            pool=pool,
            concurrency=concurrency,
            arguments=quick,
            **options,
        )
        self.workers.append(worker)
        worker.start()
        return worker

    def upload(self, count: int, size_bytes: int = 0, **options: Any) -> None:
        """Whole histories of a session each."""
        for number in range(len(self.sent), len(self.sent) + count):
            message = {"n": number, "text": "x" * size_bytes}
            sent = self.client.send_task(UPLOAD, (f"s{number}", [message]), queue="history.upload", **options)
            self.sent.append(sent.id)

    def ask(self, task: str, *args: Any) -> tuple[Any, float]:
        """The answer, or the error, and after how many seconds."""
        began = time.monotonic()
        result = self.client.send_task(task, args, queue="history.read", expires=30)
        answer: Any = None
        try:
            answer = result.get(timeout=30)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is asserted on
            answer = error
        return answer, time.monotonic() - began

    def read(self, number: int = 0) -> tuple[Any, float]:
        key = f"history/s{number}/history.jsonl"
        return self.ask(RESOLVE, {"bucket": self.bucket, "key": key, "byte_range": None})

    def stats(self, worker: Worker) -> dict[str, Any]:
        answer = self.client.control.inspect([worker.node], timeout=2).stats() or {}
        return dict(answer[worker.node])

    def queues(self, worker: Worker) -> list[str]:
        answer = self.client.control.inspect([worker.node], timeout=2).active_queues() or {}
        return sorted(queue["name"] for queue in answer[worker.node])

    def count_waiting(self) -> int:
        """How many uploads are in the queue, and in no worker."""
        with self.redis.client(self.url) as client:
            return int(client.llen("history.upload"))

    def count_taken(self) -> int:
        with self.redis.client(self.url) as client:
            return int(client.hlen("unacked"))

    def expect_waiting(self, count: int) -> None:
        def all_wait() -> bool:
            return (self.count_waiting(), self.count_taken()) == (count, 0)

        wait_until(all_wait, timeout_seconds=5, what=f"{count} uploads to be in the queue, and none in a worker")

    def find(self, state: str) -> list[str]:
        """The uploads in this state."""
        return [each for each in self.sent if self.client.backend.get_state(each) == state]

    def count_stored(self) -> int:
        return len(self.find("SUCCESS"))

    def expect_gate(self, event: str, worker: Worker | None = None, count: int = 1, *, seconds: float = 10) -> None:
        log = (worker or self.workers[0]).process.log
        wait_until(lambda: log().count(f'"event": "{event}') == count, timeout_seconds=seconds, what=f"{count} {event}")

    def measure_resumption(self, act: Callable[[], None]) -> float:
        """Seconds from when the store is back, `act`, to the first upload that it has after that."""
        before = self.count_stored()
        act()
        began = time.monotonic()
        wait_until(lambda: self.count_stored() > before, timeout_seconds=20, what="the first upload")
        return time.monotonic() - began

    def expect_all_stored(self) -> None:
        wait_until(lambda: self.count_stored() == len(self.sent), timeout_seconds=40, what="all to be stored")
        keys = (f"history/s{number}/history.jsonl" for number in range(len(self.sent)))
        found = [json.loads(self.minio.client().get_object(Bucket=self.bucket, Key=key)["Body"].read()) for key in keys]
        assert [each["n"] for each in found] == list(range(len(self.sent)))

    def stop(self) -> None:
        for worker in self.workers:
            worker.process.kill()


@pytest.fixture(scope="module")
def minio(minio_server: MinioServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    """One of this module's own, as it is paused and stopped."""
    del minio_server  # asked for only so that the program is built before a test's clock starts
    server = MinioServer(tmp_path_factory.mktemp("minio"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def running(minio: MinioServer) -> Iterator[ExitStack]:
    with ExitStack() as running:
        yield running
    minio.process.resume()
    if not minio.process.is_running:
        minio.start()


@pytest.fixture
def site(minio: MinioServer, redis_server: RedisServer, tmp_path: Path, running: ExitStack) -> Site:
    site = Site(minio, redis_server, tmp_path)
    running.callback(site.stop)
    return site


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
        assert site.count_waiting() + site.count_taken() == 30
        assert site.count_taken() <= 2
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


def test_a_full_store_is_waited_for_and_read_from(
    minio: MinioServer, redis_server: RedisServer, tmp_path: Path, running: ExitStack
) -> None:
    proxy = running.enter_context(Proxy(minio.port))
    site = Site(minio, redis_server, tmp_path, f"http://127.0.0.1:{proxy.port}")
    running.callback(site.stop)
    worker = site.start_worker()
    site.upload(1)
    site.expect_all_stored()
    proxy.write_answer = FULL
    site.upload(10)
    site.expect_gate("store away: uploads wait")
    time.sleep(2)  # that more than one probe is refused
    answer, seconds = site.read()
    assert answer == b'{"n":0,"text":""}\n'
    assert seconds < 1
    site.expect_waiting(10)
    assert "XMinioStorageFull (507)" in site.stats(worker)["store"]

    def make_room() -> None:
        proxy.write_answer = b""

    assert site.measure_resumption(make_room) < 2
    site.expect_all_stored()
    assert worker.process.log().count("store away") == 1
    listed = minio.client().list_objects_v2(Bucket=site.bucket, Prefix="history/.probe/")
    assert listed["KeyCount"] == 0


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
    minio: MinioServer, tmp_path: Path, running: ExitStack
) -> None:
    redis = RedisServer(tmp_path / "redis")
    redis.start()
    running.callback(redis.stop)
    site = Site(minio, redis, tmp_path)
    running.callback(site.stop)
    worker = site.start_worker()
    minio.process.kill()
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
    assert site.measure_resumption(minio.start) < 2
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


_LONG = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    ("pool", "count"),
    [
        ("threads", 1_000),
        pytest.param("threads", 20_000, marks=_LONG),
        pytest.param("prefork", 20_000, marks=_LONG),
    ],
)
def test_memory_is_flat_however_many_uploads_wait(site: Site, pool: str, count: int) -> None:
    worker = site.start_worker(pool, concurrency=4)
    site.upload(20, size_bytes=10_000)
    site.expect_all_stored()
    before = _rss_mb(worker)
    site.minio.process.kill()
    site.upload(count, size_bytes=10_000)
    site.expect_gate("store away: uploads wait")
    most = before
    deadline = time.monotonic() + (3 if count == 1_000 else 30)
    while time.monotonic() < deadline:
        most = max(most, _rss_mb(worker))
        time.sleep(0.1)
    site.expect_waiting(count)
    print(f"{pool}, {count} waiting: {before:.1f} MB before, at most {most:.1f} MB")
    assert most - before <= 10


def _rss_mb(worker: Worker) -> float:
    """Of the main process, which is the one that takes messages."""
    with suppress(AttributeError):
        status = Path(f"/proc/{worker.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]
    raise AssertionError("no such process")
