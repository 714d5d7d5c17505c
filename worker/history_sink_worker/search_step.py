"""What makes a worker a search worker: that it takes the queue ``history.search``. It then keeps an index, in a thread.

Nothing of an index is imported by other workers: they have no such extra.
"""

import threading
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import bootsteps

from history_sink.protocol.contract import SEARCH_QUEUE
from history_sink.protocol.tenants import kinds_of
from history_sink_worker import log
from history_sink_worker.service.redis_shelf import RedisShelf
from history_sink_worker.service.service import Service, service
from history_sink_worker.settings import SEARCH_DIR, WorkerSettings
from history_sink_worker.telemetry.metrics import note_indexed
from history_sink_worker.telemetry.vitals import CHART, SearchVitals

if TYPE_CHECKING:
    from history_sink_worker.search.state import State

_log = log.get("history_sink_worker")
_ending = threading.Event()
_threads: list[threading.Thread] = []
_locks: list[int] = []
"""Of the process: its consumer may begin anew any number of times."""


def leave_out(queues: Any) -> None:
    """Have a worker without ``-Q`` not take questions: whoever answers them needs an index."""
    if not queues._consume_from:  # it names queues only where it was told to: else it takes all
        queues.deselect([SEARCH_QUEUE])  # of each tenant: see `tenancy`


def find_refusal(settings: WorkerSettings) -> str | None:
    """Why this process cannot be a search worker, None where it can: then the folder is its own."""
    if find_spec("tantivy") is None:
        return f"the queue {SEARCH_QUEUE} needs the extra: pip install 'history-sink[search]'"
    if settings.broker.tenants and settings.tenant is None:
        return f"an index is one tenant's: a worker with the queue {SEARCH_QUEUE} serves one of them, not several"
    if settings.search_dir is None:
        return f"not set: {SEARCH_DIR}, the folder for the index that the queue {SEARCH_QUEUE} is answered from"
    from history_sink_worker.search.state import InUse, take_home

    try:
        _locks.append(take_home(Path(settings.search_dir)))
    except InUse as error:
        return str(error)
    except OSError as error:
        return f"{SEARCH_DIR}: {settings.search_dir} cannot be written to: {error.strerror}"
    return None


class SearchIndex(bootsteps.StartStopStep):
    """Works with every pool: the index is written in the worker's main process, and read wherever tasks run."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        """Called again after each loss of the broker: the index goes on all the while."""
        if SEARCH_QUEUE in kinds_of(consumer.app.amqp.queues.consume_from) and not _threads:
            _threads.append(threading.Thread(target=_keep_index, args=(service(),), name="search index", daemon=True))
            _threads[0].start()

    def shutdown(self, consumer: Any) -> None:
        """Commit what there is; a worker that is killed instead reads that again."""
        _ending.set()
        for thread in _threads:
            thread.join(timeout=20.0)


def _keep_index(work: Service) -> None:
    from history_sink_worker.search.indexer import Indexer
    from history_sink_worker.search.notices import Notices

    taken = 0

    def tell(state: "State") -> None:
        nonlocal taken
        note_indexed(state.taken - taken)
        taken = state.taken
        CHART.note(search=_read_vitals(state))

    settings = work.settings
    notices = None
    if settings.broker.redis_url is not None:
        shelf = RedisShelf(settings.broker.redis_url, settings.endpoint, settings.bucket)
        notices = Notices(shelf, settings.prefix)
    while not _ending.is_set():
        try:
            Indexer(work, Path(settings.search_dir or ""), notices, tell=tell).run(_ending)
        except Exception:  # noqa: BLE001  # a full disk, say: it is told, and tried again
            _log.exception("search index failed")
            _ending.wait(10.0)


def _read_vitals(state: "State") -> SearchVitals:
    return SearchVitals(
        beat_at=state.beat_at,
        behind=state.behind,
        behind_since=state.behind_since,
        is_rebuilding=state.is_rebuilding,
        messages=state.messages,
        index_bytes=state.index_bytes,
        compared_at=state.compared_at,
    )
