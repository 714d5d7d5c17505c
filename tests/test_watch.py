"""What a worker says of itself while its servers come and go: an orchestrator's and Prometheus' view."""

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from prometheus_client.parser import text_string_to_metric_families

from forked_process import ForkedWorker, operate
from history_sink import Fault, HistorySink
from operations import expressions, metrics_of
from stack.minio import MinioServer
from stack.processes import NotReady, free_port, port_is_free, wait_until
from stack.rabbitmq import RabbitServer
from stack.redis import RedisServer
from stack.stack import environment as variables

HTTP_ADDRESS = "CODETETHER_HISTORY_HTTP_ADDRESS"
SESSION = "a-session-5d2c"
UPLOAD = "history_sink.upload_history"


class Watched:
    """A worker with servers of its own, that may be stopped."""

    def __init__(self, directory: Path, pool: str, queues: Sequence[str] = ()) -> None:
        self.minio, self.redis = MinioServer(directory / "minio"), RedisServer(directory / "redis")
        self.minio.start()
        self.redis.start()
        self.port = free_port()
        environment = variables(self.minio, self.redis.url(), self.minio.create_bucket())
        home = str(directory / "index")
        self.environment = {**environment, HTTP_ADDRESS: str(self.port), "CODETETHER_HISTORY_SEARCH_DIR": home}
        self.worker = ForkedWorker(
            self.environment, log_path=directory / "worker.log", pool=pool, concurrency=2, queues=queues
        )
        self.process = self.worker.process
        self.client = Celery("client", broker=self.redis.url(), backend=self.redis.url(), set_as_current=False)

    def stop(self) -> None:
        self.redis.process.resume()
        for each in (self.worker, self.minio, self.redis):
            each.stop()

    def get(self, path: str, port: int | None = None) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port or self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def ready(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.get("/ready")[1])
        return said

    def wait_for(self, reason: str) -> None:
        """Until it is not ready, for that reason, and live all the same."""
        wait_until(lambda: reason in str(self.ready()["reasons"]), timeout_seconds=20, what=f"{reason!r} in /ready")
        assert self.get("/ready")[0] == 503
        assert self.get("/live")[0] == 200

    def wait_until_ready(self) -> None:
        wait_until(lambda: self.get("/ready")[0] == 200, timeout_seconds=30, what="a worker that is ready")

    def samples(self) -> dict[tuple[str, tuple[str, ...]], float]:
        """What is measured, by name and values of labels."""
        families = text_string_to_metric_families(self.get("/metrics")[1])
        return {(each.name, tuple(each.labels.values())): each.value for family in families for each in family.samples}

    def sample(self, name: str, *labels: str) -> float | None:
        """By the values of its labels, in any order."""
        found = self.samples()
        return next((value for (key, has), value in found.items() if key == name and set(has) == set(labels)), None)

    def wait_for_sample(self, name: str, *labels: str, at_least: float) -> None:
        def is_there() -> bool:
            value = self.sample(name, *labels)
            return value is not None and value >= at_least

        wait_until(is_there, timeout_seconds=25, what=f"{name} of {at_least} or more")

    def command(self, *arguments: str, **more: str) -> tuple[int, str]:
        ended = operate({**self.environment, **more}, *arguments)
        return ended.returncode, ended.stdout + ended.stderr


@contextmanager
def watching(directory: Path, pool: str, queues: Sequence[str] = ()) -> Iterator[Watched]:
    started = Watched(directory, pool, queues)
    try:
        started.worker.start()
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, minio_server: MinioServer) -> Iterator[Watched]:
    del minio_server  # only that its program is there
    with watching(tmp_path_factory.mktemp("watched"), "threads") as started:
        yield started


@pytest.fixture(scope="module")
def prefork(tmp_path_factory: pytest.TempPathFactory, minio_server: MinioServer) -> Iterator[Watched]:
    del minio_server
    queues = ["history.upload", "history.read", "history.maintenance", "history.search"]
    with watching(tmp_path_factory.mktemp("prefork"), "prefork", queues) as started:
        yield started


def test_a_worker_is_live_and_ready(watched: Watched) -> None:
    assert watched.get("/live")[0] == 200
    assert watched.ready() == {"live": True, "ready": True, "lagging": False, "reasons": [], "notes": []}
    assert watched.get("/else")[0] == 404
    assert watched.command("health", "--ready") == (0, "live, ready\n")


