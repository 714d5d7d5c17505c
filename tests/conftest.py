"""The real parts, for every test that asks for them by name.

Servers live as long as the session, workers and Flower as long as a module; each module has a
bucket and a Redis database of its own, so that modules do not see each other. A test that stops,
pauses or fills a server starts its own: `MinioServer(tmp_path)`, `RedisServer(tmp_path)`, a second.
"""

import gc
import shutil
import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, nullcontext
from pathlib import Path

import hypothesis
import pytest

from forked_process import ForkedWorker
from history_sink_agents.sealing.keyring import MASTER_FILE, make_master
from history_sink_worker.s3.client import S3Store
from kinds import is_quick, no_servers
from stack.flower import Flower
from stack.go_programs import DOCKER_COMPOSE, MINIO, VERSITYGW
from stack.minio import MinioServer
from stack.processes import Process
from stack.redis import RedisServer
from stack.s3_server import S3Server
from stack.stack import environment as variables
from stack.versitygw import VersitygwServer
from stack.worker import Worker
from store_site import Site

_MEMORY = Path("/dev/shm")
# The files that take longest by the clock, on the reference machine with two cores: those with servers from half a
# minute down, then quick ones from five seconds of processor time. They run first. One that began last would run alone,
# with the other processes idle.
_LONGEST = (
    "test_demo.py",
    "test_torture.py",
    "test_credentials.py",
    "test_store_away.py",
    "test_killers.py",
    "test_life.py",
    "test_dead_letters_trouble.py",
    "test_transport_worker.py",
    "test_watch.py",
    "test_archive_s3.py",
    "test_cli.py",
    "test_unfit_store.py",
    "test_memory.py",
    "test_counts.py",
    "test_belonging.py",
    "test_worker_start.py",
    "test_waiting.py",
    "test_redis_away.py",
    "test_rolling_restart.py",
    "test_tasks.py",
    "test_end_to_end.py",
    "test_watch_live.py",
    "test_sequels.py",
    "test_protocol.py",
    "test_appends.py",
    "test_redaction.py",
    "test_lines.py",
    "test_bench.py",
    "test_append_sink.py",
    "test_path.py",
    "test_groups.py",
    "test_view.py",
)
_ENOUGH_BYTES = 4 * 2**30

# No deadline for an example: on a busy machine it measures the neighbours.
hypothesis.settings.register_profile("history-sink", deadline=None, print_blob=True)
hypothesis.settings.load_profile("history-sink")


def pytest_configure(config: pytest.Config) -> None:
    """Keep the servers' data in memory where there is enough: a disk that other programs keep busy stalls a Redis
    with `appendfsync always` for seconds, and each save of an agent gives up after half a second."""
    if config.option.basetemp is None and _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _ENOUGH_BYTES:
        directory = tempfile.mkdtemp(prefix="history-sink-tests-", dir=_MEMORY)
        config.option.basetemp = directory
        config.add_cleanup(lambda: shutil.rmtree(directory, ignore_errors=True))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage in what is imported and collected now, neither now nor later: a million objects that stay.
    It takes two fifths of the processor time of this, and some at each test."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the tests that `make test-quick` runs."""
    if is_quick(item):
        item.add_marker("quick")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files run first, then those that need servers: the quick ones at the end keep every process busy."""
    waiting = {item.path for item in items if not is_quick(item)}
    places = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: (places.get(item.path.name, len(places)), item.path not in waiting))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Refuse servers to a quick test, so that it stays one."""
    with no_servers() if item.get_closest_marker("quick") else nullcontext():
        return (yield)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what is built from source, where that is to be done, before the first test's clock starts, in sight."""
    if not session.config.option.collectonly:
        wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
        if wanted & {"minio_server", "s3_server"}:
            MINIO.ensure()
        if any(item.get_closest_marker("each_store") for item in session.items):
            VERSITYGW.ensure()
        if "docker_compose" in wanted:
            DOCKER_COMPOSE.ensure()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that is marked `each_store` runs on each S3 server."""
    if metafunc.definition.get_closest_marker("each_store") and "s3_server" in metafunc.fixturenames:
        metafunc.parametrize("s3_server", ["minio", "versitygw"], indirect=True, scope="session")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests have recorded of themselves, such as a seed, with whatever number of processes."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows how the logs of the real parts that it used end."""
    report = yield
    if report.failed:
        for part in getattr(item, "funcargs", {}).values():
            process = getattr(part, "process", None)
            if isinstance(process, Process):
                report.sections.append((f"log of {process.name}", process.log_tail()))
    return report


