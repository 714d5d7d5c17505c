"""What waits costs a worker no memory, however much it is, nor does what it is done with."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stack.processes import wait_until
from stack.worker import Worker
from store_site import Site, rss_mb

COUNT, SIZE_BYTES = 150, 250_000

_LONG = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.fixture
def site(site: Site) -> Site:
    """One whose workers are started anew: a forked one shares memory."""
    site.worker_type = Worker
    return site


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
    before = rss_mb(worker)
    site.minio.process.kill()
    site.upload(count, size_bytes=10_000)
    site.expect_gate("store away: uploads wait")
    most = before
    deadline = time.monotonic() + (3 if count == 1_000 else 30)
    while time.monotonic() < deadline:
        most = max(most, rss_mb(worker))
        time.sleep(0.1)
    site.expect_waiting(count)
    print(f"{pool}, {count} waiting: {before:.1f} MB before, at most {most:.1f} MB")
    assert most - before <= 10


@pytest.mark.parametrize("count", [300, pytest.param(3_000, marks=_LONG)])
def test_memory_is_flat_however_many_uploads_wait_for_a_newer_worker(site: Site, count: int) -> None:
    worker = site.start_worker(concurrency=4)
    site.upload(20, size_bytes=10_000)
    site.expect_all_stored()
    before = most = rss_mb(worker)
    worker.process.pause()
    for _ in range(count):
        site.upload_newer(size_bytes=10_000)
    site.upload(1)
    worker.process.resume()

    def is_last_stored() -> bool:
        nonlocal most
        most = max(most, rss_mb(worker))
        return site.count_stored() == len(site.sent)

    wait_until(is_last_stored, timeout_seconds=30 + count / 20, what="the upload behind them to be stored")
    assert min(site.read()[1] for _ in range(3)) < 1  # Redis may be rewriting its file
    wait_until(  # one that is just being tried is in the queue again before it is acknowledged
        lambda: site.count_waiting() + site.count_taken() == count, timeout_seconds=5, what="all to wait"
    )
    print(f"{count} waiting: {before:.1f} MB before, at most {most:.1f} MB")
    assert most - before <= (10 if count < 1_000 else 20)  # so much do that many tasks leave in any worker


@pytest.mark.parametrize("kind", ["stored", "refused", "retried"])
def test_what_a_worker_is_done_with_is_not_kept(site: Site, kind: str) -> None:
    site.environment["PYTHONPATH"] = str(Path(__file__).parent / "support")
    worker = site.start_worker(arguments=["--include", "no_collector"])
    send: Callable[[], object] = {
        "stored": lambda: site.upload(1, size_bytes=SIZE_BYTES),
        "refused": lambda: site.upload_broken(SIZE_BYTES),
        "retried": lambda: site.upload_newer(SIZE_BYTES),
    }[kind]

    def count_ended() -> int:
        return worker.process.log().count('"task ended"')

    site.upload(20, size_bytes=SIZE_BYTES)
    site.expect_all_stored()
    before, ended = rss_mb(worker), count_ended()
    for _ in range(COUNT):
        send()
    wait_until(lambda: count_ended() >= ended + COUNT, timeout_seconds=60, what=f"{COUNT} to be {kind}")
    grown_mb = rss_mb(worker) - before
    print(f"{kind}: {grown_mb:.1f} MB")
    assert grown_mb < COUNT * SIZE_BYTES / 2**20  # of those that are to be tried again, twenty wait in memory


LARGE_BLOCKS = """
import sys, threading
from history_sink_worker.malloc_tuning import tune_malloc
if sys.argv[1] == "given back":
    tune_malloc()
def work():
    for _ in range(3):
        bytearray(12 * 2**20)
    print(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])
for _ in range(2):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
"""


@pytest.mark.parametrize(("how", "least_mb", "most_mb"), [("given back", 0, 20), ("glibc's own way", 20, 200)])
def test_large_blocks_go_back_to_the_system(how: str, least_mb: float, most_mb: float) -> None:
    command = [sys.executable, "-c", LARGE_BLOCKS, how]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    resident_mb = int(ended.stdout.split()[-1]) / 1024
    assert least_mb <= resident_mb < most_mb


MANY_THREADS = """
import sys, threading
from history_sink_worker.malloc_tuning import tune_malloc
if sys.argv[1] == "shared":
    tune_malloc()
end, kept = threading.Event(), []
def work(done):
    blocks = [b"x" * 30_000 for _ in range(100)]
    kept.append(blocks[-1])  # what is freed below it cannot go back to the system
    del blocks
    done.set()
    end.wait()
for _ in range(8):
    done = threading.Event()
    threading.Thread(target=work, args=(done,)).start()
    done.wait()
print(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])
end.set()
"""


@pytest.mark.parametrize(("how", "least_mb", "most_mb"), [("shared", 0, 25), ("glibc's own way", 25, 200)])
def test_what_one_thread_has_freed_is_used_by_the_next(how: str, least_mb: float, most_mb: float) -> None:
    command = [sys.executable, "-c", MANY_THREADS, how]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    assert least_mb <= int(ended.stdout) / 1024 < most_mb


CLIENT = """
import boto3.session, botocore.session, sys
from history_sink_worker.s3.isolation import session
sessions = {"ours": session, "boto3's own": boto3.session.Session}
def resident_mb():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]) / 1024
before = resident_mb()
sessions[sys.argv[1]]().client("s3", endpoint_url="http://127.0.0.1:1", region_name="us-east-1")
print(resident_mb() - before)
"""


@pytest.mark.parametrize(("whose", "least_mb", "most_mb"), [("ours", 0, 10), ("boto3's own", 10, 100)])
def test_what_a_client_knows_of_s3_is_small(whose: str, least_mb: float, most_mb: float) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", CLIENT, whose], capture_output=True, text=True, timeout=20, check=True
    )
    print(f"{whose}: {float(ended.stdout):.1f} MB")
    assert least_mb <= float(ended.stdout) < most_mb