@pytest.mark.servers
@pytest.mark.parametrize("pool", ["watched", "prefork"])
def test_what_the_pool_does_is_counted_whatever_process_does_it(pool: str, request: pytest.FixtureRequest) -> None:
    watched: Watched = request.getfixturevalue(pool)
    with HistorySink.from_env(watched.environment) as sink:
        for count in range(1, 6):
            sink.save(SESSION, [{"role": "user", "n": number} for number in range(count)])
            assert sink.flush(SESSION)  # two processes at once might overtake each other: pending
        whole = b"".join(sink.read(SESSION))
    watched.wait_for_sample("history_sink_read_bytes_total", at_least=len(whole))
    found = {name: watched.sample(*name) for name in (
        ("history_sink_tasks_total", "upload_history", "stored"),
        ("history_sink_task_seconds_count", "upload_history"),
        ("history_sink_upload_bytes_total", "stored"),
        ("history_sink_upload_lag_seconds_count",),
        ("history_sink_lost_measurements_total",),
    )}  # fmt: skip
    assert list(found.values()) == [5, 5, len(whole), 5, 0]
    puts = watched.sample("history_sink_store_requests_total", "PutObject", "200")
    assert puts is not None
    assert puts >= 5
    assert (watched.sample("process_resident_memory_bytes") or 0) > 10e6
    if pool == "prefork":
        watched.wait_for_sample("history_sink_pool_resident_memory_bytes", at_least=20e6)


def test_a_task_leads_to_the_stores_request(watched: Watched) -> None:
    with HistorySink.from_env(watched.environment) as sink:
        receipt = sink.save("traced", [{"role": "user"}])
    task_id, log = receipt.task_ids[0], watched.process.log
    wait_until(lambda: f'"task ended", "task": "{UPLOAD}", "id": "{task_id}"' in log(), timeout_seconds=10, what="it")
    ended = next(json.loads(line) for line in log().splitlines() if "task ended" in line and task_id in line)
    assert ended["store_requests"] == 1
    operation, code, request_id = ended["store"][0].split(" ")
    assert (operation, code) == ("PutObject", "200")
    assert len(request_id) == 16  # MinIO's


def test_no_label_holds_an_id(watched: Watched) -> None:
    text = watched.get("/metrics")[1]
    assert SESSION not in text
    assert watched.environment["CODETETHER_HISTORY_S3_BUCKET"] not in text
    assert "_created" not in text


def test_while_the_store_is_away_it_is_live_and_says_what_waits(watched: Watched) -> None:
    pauses = watched.sample("history_sink_pauses_total") or 0.0
    watched.minio.process.kill()
    with HistorySink.from_env(watched.environment) as sink:
        for number in range(4):
            sink.save(f"{SESSION}-{number}", [{"role": "user"}])
    watched.wait_for("store away, uploads wait in the queue")
    assert "Connection refused" in str(watched.ready())
    status, line = watched.command("health")
    assert status == 0
    assert line.startswith("live, not ready; store away, uploads wait")
    assert watched.command("health", "--ready")[0] == 1
    assert watched.sample("history_sink_pauses_total") == pauses + 1
    assert watched.sample("history_sink_paused") == 1
    # What waits is seen, and how long it has.
    watched.wait_for_sample("history_sink_queue_messages", "history.upload", at_least=1)
    watched.wait_for_sample("history_sink_queue_oldest_age_seconds", "history.upload", at_least=1)
    watched.minio.start()
    watched.wait_until_ready()
    watched.wait_for_sample("history_sink_tasks_total", "upload_history", "retry", at_least=1)
    assert watched.sample("history_sink_paused") == 0


def test_who_has_nothing_to_do_notices_that_the_store_is_away(watched: Watched) -> None:
    watched.minio.process.kill()
    # It asks the store once a minute, and when the broker has come back.
    watched.redis.process.kill()
    watched.wait_for("broker away")
    watched.redis.start()
    watched.wait_for("store away, uploads wait in the queue")
    watched.minio.start()
    watched.wait_until_ready()


@pytest.mark.parametrize("queue", ["history.read", "history.maintenance"])
def test_who_takes_no_uploads_does_not_say_whether_they_wait(watched: Watched, tmp_path: Path, queue: str) -> None:
    port = free_port()
    environment = {**watched.environment, HTTP_ADDRESS: str(port)}
    worker = ForkedWorker(environment, log_path=tmp_path / "worker.log", name="other", queues=[queue])
    try:
        worker.start()
        text = watched.get("/metrics", port)[1]
    finally:
        worker.stop()
    assert "history_sink_ready 1.0" in text
    assert "history_sink_paused " not in text
    assert "history_sink_paused " in watched.get("/metrics")[1]