@pytest.fixture(scope="session")
def minio_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    """MinIO, running."""
    server = MinioServer(tmp_path_factory.mktemp("minio"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def versitygw_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VersitygwServer]:
    """versitygw, running."""
    server = VersitygwServer(tmp_path_factory.mktemp("versitygw"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def s3_server(request: pytest.FixtureRequest) -> S3Server:
    """The store: MinIO, and in tests marked `each_store` the others, too."""
    server: S3Server = request.getfixturevalue(f"{getattr(request, 'param', 'minio')}_server")
    return server


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Redis or Valkey, running."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def own_minio(minio_server: MinioServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    """One of the module's own, for tests that stop or pause it."""
    del minio_server  # asked for only so that the program is built before a test's clock starts
    server = MinioServer(tmp_path_factory.mktemp("own-minio"))
    server.start()
    yield server
    server.process.kill()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """One of the test's own: to kill, to pause, to fill."""
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.process.kill()


@pytest.fixture
def running(own_minio: MinioServer) -> Iterator[ExitStack]:
    """What ends with the test; then `own_minio` runs again, whatever was done to it."""
    with ExitStack() as running:
        yield running
    own_minio.process.resume()
    if not own_minio.process.is_running:
        own_minio.start()


@pytest.fixture
def site(own_minio: MinioServer, redis_server: RedisServer, tmp_path: Path, running: ExitStack) -> Site:
    """No worker yet."""
    site = Site(own_minio, redis_server, tmp_path)
    running.callback(site.stop)
    return site


@pytest.fixture(scope="module")
def bucket(s3_server: S3Server) -> str:
    """The name of a bucket that only this module knows, empty at first."""
    return s3_server.create_bucket()


@pytest.fixture(scope="module")
def store(s3_server: S3Server, bucket: str) -> S3Store:
    """The shipped store on that bucket, for as many threads as a test has."""
    return S3Store(
        endpoint=s3_server.endpoint,
        bucket=bucket,
        access_key=s3_server.access_key,
        secret_key=s3_server.secret_key,
        concurrency=20,
    )


@pytest.fixture(scope="module")
def environment(s3_server: S3Server, redis_server: RedisServer, bucket: str) -> Mapping[str, str]:
    """The CODETETHER_HISTORY_ variables of `bucket` and of a Redis database for this module."""
    return variables(s3_server, redis_server.new_database(), bucket)


@pytest.fixture(scope="module")
def worker(environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker that takes all queues, ready."""
    worker = ForkedWorker(environment, log_path=tmp_path_factory.mktemp("worker") / "worker.log")
    worker.start()
    yield worker
    worker.process.kill()  # nothing of it is needed any more, and an orderly end takes a second


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `search_worker` has its index."""
    return tmp_path_factory.mktemp("search") / "index"


@pytest.fixture(scope="module")
def search_worker(
    environment: Mapping[str, str], index: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    """A worker that answers `recall`, ready."""
    log_path = tmp_path_factory.mktemp("worker") / "search.log"
    variables = {**environment, "CODETETHER_HISTORY_SEARCH_DIR": str(index)}
    worker = ForkedWorker(variables, log_path=log_path, name="search", queues=["history.search"])
    worker.start()
    yield worker
    worker.process.kill()


@pytest.fixture(scope="module")
def flower(environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flower]:
    """A Flower that watches `worker`."""
    flower = Flower(environment, log_path=tmp_path_factory.mktemp("flower") / "flower.log")
    flower.start()
    yield flower
    flower.process.kill()


@pytest.fixture
def masters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a master to seal with, which the environment names."""
    path = tmp_path / "masters"
    path.write_text(make_master()[1])
    monkeypatch.setenv(MASTER_FILE, str(path))
    return path
