"""Search workers as they run, killed at any moment, told nothing, away for a week: their indexes are as built anew.

SEARCH_KILLS=100 kills them so often, in five minutes; `make test-search` does.
"""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from forked_process import ForkedWorker
from history_sink import HistorySink
from history_sink.settings import ProducerSettings
from history_sink_worker.archive.compaction import compact
from history_sink_worker.life.deletion import delete
from history_sink_worker.search.places import Scope
from history_sink_worker.search.state import State
from history_sink_worker.service.service import Service, make_service
from history_sink_worker.settings import WorkerSettings
from indexes import built_anew, current, read_contents, save, talk
from stack.processes import wait_until
from stack.redis import RedisServer
from stack.stack import producer_environment
from stack.worker import Worker

KILLS = int(os.environ.get("SEARCH_KILLS", "4"))
DAY_SECONDS = 24 * 3600.0


@pytest.fixture(scope="module")
def work(environment: Mapping[str, str]) -> Service:
    return make_service(WorkerSettings.from_env(environment))


@pytest.fixture(scope="module")
def sink(environment: Mapping[str, str], worker: Worker) -> Iterator[HistorySink]:
    del worker
    with HistorySink(ProducerSettings.from_env(producer_environment(environment))) as sink:
        yield sink


class Searcher:
    """A search worker with a folder of its own, started again as often as one likes."""

    def __init__(self, environment: Mapping[str, str], home: Path, worker_type: type[Worker] = ForkedWorker) -> None:
        self.home = home
        variables = {**environment, "CODETETHER_HISTORY_SEARCH_DIR": str(home)}
        log_path = home.with_suffix(".log")
        self.process = worker_type(variables, log_path=log_path, name=home.name, queues=["history.search"]).process

    def has_told(self, since: float) -> bool:
        """Whether its index is at work, and has been after `since`."""
        state = State.read(self.home)
        return state is not None and state.beat_at > since

    def is_level(self, since: float) -> bool:
        """Whether it has compared all of the bucket after `since`, and lacks nothing that it has heard of."""
        state = State.read(self.home)
        if state is None or state.compared_at is None or state.is_rebuilding or state.behind:
            return False
        return since < state.compared_at < state.beat_at

    def wait_for_a_file(self) -> None:
        """Until it writes: a commit begins with a file that was not there."""
        known, deadline = self._files(), time.monotonic() + 5.0
        while self._files() <= known and time.monotonic() < deadline:
            pass

    def _files(self) -> set[Path]:
        return {path for path in self.home.glob("index-*/*") if len(path.stem) == 32}


class Late(Searcher):
    """One whose clock is days ahead of the store's. Its signatures go by another, or it would be refused there."""

    def __init__(self, environment: Mapping[str, str], home: Path, days: int) -> None:
        program = home.parent / f"{days}-days"
        program.mkdir()
        moved = f"import time; real = time.time; time.time = lambda: real() + {days * DAY_SECONDS}"
        (program / "sitecustomize.py").write_text(moved)  # Python's own start runs it: so it is no forked worker
        super().__init__({**environment, "PYTHONPATH": str(program)}, home, Worker)


class Talkers(threading.Thread):
    """Sessions grow, part, fold, begin and end, and Redis forgets all, until `ending` is set."""

    def __init__(self, sink: HistorySink, work: Service, forget: Callable[[], object]) -> None:
        super().__init__()
        self.ending = threading.Event()
        self.rounds = 0
        self._sink, self._work, self._forget = sink, work, forget

    def run(self) -> None:
        while not self.ending.is_set() or self.rounds < 5:
            self._go_round(self.rounds)
            self.rounds += 1
            self.ending.wait(0.5)  # the bucket is not to outgrow the kills

    def _go_round(self, number: int) -> None:
        save(self._sink, f"grows{number % 5}", talk(f"grows{number % 5}", 5 * number + 20))
        save(self._sink, f"parts{number}", talk(f"parts{number}", 12))
        save(self._sink, f"parts{number}", [*talk(f"parts{number}", 6), *talk("otherwise", 3)])
        self._sink.append(f"appended{number % 5}", *talk("appended", 2))
        assert self._sink.flush(f"appended{number % 5}")
        if number % 2:
            delete(self._work, f"parts{number - 1}")
            self._work.run(compact(self._work.context, self._work.log("grows0"), everything=True))
        if number % 5 == 3:
            self._forget()


