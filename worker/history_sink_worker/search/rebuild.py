"""An index that is built beside the one that is asked: it never had what was deleted."""

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from history_sink_worker import log
from history_sink_worker.search.feed import Feed
from history_sink_worker.search.index import Index
from history_sink_worker.service.service import Service
from history_sink_worker.store import StoreError

_log = log.get("history_sink_worker")
_SLICE_SECONDS = 1.0


class Rebuild:
    """An index that is built beside the one that is asked, in a thread of its own, until it is nearly level."""

    def __init__(self, work: Service, folder: Path, now: float) -> None:
        self.feed = Feed(work, Index(folder, is_writer=True))
        self.began_at = now
        self.has_failed = False
        self.is_level = False
        self._ending = threading.Event()
        self._last: Iterator[int] | None = None
        self._thread = threading.Thread(target=self._build, name="search rebuild", daemon=True)
        self._thread.start()

    def _build(self) -> None:
        try:
            for _ in self.feed.reconcile():
                if self._ending.is_set():
                    return
            self.feed.draft.commit()
            self.is_level = True
        except Exception as error:  # noqa: BLE001  # begun anew by the indexer
            _log.warning("search index not purged yet", error=type(error).__name__)
            self.has_failed = True

    def go_on(self) -> bool:
        """By the indexer's thread: take in what has changed meanwhile. False when that is done. Raises `StoreError`."""
        if self._last is None:
            self._last = self.feed.reconcile()
        began = time.monotonic()
        try:
            return any(time.monotonic() - began > _SLICE_SECONDS for _ in self._last)
        except StoreError:
            self._last = None  # what has raised is at its end, and would look done
            raise

    def give_up(self) -> None:
        """Remove what there is of it."""
        self._ending.set()
        self._thread.join()
        self.feed.index.close()
        shutil.rmtree(self.feed.index.folder, ignore_errors=True)
