"""What one process works with: settings, the store, hints, the due list."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import TypeVar

from history_sink.protocol.batch import Batch
from history_sink.protocol.broker_urls import for_redis_py
from history_sink.protocol.tenants import tenant_of
from history_sink_worker.archive.batches import next_batches
from history_sink_worker.archive.compaction import Compacted
from history_sink_worker.archive.context import Context
from history_sink_worker.archive.group import next_group
from history_sink_worker.archive.hint import KnownHints
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.piece import Piece
from history_sink_worker.archive.verdict import Verdict
from history_sink_worker.keys import Keys
from history_sink_worker.s3.client import S3Store
from history_sink_worker.s3.credentials import ChainSource, FileSource, Source
from history_sink_worker.service.due_list import DueList
from history_sink_worker.service.held_hints import HeldHints
from history_sink_worker.service.keyed_batcher import KeyedBatcher
from history_sink_worker.service.redis_hints import RedisHints
from history_sink_worker.service.redis_shelf import RedisShelf
from history_sink_worker.settings import WorkerSettings
from history_sink_worker.store import Entry, Steps, list_page, run
from history_sink_worker.task_errors import refuse

T = TypeVar("T")

THREADS = 256
"""How many connections to the store are kept at most. They are made when needed: more than any sensible pool has."""

WRITE_SECONDS = 20.0
READ_SECONDS = 5.0
"""How long the store may be silent. Who reads waits for an answer, and can ask again; an upload has time."""


@dataclass(frozen=True)
class Service:
    """The thin shell around the archive: `run` and `read` drive any of its generators on the real store."""

    settings: WorkerSettings
    store: S3Store
    reading_store: S3Store
    context: Context
    due: DueList
    shelf: RedisShelf | None = None
    held: HeldHints | None = None
    """The context's hints, where they are in the Redis that has the results."""
    saves: KeyedBatcher[Piece, tuple[Verdict, tuple[str, ...]]] = field(
        default_factory=lambda: KeyedBatcher(next_group)
    )
    appends: KeyedBatcher[Batch, tuple[Verdict, tuple[str, ...]]] = field(
        default_factory=lambda: KeyedBatcher(next_batches)
    )
    stuck: dict[tuple[str, str], int] = field(default_factory=dict)
    compactions: KeyedBatcher[Piece, Compacted] = field(default_factory=lambda: KeyedBatcher(next_group))

    def run(self, steps: Steps[T]) -> T:
        """Do `steps` on the store. Raises `StoreError`."""
        return run(steps, self.store.perform)

    def read(self, steps: Steps[T]) -> T:
        """Do `steps` for somebody who waits: a store that hangs is away in seconds. Raises `StoreError`."""
        return run(steps, self.reading_store.perform)

    def know_hints(self, roots: Iterable[str]) -> Context:
        """The context with the hints of these logs as they are now: one round trip for a question about several."""
        if self.shelf is None:
            return self.context
        known = RedisHints(self.shelf, self.settings.settle_seconds).get_all([*roots])
        return replace(self.context, hints=KnownHints(known))

    def walk(self, prefix: str) -> Iterator[Entry]:
        """All objects under `prefix`, a page at a time. Raises `StoreError`."""
        after: str | None = ""
        while after is not None:
            page = self.run(list_page(prefix, after))
            yield from page.entries
            after = page.next_after

    def log(self, session: str, branch: str | None = None) -> Log:
        """Where this log lives."""
        return Log(self.settings.prefix, session, branch)

    @cached_property
    def _tenants(self) -> dict[str, "Service"]:
        if self.settings.tenant is not None:
            return {self.settings.tenant: self}
        return {name: _make_tenants(self, name) for name in self.settings.broker.tenants}

    def each(self) -> list["Service"]:
        """That of each tenant; this one where there are none."""
        return list(self._tenants.values()) or [self]

    def find(self, queue: str) -> "Service | None":
        """Who serves what comes from `queue`. Where there are tenants, nobody serves a queue that is none of theirs."""
        return self._tenants.get(tenant_of(queue) or "") if self.settings.broker.tenants else self


def _make_tenants(work: Service, tenant: str) -> Service:
    """On the same connections. Hints are told apart by the prefix, which is in their names."""
    settings = work.settings.for_tenant(tenant)
    due = _make_due_list(settings, work.shelf)
    return Service(settings, work.store, work.reading_store, work.context, due, work.shelf)


def _make_due_list(settings: WorkerSettings, shelf: RedisShelf | None) -> DueList:
    return DueList(shelf, settings.prefix, settings.idle_seconds / 4)


def make_service(settings: WorkerSettings) -> Service:
    """Connects to nothing yet."""
    source = _find_source(settings)
    stores = _make_store(settings, source, WRITE_SECONDS), _make_store(settings, source, READ_SECONDS)
    if settings.broker.redis_url is None:
        context = Context(KnownHints(), time.time, settings.settle_seconds)
        return Service(settings, *stores, context, _make_due_list(settings, None))
    shelf = RedisShelf(settings.broker.redis_url, settings.endpoint, settings.bucket)
    hints = RedisHints(shelf, settings.settle_seconds)
    held = HeldHints(hints) if _has_results(settings) else None
    context = Context(held or hints, time.time, settings.settle_seconds)
    return Service(settings, *stores, context, _make_due_list(settings, shelf), shelf, held)


def _has_results(settings: WorkerSettings) -> bool:
    """Whether hints and results are in one database of one Redis."""
    results, hints = settings.broker.result_url, settings.broker.redis_url
    return results is not None and results.startswith("redis") and hints in (results, for_redis_py(results))


def _find_source(settings: WorkerSettings) -> Source | None:
    """None: the keys are as they are."""
    if settings.uses_default_chain:
        return ChainSource(settings.profile, settings.region)
    if settings.key_files.paths:
        keys = Keys(settings.access_key, settings.secret_key, settings.session_token)
        return FileSource(keys, settings.key_files)
    return None


def _make_store(settings: WorkerSettings, source: Source | None, read_timeout_seconds: float) -> S3Store:
    return S3Store(
        endpoint=settings.endpoint,
        bucket=settings.bucket,
        access_key=settings.access_key,
        secret_key=settings.secret_key,
        session_token=settings.session_token,
        source=source,
        region=settings.region,
        concurrency=THREADS,
        read_timeout_seconds=read_timeout_seconds,
        sse=settings.sse,
        sse_kms_key_id=settings.sse_kms_key_id,
        ca_file=settings.ca_file,
        proxy=settings.proxy,
    )


@cache
def service() -> Service:
    """This process's. In a forked child it opens connections of its own. Raises `ConfigurationError`."""
    return make_service(WorkerSettings.from_env())


_queue: ContextVar[str] = ContextVar("queue", default="")


@contextmanager
def serving_queue(name: str) -> Iterator[None]:
    """What is done inside is done for whoever the queue `name` belongs to."""
    token = _queue.set(name)
    try:
        yield
    finally:
        _queue.reset(token)


def serving() -> Service:
    """The service of whoever is being served: a task has no other. Raises `Refused`, `ConfigurationError`."""
    return service().find(_queue.get()) or refuse("it came from no tenant's queue")
