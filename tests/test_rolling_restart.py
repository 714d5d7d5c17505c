"""Workers restarted one after another while agents save; and workers that take one queue each."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from forked_process import ForkedWorker
from history_sink import HistorySink
from history_sink.protocol.contract import MAINTENANCE_QUEUE, READ_QUEUE, UPLOAD_QUEUE
from history_sink.protocol.lines import encode_line
from stack.minio import MinioServer
from stack.processes import wait_until
from stack.proxy import Proxy
from stack.redis import RedisServer
from stack.stack import producer_environment
from stack.worker import Worker
from store_site import Site

POOLS = ("threads", "prefork", "threads")
PAUSE_SECONDS = 0.25
DRAIN_SECONDS = 20.0
"""What a drain may take here. A claim that is left behind comes back after 60 s, the visibility timeout."""


class Agent:
    """Saves its session message by message, and knows when it handed over what."""

    def __init__(self, site: Site, session: str) -> None:
        self.session = session
        self.sink = HistorySink.from_env(producer_environment(site.environment))
        self.history: list[dict[str, Any]] = []
        self.began_at: dict[str, float] = {}
        """Task id: when its save began, Unix seconds."""

    def save_until(self, ending: threading.Event) -> None:
        while not ending.wait(PAUSE_SECONDS):
            self.history.append({"role": "user", "content": f"{self.session} {len(self.history)} 日本"})
            began_at = time.time()
            receipt = self.sink.save(self.session, self.history)
            assert (receipt.state, receipt.branch) == ("enqueued", None), receipt
            self.began_at |= dict.fromkeys(receipt.task_ids, began_at)


@pytest.fixture
def way(own_minio: MinioServer, running: ExitStack) -> Proxy:
    """A way to the store so long that a worker always has something in hand."""
    proxy = running.enter_context(Proxy(own_minio.port))
    proxy.delay_seconds = 0.01
    return proxy


@pytest.fixture
def distant(own_minio: MinioServer, redis_server: RedisServer, tmp_path: Path, running: ExitStack, way: Proxy) -> Site:
    site = Site(own_minio, redis_server, tmp_path, endpoint=f"http://127.0.0.1:{way.port}")
    running.callback(site.stop)
    return site


@pytest.fixture
def agents(distant: Site) -> Iterator[list[Agent]]:
    agents = [Agent(distant, f"session-{number}") for number in range(4)]
    yield agents
    for agent in agents:
        agent.sink.close()


def start(site: Site, options: list[dict[str, Any]]) -> list[Worker]:
    """Workers, started side by side."""
    for each in options:
        name = f"worker{len(site.workers)}"
        site.workers.append(ForkedWorker(site.environment, log_path=site.directory / f"{name}.log", name=name, **each))
        site.workers[-1].process.launch()
    for worker in site.workers:
        wait_until(lambda log=worker.process.log: " ready" in log(), timeout_seconds=60, what=worker.node)  # type: ignore[misc]
    return site.workers


def restart(worker: Worker) -> tuple[float, float]:
    """Seconds from SIGTERM to the end, and until it was ready again."""
    began = time.monotonic()
    worker.process.stop(timeout_seconds=DRAIN_SECONDS)
    drain_seconds = time.monotonic() - began
    assert worker.process.exit_status == 0, worker.process.log_tail()
    worker.start()
    return drain_seconds, time.monotonic() - began - drain_seconds


def lags(site: Site, agent: Agent) -> Iterator[tuple[float, float]]:
    """For each save when it began, and the seconds from then until its worker knew it to be in the store."""
    for task_id, began_at in agent.began_at.items():
        result = site.client.AsyncResult(task_id)
        wait_until(lambda result=result: result.state == "SUCCESS", timeout_seconds=20, what=task_id)  # type: ignore[misc]
        outcome = result.result
        assert isinstance(outcome, dict)
        assert outcome["outcome"] in ("stored", "duplicate", "pending")  # each is durable
        done_at = result.date_done
        assert isinstance(done_at, datetime)
        yield began_at, done_at.timestamp() - began_at


def test_a_rolling_restart_under_load_loses_nothing_and_delays_no_save_by_more_than_a_drain(
    distant: Site, way: Proxy, agents: list[Agent], record_property: Callable[[str, object], None]
) -> None:
    workers = start(distant, [{"pool": pool, "concurrency": 2} for pool in POOLS])
    ending = threading.Event()
    with ThreadPoolExecutor(len(agents)) as pool:
        saving = [pool.submit(agent.save_until, ending) for agent in agents]
        try:
            wait_until(lambda: min(len(agent.history) for agent in agents) > 8, timeout_seconds=20, what="saves")
            began_at = time.time()
            drains, starts = zip(*[restart(worker) for worker in workers], strict=True)
        finally:
            ending.set()
        for each in saving:
            each.result()
    way.delay_seconds = 0.0
    for agent in agents:
        assert agent.sink.flush(agent.session, 30)
        sent = b"".join(encode_line(message).data for message in agent.history)
        assert b"".join(agent.sink.read(agent.session)) == sent
    found = [lag for agent in agents for lag in lags(distant, agent)]
    before = max(seconds for at, seconds in found if at < began_at)
    during = max(seconds for at, seconds in found if at >= began_at)
    record_property(
        "rolling restart",
        f"{len(found)} saves, none lost; drains {', '.join(f'{each:.2f}' for each in drains)} s;"
        f" from save to store at most {before:.2f} s before, {during:.2f} s during",
    )
    # Saves also suffer from each Python that starts beside them: it takes a core, of which there may be two. And where
    # two of a session have overtaken each other, a new worker waits for the earlier one, and then asks for each extent:
    # some 50 requests on this long way. On a starved machine that was 2.7 s.
    assert during <= before + max(drains) + max(starts)


def tasks_of(worker: Worker) -> set[str]:
    lines = (json.loads(line) for line in worker.process.log().splitlines() if line.startswith("{"))
    return {line["task"].rpartition(".")[2] for line in lines if line["event"] == "task ended"}


def test_uploads_reads_and_maintenance_may_have_workers_of_their_own(site: Site) -> None:
    site.environment["CODETETHER_HISTORY_IDLE_SECONDS"] = "1"
    queues = (UPLOAD_QUEUE, READ_QUEUE, MAINTENANCE_QUEUE)
    uploads, reads, maintenance = start(site, [{"queues": [queue], "concurrency": 2} for queue in queues])
    history = [{"n": number} for number in range(20)]
    with HistorySink.from_env(producer_environment(site.environment)) as sink:
        for end in range(1, len(history) + 1):
            assert sink.save("apart", history[:end]).state == "enqueued"
        assert sink.flush("apart", 30)
        wait_until(lambda: tasks_of(maintenance) == {"compact"}, timeout_seconds=20, what="the session to be folded")
        assert b"".join(sink.read("apart")) == b"".join(encode_line(message).data for message in history)
    assert tasks_of(uploads) == {"upload_history"}
    assert tasks_of(reads) == {"status", "resolve_pointer"}
