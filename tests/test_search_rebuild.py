"""An index that is built beside the one that is asked takes its place when it has all, whatever fails on the way."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import pytest

from history_sink import HistorySink
from history_sink.settings import ProducerSettings
from history_sink_worker.archive.names import Log
from history_sink_worker.search.feed import Feed
from history_sink_worker.search.indexer import Indexer
from history_sink_worker.search.rebuild import Rebuild
from history_sink_worker.service.service import Service, make_service
from history_sink_worker.settings import WorkerSettings
from history_sink_worker.store import Away, Steps
from indexes import QUICK, current, make_indexer, settle
from stack.processes import wait_until
from stack.stack import producer_environment
from stack.worker import Worker

PURGING = replace(QUICK, purge=0.0)


@pytest.fixture(scope="module")
def work(environment: Mapping[str, str], worker: Worker) -> Service:
    """With four sessions."""
    del worker
    made = make_service(WorkerSettings.from_env(environment))
    with HistorySink(ProducerSettings.from_env(producer_environment(environment))) as sink:
        for name in ("aardvark", "bongo", "caracal", "dodo"):
            sink.save(name, [{"role": "user", "content": f"where does the {name} live?"}])
            assert sink.flush(name)
    return made


@pytest.fixture
def indexer(work: Service, tmp_path: Path) -> Iterator[Indexer]:
    """Level, and about to build another index, as if a session were gone."""
    made = make_indexer(work, tmp_path / "own", None, PURGING)
    settle(made)
    made._purge_since = 1.0
    yield made
    made.close()


def switch(indexer: Indexer) -> None:
    """Have it do all that is due until the other index has taken this one's place."""
    old = indexer._feed

    def is_done() -> bool:
        try:
            indexer.turn(time.time())
        except Away:
            indexer._comparing = None
        return indexer._feed is not old

    wait_until(is_done, timeout_seconds=30, what="the other index")


def test_one_whose_last_comparison_the_store_has_cut_off_is_compared_again(
    indexer: Indexer, work: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, cut_off = Rebuild.go_on, list[Feed]()

    def reconcile(self: Feed) -> Iterator[int]:
        cut_off.append(self)
        raise Away("ListObjectsV2 failed: 503")
        yield 0

    def go_on_away(self: Rebuild) -> bool:
        if not cut_off:
            self.feed.index.drop_session("bongo")  # stands for what has come since it was built
            self.feed.draft._moved["bongo", None] = None
            self.feed.draft.commit()
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Feed, "reconcile", reconcile)
                return go_on(self)
        return go_on(self)

    monkeypatch.setattr(Rebuild, "go_on", go_on_away)
    switch(indexer)
    assert len(cut_off) == 1
    assert current(tmp_path / "own").cursor("bongo", None) is not None


def test_a_comparison_that_it_cuts_off_is_made_again(indexer: Indexer) -> None:
    indexer._comparing, indexer._compare_at = repeat(0), time.time() + 3600
    switch(indexer)
    began_at = time.time()
    settle(indexer)
    assert indexer._compared_at is not None
    assert indexer._compared_at >= began_at


def test_what_it_could_not_read_is_known_to_be_missing(
    indexer: Indexer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow, old = Feed._follow, indexer._feed

    def failing(self: Feed, log: Log, offset: int) -> Steps[None]:
        if log.session == "bongo" and self is not old:
            raise Away("GetObject failed: 503")
        return follow(self, log, offset)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Feed, "_follow", failing)
        switch(indexer)
    assert current(tmp_path / "own").cursor("bongo", None) is None
    assert {log.session for log in indexer._wanted._offsets} == {"bongo"}
    settle(indexer)
    assert current(tmp_path / "own").cursor("bongo", None) is not None


def test_one_that_fails_is_not_begun_anew_at_once(indexer: Indexer, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[float] = []

    class Failing:
        has_failed = True

        def __init__(self, work: Service, folder: Path, now: float) -> None:
            begun.append(now)

        def give_up(self) -> None:
            pass

    monkeypatch.setattr("history_sink_worker.search.indexer.Rebuild", Failing)
    now = time.time()
    for seconds in (0, 1, 2, 3, 3000):
        indexer.turn(now + seconds)
    assert begun == [now, now + 3000]