def test_preforks_pauses_are_counted_once(prefork: Watched) -> None:
    prefork.minio.process.kill()
    for number in range(4):
        prefork.client.send_task(UPLOAD, (f"paused-{number}", [{}]), queue="history.upload")
    prefork.wait_for("store away, uploads wait in the queue")
    assert prefork.sample("history_sink_pauses_total") == 1
    prefork.minio.start()
    prefork.wait_until_ready()
    prefork.wait_for_sample("history_sink_tasks_total", "upload_history", "retry", at_least=1)


def test_a_redis_that_may_forget_is_told_of_and_used_all_the_same(watched: Watched, tmp_path: Path) -> None:
    wrong = {"maxmemory-policy": "allkeys-lru", "appendonly": "no"}
    with watched.redis.client() as client:
        for name, value in wrong.items():
            client.config_set(name, value)
        client.acl_setuser(
            "narrow", enabled=True, nopass=True, keys=["*"], channels=["*"], commands=["+@all", "-config"]
        )
    port = free_port()
    url = f"redis://narrow:x@127.0.0.1:{watched.redis.port}/0"  # this user may not ask for settings
    narrow = {**watched.environment, HTTP_ADDRESS: str(port), "CODETETHER_HISTORY_BROKER_URL": url}
    worker = ForkedWorker(narrow, log_path=tmp_path / "worker.log", name="narrow")
    try:
        worker.start()
        assert worker.process.log().count('"broker may forget"') == 1
        wait_until(lambda: watched.get("/ready", port)[0] == 200, timeout_seconds=20, what="a worker that is ready")
        notes = json.loads(watched.get("/ready", port)[1])["notes"]
        assert ["maxmemory-policy is allkeys-lru" in notes[0], "appendonly is no" in notes[1]] == [True, True]
        assert "history_sink_broker_forgets 1.0" in watched.get("/metrics", port)[1]
        status, said = watched.command("health", "--ready", **{HTTP_ADDRESS: str(port)})
        assert (status, "the broker may forget: appendonly is no" in said) == (0, True)
    finally:
        worker.stop()
        with watched.redis.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("appendonly", "yes")
    assert watched.sample("history_sink_broker_forgets") == 0


def test_while_the_broker_is_away_it_is_live_and_says_so(watched: Watched) -> None:
    watched.redis.process.kill()
    watched.wait_for("broker away")
    assert watched.sample("history_sink_broker_connected") == 0
    assert watched.sample("history_sink_queue_messages", "history.upload") is None  # not known, so not 0
    watched.redis.start()
    watched.wait_until_ready()


def test_a_broker_that_hangs_is_away_too(watched: Watched) -> None:
    watched.redis.process.pause()
    try:
        watched.wait_for("broker away")
    finally:
        watched.redis.process.resume()
    watched.wait_until_ready()


def test_a_busy_pool_does_not_keep_it_from_answering(watched: Watched) -> None:
    watched.minio.process.pause()
    try:
        sent = [watched.client.send_task(UPLOAD, (f"busy-{n}", [{"n": n}]), queue="history.upload") for n in range(4)]
        watched.wait_for("store away")
    finally:
        watched.minio.process.resume()
    for each in sent:
        assert each.get(timeout=60)["outcome"] in ("stored", "duplicate")
    watched.wait_until_ready()


def test_dead_letters_are_counted(watched: Watched) -> None:
    sent = watched.client.send_task(UPLOAD, ("dead", "no list"), queue="history.upload")
    with pytest.raises(Exception, match="messages is the whole history"):
        sent.get(timeout=20)
    watched.wait_for_sample("history_sink_dead_letters_total", at_least=1)


def test_a_search_worker_tells_how_far_its_index_is(prefork: Watched) -> None:
    with HistorySink.from_env(prefork.environment) as sink:
        sink.save("searched", [{"role": "user", "content": "a kestrel hovers"}])
        assert sink.flush("searched")
        wait_until(lambda: len(found(sink, "kestrel")) == 1, timeout_seconds=30, what="the kestrel")
    prefork.wait_for_sample("history_sink_search_indexed_messages_total", at_least=1)
    prefork.wait_for_sample("history_sink_search_messages", at_least=1)
    prefork.wait_for_sample("history_sink_search_index_bytes", at_least=1)
    assert prefork.sample("history_sink_search_rebuilding") == 0


