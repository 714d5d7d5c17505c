"""A search worker among the others, killed again and again. At the end its index must be one that is built anew.

It is killed once more when nothing is written any more: a notice may be lost, and the comparison with the bucket that
makes good for it is due at a start, or an hour later.
"""

import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, TypeAlias

import tantivy

from history_sink.protocol.contract import SEARCH_QUEUE
from history_sink_worker.search.feed import Feed
from history_sink_worker.search.fields import make_schema
from history_sink_worker.search.index import Index
from history_sink_worker.search.state import State
from history_sink_worker.service.service import make_service
from history_sink_worker.settings import WorkerSettings
from stack.processes import NotReady, Process, wait_until
from torture.member import Member

SEARCHER = "searcher"
_LEVEL_SECONDS = 120.0

Contents: TypeAlias = list[bytes]


def make_searcher(directory: Path, variables: dict[str, str], root: Path) -> Member:
    """`variables` are a worker's."""
    command = [sys.executable, "-m", "celery", "-A", "torture.worker_app", "worker", "--loglevel", "INFO"]
    command += ["-P", "threads", "-c", "2", "-n", f"{SEARCHER}@local", "-Q", SEARCH_QUEUE]
    environment = {**os.environ, **variables, "CODETETHER_HISTORY_SEARCH_DIR": str(directory / "search")}
    log_path = directory / f"{SEARCHER}.log"
    process = Process(SEARCHER, command, log_path=log_path, environment=environment, directory=root)
    return Member(process, ready_mark=f"{SEARCHER}@local ready")


def judge_index(searcher: Member, directory: Path, variables: dict[str, str]) -> list[str]:
    """Kill the searcher, have it come level, and compare. `variables` are a worker's past the proxies.

    Returns how they differ.
    """
    home = directory / "search"
    searcher.kill(0.0)
    killed_at = time.time()
    searcher.tend()
    anew = Feed(make_service(WorkerSettings.from_env(variables)), Index(directory / "anew", is_writer=True))
    for _ in anew.reconcile():
        pass
    anew.draft.commit()
    try:
        wait_until(lambda: _is_level(home, killed_at), timeout_seconds=_LEVEL_SECONDS, what="the index to be level")
    except NotReady as error:
        return [str(error)]
    kept, built = read_contents(_find_current(home)), read_contents(directory / "anew")
    anew.index.close()
    return compare(kept, built)


def compare(kept: Contents, built: Contents) -> list[str]:
    """How an index differs from one that was built anew, in a line."""
    if not built:
        return ["nothing was indexed, so that the comparison shows nothing"]
    surplus, missing = (Counter(kept) - Counter(built)).total(), (Counter(built) - Counter(kept)).total()
    return [f"{surplus} messages too many, {missing} missing, of {len(built)}"] if surplus or missing else []


def read_contents(folder: Path) -> Contents:
    """Each message by its place and text, repeats included, in order."""
    index = tantivy.Index.open(str(folder))
    searcher: Any = index.searcher()
    every = tantivy.Query.regex_query(make_schema(), "tags", "session:.*")
    hits = searcher.search(every, max(1, searcher.num_docs)).hits
    return sorted(searcher.doc(address).get_first("ref") for _, address in hits)


def _is_level(home: Path, since: float) -> bool:
    state = State.read(home)
    if state is None or state.compared_at is None or state.is_rebuilding:
        return False
    return state.compared_at > since and state.behind == 0 and state.beat_at > state.compared_at


def _find_current(home: Path) -> Path:
    state = State.read(home)
    assert state is not None
    assert state.folder is not None
    return home / state.folder
