"""Where a sink may be: on a real queue, worker and store, or in memory. What is asked of both alike."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from history_sink import HistorySink
from history_sink.testing import MemoryArchive, MemorySink
from stack.processes import free_port
from stack.redis import RedisServer
from stack.stack import producer_environment
from store_site import Site

WORKER_COMMAND = Path(sys.executable).with_name("history-sink-worker")


class Place(Protocol):
    """Each sink that it opens is one of another process."""

    def open_sink(self, **options: Any) -> HistorySink: ...

    def delete(self, session: str) -> None: ...

    def without_broker(self) -> AbstractContextManager[HistorySink]:
        """A sink whose broker is away."""

    def without_workers(self) -> AbstractContextManager[HistorySink]:
        """A sink whose workers are away."""

    def without_store(self, session: str, messages: list[Any]) -> AbstractContextManager[HistorySink]:
        """A sink that has saved these, and whose store is then away."""


def make_place(request: pytest.FixtureRequest) -> Place:
    """The place that a fixture's parameter names: memory or servers."""
    if request.param == "memory":
        return InMemory()
    request.getfixturevalue("worker")
    get = request.getfixturevalue
    return OnServers(get("environment"), get("redis_server"), lambda: get("site"))


class InMemory:
    def __init__(self) -> None:
        self.archive = MemoryArchive()

    def open_sink(self, **options: Any) -> HistorySink:
        return MemorySink(self.archive, **options)

    def delete(self, session: str) -> None:
        self.archive.delete(session)

    @contextmanager
    def without_broker(self) -> Iterator[HistorySink]:
        with self.open_sink() as sink, self.archive.broker_away():
            yield sink

    @contextmanager
    def without_workers(self) -> Iterator[HistorySink]:
        with self.open_sink() as sink, self.archive.workers_away():
            yield sink

    @contextmanager
    def without_store(self, session: str, messages: list[Any]) -> Iterator[HistorySink]:
        with self.open_sink() as sink:
            sink.save(session, messages)
            assert sink.flush(session)
            with self.archive.store_away():
                yield sink


class OnServers:
    """`environment` is that of a worker that is there; `get_site` starts what a test may stop."""

    def __init__(self, environment: Mapping[str, str], redis: RedisServer, get_site: Callable[[], Site]) -> None:
        self._environment = environment
        self._redis = redis
        self._get_site = get_site

    def open_sink(self, **options: Any) -> HistorySink:
        return HistorySink.from_env(producer_environment(self._environment), **options)

    def delete(self, session: str) -> None:
        command = [str(WORKER_COMMAND), "delete", session, "--yes"]
        subprocess.run(command, env={**os.environ, **self._environment}, check=True, timeout=60)

    @contextmanager
    def without_broker(self) -> Iterator[HistorySink]:
        with HistorySink(broker_url=f"redis://127.0.0.1:{free_port()}/0") as sink:
            yield sink

    @contextmanager
    def without_workers(self) -> Iterator[HistorySink]:
        with HistorySink(broker_url=self._redis.new_database()) as sink:
            yield sink

    @contextmanager
    def without_store(self, session: str, messages: list[Any]) -> Iterator[HistorySink]:
        site = self._get_site()
        site.start_worker()
        with HistorySink(broker_url=site.url) as sink:
            sink.save(session, messages)
            assert sink.flush(session)
            site.minio.stop()
            yield sink