@pytest.mark.timeout(120 + 10 * KILLS)
def test_two_that_are_killed_at_any_moment_have_the_index_of_one_built_anew(
    sink: HistorySink,
    work: Service,
    environment: Mapping[str, str],
    redis_server: RedisServer,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    rng = random.Random(7)
    searchers = [Searcher(environment, tmp_path / name) for name in ("one", "two")]
    with redis_server.client(environment["CODETETHER_HISTORY_BROKER_URL"]) as redis:
        talkers = Talkers(sink, work, redis.flushdb)
        talkers.start()
        try:
            for turn in range(KILLS):
                searcher, began_at = searchers[turn // 2 % 2], time.time()
                searcher.process.launch()
                if turn % 4 < 2:
                    time.sleep(rng.uniform(0.0, 2.0))  # it may not have begun, or be anywhere
                else:
                    wait_until(partial(searcher.has_told, began_at), timeout_seconds=60, what="an index")
                    searcher.wait_for_a_file()
                    time.sleep(rng.uniform(0.0, 0.02))
                searcher.process.kill()
        finally:
            talkers.ending.set()
            talkers.join()
    built = built_anew(work, tmp_path / "anew", 240)
    record_property("messages that were compared after the kills", len(built[0]))
    for searcher in searchers:
        began_at = time.time()
        searcher.process.launch()
        wait_until(partial(searcher.is_level, began_at), timeout_seconds=240, what="a level index")
        searcher.process.kill()
        assert read_contents(current(searcher.home)) == built


def test_after_a_week_away_the_bucket_alone_tells_all_that_was_missed_and_what_was_deleted_leaves_the_files(
    sink: HistorySink,
    work: Service,
    environment: Mapping[str, str],
    redis_server: RedisServer,
    tmp_path: Path,
) -> None:
    for name in ("grown", "folded", "parted", "deleted", "unchanged"):
        save(sink, name, talk(name, 6))
    home = tmp_path / "away"
    follow(Searcher(environment, home), 0.0)
    assert current(home).count_in_files("deleted") == 6
    for messages in (9, 12):
        save(sink, "grown", talk("grown", messages))
        save(sink, "folded", talk("folded", messages))
    save(sink, "parted", [*talk("parted", 3), *talk("parted otherwise", 5)])
    save(sink, "begun", talk("begun", 4))
    sink.append("begun", *talk("appended", 2))
    assert sink.flush("begun")
    delete(work, "deleted")
    aged = replace(work, context=replace(work.context, now=lambda: time.time() + 7 * DAY_SECONDS))
    for _ in range(2):  # the second deletes what the first has folded
        aged.run(compact(aged.context, aged.log("folded"), everything=True))
    with redis_server.client(environment["CODETETHER_HISTORY_BROKER_URL"]) as redis:
        redis.flushdb()

    built = built_anew(work, tmp_path / "anew", 240)
    late = {name: f'"{name} says 11"' for name in ("grown", "folded")}  # said while nobody indexed
    assert not any(find_sessions(home, phrase) for phrase in late.values())
    follow(Late(environment, home, days=7), 7 * DAY_SECONDS)
    assert read_contents(current(home)) == built
    assert all(find_sessions(home, phrase) == {name} for name, phrase in late.items())
    assert find_sessions(home, '"parted otherwise"') == {"parted"}
    assert find_sessions(home, "deleted") == set()
    purge(environment, home)
    assert read_contents(current(home)) == built
    assert current(home).count_in_files("deleted") == 0


def follow(searcher: Searcher, ahead_seconds: float) -> None:
    """Run it until its index is level, and kill it then."""
    began_at = time.time() + ahead_seconds
    searcher.process.launch()
    wait_until(lambda: searcher.is_level(began_at), timeout_seconds=60, what="a level index")
    searcher.process.kill()


def purge(environment: Mapping[str, str], home: Path) -> None:
    """Run one a day later, which is killed while it builds another index, and again until that is the one asked."""
    old = current(home).folder
    searcher = Late(environment, home, days=8)
    for is_done in (lambda: len(list(home.glob("index-*"))) == 2, lambda: has_purged(home, old)):
        searcher.process.launch()
        wait_until(is_done, timeout_seconds=60, what="another index")
        searcher.process.kill()


def has_purged(home: Path, old: Path) -> bool:
    state = State.read(home)
    return state is not None and state.folder != old.name and state.purge_since is None


def find_sessions(home: Path, query: str) -> set[str]:
    index = current(home)
    return {found.place.session for found in index.search(index.read(query), Scope(), 100)}
