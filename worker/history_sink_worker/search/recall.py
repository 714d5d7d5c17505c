"""Answer a question: ask the index, and show what the archive has.

An index may be old, and lines of a log never change. So one request tells which sessions may have been deleted. Of
others a text that the index has kept is shown as it is. All else is read through the archive: what is not there any
more, or is something else, is not shown, and the writer is told to look at that log.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any, TypeVar

from history_sink.protocol.pointer import Fault, PointerHandle
from history_sink.protocol.search import Hit, Question, Recalled
from history_sink_worker.archive import reader
from history_sink_worker.archive.context import Context
from history_sink_worker.archive.deletions import Announced
from history_sink_worker.archive.names import Log
from history_sink_worker.search.excerpt import make_excerpt
from history_sink_worker.search.extraction import extract
from history_sink_worker.search.index import Index, digest_of
from history_sink_worker.search.places import Found, Place, Scope
from history_sink_worker.search.question import Terms
from history_sink_worker.search.sealed import open_line
from history_sink_worker.search.state import State, wish
from history_sink_worker.service.service import Service

T = TypeVar("T")

WAIT_SECONDS = 5.0
"""How long a question may wait for a save that it asks for."""
START_SECONDS = 2.0
DEAD_SECONDS = 15.0
"""A writer that has not said anything for so long is not at work."""
_READERS = 10
"""As many as an answer usually has hits: all are read at once."""
_POLL_SECONDS = 0.02
_WISH_SECONDS = 0.25


class Recall:
    """Of one process: any number of threads may ask. It opens the index that the writer names, and reads alone."""

    def __init__(self, work: Service, home: Path, now: Callable[[], float] = time.time) -> None:
        self._work, self._home, self._now = work, home, now
        self._lock = threading.Lock()
        self._index: Index | None = None
        self._threads = ThreadPoolExecutor(_READERS, thread_name_prefix="recall")
        self._announced = Announced()

    def answer(self, question: Question) -> Recalled | Fault:
        """The hits, or why there can be none. Raises `StoreError` where the store does not answer."""
        state = self._read_state()
        if state is None or state.folder is None:
            return Fault("backend_error", "the search index is not there yet: its worker has just been started")
        index = self._open(state.folder)
        if index is None:
            return Fault("backend_error", "the search index is being replaced; ask again")
        try:
            missing = self._wait(index, *question.at_least) if question.at_least is not None else None
            if missing is not None:
                return missing
            hits = self._find(index, question)
        except OSError:
            return Fault("backend_error", "the search index is being replaced; ask again")
        state = State.read(self._home) or state
        is_dead = self._now() - state.beat_at > DEAD_SECONDS
        return Recalled(
            hits=tuple(hits),
            newest_write=state.newest_write,
            behind=state.behind,
            is_rebuilding=state.is_rebuilding,
            compared_at=None if is_dead else state.compared_at,
            messages=state.messages,
            sealed=state.sealed,
        )

    def _read_state(self) -> State | None:
        """A writer that has just been started needs a moment."""
        deadline = time.monotonic() + START_SECONDS
        while (state := State.read(self._home)) is None and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return state

    def _open(self, folder: str) -> Index | None:
        with self._lock:
            try:
                if self._index is None or self._index.folder.name != folder:
                    self._index = Index(self._home / folder)
                self._index.refresh()
            except (OSError, ValueError):
                self._index = None
            return self._index

    def _wait(self, index: Index, session: str, branch: str | None, offset: int) -> Fault | None:
        """Until the index reaches that far; else how far it is."""
        deadline, wish_at = time.monotonic() + WAIT_SECONDS, 0.0
        while True:
            cursor, now = index.cursor(session, branch), time.monotonic()
            if cursor is not None and cursor.offset >= offset:
                return None
            if now > deadline:
                reached = cursor.offset if cursor else 0
                reason = f"the index is at byte {reached} of {session}, and not yet at {offset}"
                return Fault("backend_error", reason)
            if now >= wish_at:  # not each time: it costs a look at the log
                wish(self._home, session, branch)
                wish_at = now + _WISH_SECONDS
            time.sleep(_POLL_SECONDS)
            index.refresh()

    def _find(self, index: Index, question: Question) -> list[Hit]:
        terms = index.read(question.query)
        scope = Scope(question.session, question.branch, question.role, question.project, question.since)
        deleted = self._start(self._work.read, self._announced.look(self._work.settings.prefix))
        hits: list[Hit] = []
        for spare in (0, 3 * question.limit + 10):  # again with more, where some are not there any more
            found = index.search(terms, scope, question.limit + spare)
            shown = self._show_all(terms, found, deleted.result())
            hits = [hit for hit in shown if hit is not None][: question.limit]
            if len(hits) == min(question.limit, len(found)):
                break
        return hits

    def _start(self, do: Callable[..., T], *given: Any) -> Future[T]:
        """In another thread, with the task's own variables: what is asked of the store is told with the task."""
        return self._threads.submit(copy_context().run, do, *given)

    def _show_all(self, terms: Terms, found: list[Found], deleted: frozenset[str]) -> list[Hit | None]:
        """Each as the archive has it; None where that has it no longer."""
        kept = {at: each.kept for at, each in enumerate(found) if each.place.session not in deleted}
        asked = [at for at in range(len(found)) if kept.get(at) is None]
        context = self._work.know_hints({self._log_of(found[at].place).root for at in asked})
        read = {at: self._start(self._read, context, found[at]) for at in asked}
        texts = [read[at].result() if at in read else kept[at] for at in range(len(found))]
        pairs = zip(found, texts, strict=True)
        return [None if text is None else self._make_hit(terms, each, text) for each, text in pairs]

    def _log_of(self, place: Place) -> Log:
        return Log(self._work.settings.prefix, place.session, place.branch)

    def _handle_of(self, place: Place) -> PointerHandle:
        return PointerHandle(self._work.settings.bucket, self._log_of(place).base, (place.start, place.end))

    def _read(self, context: Context, found: Found) -> str | None:
        """What the archive has at the place, if that is what was indexed."""
        settings, place = self._work.settings, found.place
        cap_bytes = place.end - place.start  # what was indexed is no longer than a line may be
        wanted = self._handle_of(place).encode()
        answer = self._work.read(reader.read(context, settings.bucket, settings.prefix, wanted, cap_bytes))
        if isinstance(answer, Fault):
            if answer.kind == "no_match":
                wish(self._home, place.session, place.branch)
            return None
        text = extract(open_line(place.session, answer)).text
        if digest_of(text) != found.digest:
            wish(self._home, place.session, place.branch)
            return None
        return text

    def _make_hit(self, terms: Terms, found: Found, text: str) -> Hit:
        place = found.place
        excerpt, marks = make_excerpt(text, terms)
        return Hit(
            handle=self._handle_of(place),
            session=place.session,
            branch=place.branch,
            message=place.number,
            role=found.role,
            at=found.at,
            score=round(found.score, 3),
            excerpt=excerpt,
            marks=tuple(marks),
        )
