"""A sink with a worker that keeps sessions in memory, and one without a worker."""

from collections.abc import Iterator

import pytest

from history_sink import (
    HistorySink,
)
from plain_store import PlainWorker
from stack.redis import RedisServer


@pytest.fixture(scope="module")
def url(redis_server: RedisServer) -> str:
    return redis_server.new_database()


@pytest.fixture(scope="module")
def worker(url: str) -> Iterator[PlainWorker]:
    worker = PlainWorker(url)
    with worker.running():
        yield worker


@pytest.fixture
def sink(url: str, worker: PlainWorker) -> Iterator[HistorySink]:
    """A sink with a worker behind it."""
    with HistorySink(broker_url=url) as sink:
        yield sink


@pytest.fixture
def alone(redis_server: RedisServer) -> Iterator[HistorySink]:
    """A sink with a broker and no worker."""
    with HistorySink(broker_url=redis_server.new_database()) as sink:
        yield sink


@pytest.fixture
def session(request: pytest.FixtureRequest) -> str:
    """A session of this test's own."""
    name: str = request.node.name
    return name.replace("[", "-").replace("]", "")[:200]
