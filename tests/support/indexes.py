"""What is in an index, so that two can be compared; and an indexer that a test drives by hand."""

import time
from pathlib import Path
from typing import Any

import tantivy

from history_sink import HistorySink
from history_sink_worker.search.fields import make_schema
from history_sink_worker.search.index import Index
from history_sink_worker.search.indexer import Indexer
from history_sink_worker.search.notices import Notices
from history_sink_worker.search.pace import Pace
from history_sink_worker.search.state import State
from history_sink_worker.service.service import Service

QUICK = Pace(tick=0.01, commit=0.0, beat=0.0)
Contents = tuple[list[str], list[tuple[str, str | None, int, str, int, int]]]


def read_contents(index: Index) -> Contents:
    """Every message by its place and text, repeats included; and how far each log is indexed."""
    index.refresh()
    searcher: Any = index._searcher
    field = tantivy.Query.regex_query(make_schema(), "tags", "session:.*")
    found = searcher.search(field, max(1, searcher.num_docs)).hits
    messages = sorted(str(searcher.doc(address).get_first("ref")) for _, address in found)
    cursors = [
        (each.session, each.branch, each.offset, each.chain, each.messages, each.sealed) for each in index.cursors()
    ]
    return messages, sorted(cursors, key=lambda cursor: (cursor[0], cursor[1] or ""))


def make_indexer(work: Service, home: Path, notices: Notices | None = None, pace: Pace = QUICK) -> Indexer:
    """In a folder that is there."""
    home.mkdir(exist_ok=True)
    return Indexer(work, home, notices, pace)


def settle(indexer: Indexer, seconds: float = 30.0) -> None:
    """Have it do all that is due now."""
    deadline = time.monotonic() + seconds
    while True:
        indexer.turn(time.time())
        if not indexer._is_busy and indexer._feed.draft.is_empty:
            return
        assert time.monotonic() < deadline, "the indexer does not come to an end"


def built_anew(work: Service, home: Path, seconds: float = 30.0) -> Contents:
    """What an index has that is built of the store alone, now."""
    indexer = make_indexer(work, home)
    settle(indexer, seconds)
    contents = read_contents(indexer._feed.index)
    indexer.close()
    return contents


def talk(name: str, messages: int) -> list[dict[str, object]]:
    """Messages of which each has a word of its own: lynx0, lynx1, …"""
    return [{"role": ("user", "assistant")[n % 2], "content": f"{name} says {n} of lynx{n}"} for n in range(messages)]


def save(sink: HistorySink, session: str, messages: list[dict[str, object]]) -> None:
    """Save, and wait until the store has it."""
    sink.save(session, messages)
    assert sink.flush(session)


def current(home: Path) -> Index:
    """The index that is asked."""
    state = State.read(home)
    assert state is not None
    assert state.folder is not None
    return Index(home / state.folder)
