"""What one process works with: settings, the store, hints, the due list."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import TypeVar

from history_sink.protocol.batch import Batch
from history_sink_worker.archive.batches import next_batches
from history_sink_worker.archive.compaction import Compacted
from history_sink_worker.archive.context import Context
from history_sink_worker.archive.group import next_group
from history_sink_worker.archive.hint import NoHints
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.piece import Piece
from history_sink_worker.archive.verdict import Verdict
from history_sink_worker.keys import Keys
from history_sink_worker.s3.client import S3Store
from history_sink_worker.s3.credentials import ChainSource, FileSource, Source
from history_sink_worker.service.keyed_batcher import KeyedBatcher
from history_sink_worker.service.redis_hints import DueList, NoDueList, RedisDueList, RedisHints, RedisShelf
from history_sink_worker.settings import WorkerSettings
from history_sink_worker.store import Entry, Steps, list_page, run

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


def make_service(settings: WorkerSettings) -> Service:
    """Connects to nothing yet."""
    source = _find_source(settings)
    stores = _make_store(settings, source, WRITE_SECONDS), _make_store(settings, source, READ_SECONDS)
    if settings.broker.redis_url is None:
        return Service(settings, *stores, Context(NoHints(), time.time, settings.settle_seconds), NoDueList())
    shelf = RedisShelf(settings.broker.redis_url, settings.endpoint, settings.bucket)
    hints = RedisHints(shelf, settings.settle_seconds)
    context = Context(hints, time.time, settings.settle_seconds)
    return Service(settings, *stores, context, RedisDueList(shelf, settings.prefix, settings.idle_seconds / 4))


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
    """This process's service. In a forked child it opens connections of its own. Raises `ConfigurationError`."""
    return make_service(WorkerSettings.from_env())
