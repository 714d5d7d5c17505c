"""Redis away for a while: workers are at it again within two seconds of its return."""

import json
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from celery import Celery

from forked_process import ForkedWorker
from stack.minio import MinioServer
from stack.processes import wait_until
from stack.redis import RedisServer
from stack.stack import environment

AWAY_SECONDS = 7
"""After so long Celery would try again every 6 s, and more seldom each time."""


@pytest.mark.parametrize(("leave", "come_back"), [("kill", "start"), ("pause", "resume")])
def test_work_goes_on_within_two_seconds_of_the_return_of_redis(
    own_redis: RedisServer, minio_server: MinioServer, bucket: str, tmp_path: Path, leave: str, come_back: str
) -> None:
    with ExitStack() as running:
        clients = []
        for pool in ("threads", "prefork"):
            url = own_redis.new_database()
            worker = ForkedWorker(
                environment(minio_server, url, bucket), log_path=tmp_path / f"{pool}.log", name=pool, pool=pool
            )
            running.callback(worker.process.kill)
            worker.start()
            clients.append(Celery("client", broker=url, backend=url, set_as_current=False))
        getattr(own_redis.process, leave)()
        time.sleep(AWAY_SECONDS)
        own_redis.start() if come_back == "start" else own_redis.process.resume()
        began = time.monotonic()
        sent = [
            client.send_task("history_sink.upload_history", (f"{leave}-{number}", [{}]), queue="history.upload")
            for number, client in enumerate(clients)
        ]
        outcomes = [each.get(timeout=20)["outcome"] for each in sent]
        seconds = time.monotonic() - began
    assert outcomes == ["stored", "stored"]
    print(f"{leave}: {seconds:.2f} s")
    assert seconds < 2


def test_an_outage_is_a_warning_at_its_begin_and_at_its_end_and_not_at_each_try(
    own_redis: RedisServer, minio_server: MinioServer, bucket: str, tmp_path: Path
) -> None:
    worker = ForkedWorker(environment(minio_server, own_redis.url(), bucket), log_path=tmp_path / "worker.log")
    worker.start()
    try:
        own_redis.process.kill()
        time.sleep(3)
        own_redis.start()
        wait_until(lambda: "broker back" in worker.process.log(), timeout_seconds=30, what="its return")
        said = [json.loads(line) for line in worker.process.log().splitlines() if line.startswith("{")]
    finally:
        worker.process.kill()
    told = [(each["level"], each["event"]) for each in said if each["event"].startswith("broker ")]
    assert told == [("warning", "broker away"), ("warning", "broker back")]
    assert not [each for each in said if each["level"] in ("error", "critical")]
    assert len([each for each in said if each["level"] == "warning"]) <= 4  # a channel, a claim