def found(sink: HistorySink, query: str) -> Sequence[object]:
    answer = sink.recall(query)
    return () if isinstance(answer, Fault) else answer.hits


def test_whatever_alerts_and_dashboard_ask_for_is_measured(watched: Watched, prefork: Watched) -> None:
    watched.client.send_task(UPLOAD, ("dead-too", "no list"), queue="history.upload")
    with HistorySink.from_env(watched.environment) as sink:
        sink.save("measured", [{"role": "user"}])
        assert sink.flush("measured")
    watched.wait_for_sample("history_sink_dead_letters_total", at_least=1)
    # Dead letters are looked at once a minute, and when the broker has come back.
    watched.redis.process.kill()
    watched.wait_for("broker away")
    watched.redis.start()
    watched.wait_until_ready()
    watched.wait_for_sample("history_sink_dead_letters_oldest_age_seconds", at_least=0)
    watched.wait_for_sample("history_sink_queue_oldest_age_seconds", "history.upload", at_least=0)
    prefork.wait_for_sample("history_sink_pool_resident_memory_bytes", at_least=1)
    prefork.wait_for_sample("history_sink_search_lag_seconds", at_least=0)
    measured = {name for name, _ in [*watched.samples(), *prefork.samples()]}
    asked = set().union(*map(metrics_of, expressions().values()))
    assert len(asked) > 20
    assert asked - measured == {"history_sink_tenant_refused"}  # where a tenant is refused: test_tenants_workers


@pytest.mark.system
def test_on_rabbitmq_lengths_are_known_and_its_absence_is_seen(watched: Watched, tmp_path: Path) -> None:
    rabbit = RabbitServer(tmp_path)
    rabbit.start()
    port = free_port()
    more = {"CODETETHER_HISTORY_BROKER_URL": rabbit.url(), HTTP_ADDRESS: str(port)}
    worker = ForkedWorker({**watched.environment, **more}, log_path=tmp_path / "worker.log", name="rabbit")
    try:
        worker.start()
        wait_until(lambda: "queue_messages{" in watched.get("/metrics", port)[1], timeout_seconds=20, what="a length")
        assert watched.get("/ready", port)[0] == 200
        rabbit.process.kill()
        wait_until(lambda: "broker away" in watched.get("/ready", port)[1], timeout_seconds=20, what="a word of it")
        assert watched.get("/live", port)[0] == 200
    finally:
        worker.stop()
        rabbit.stop()


@pytest.mark.system  # promtool comes with Debian's prometheus
def test_prometheus_finds_the_metrics_well_formed(watched: Watched) -> None:
    text = watched.get("/metrics")[1]
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_worker_that_is_not_there_is_not_live(watched: Watched) -> None:
    port = str(free_port())
    status, line = watched.command("health", **{HTTP_ADDRESS: port})
    assert status == 1
    assert line.startswith(f"not live: no answer from 127.0.0.1:{port}")
    assert watched.command("health", **{HTTP_ADDRESS: ""})[0] == 1


def test_who_waits_for_its_store_at_the_start_says_so_and_a_taken_port_is_an_error(
    watched: Watched, tmp_path: Path
) -> None:
    port, nobody = free_port(), f"http://127.0.0.1:{free_port()}"
    environment = {**watched.environment, "CODETETHER_HISTORY_S3_ENDPOINT": nobody, HTTP_ADDRESS: str(port)}
    worker = ForkedWorker(environment, log_path=tmp_path / "waiting.log", name="waiting")
    worker.process.launch()
    try:
        wait_until(lambda: not port_is_free(port), timeout_seconds=20, what="an endpoint")
        wait_until(
            lambda: "starting: it waits for the store: LIST" in watched.get("/ready", port)[1],
            timeout_seconds=10,
            what="a word of it",
        )
        assert watched.get("/live", port)[0] == 200
        second = ForkedWorker(environment, log_path=tmp_path / "second.log", name="second")
        with pytest.raises(NotReady, match=f"{HTTP_ADDRESS}: 127.0.0.1:{port} cannot be listened on"):
            second.start()
    finally:
        worker.process.kill()
