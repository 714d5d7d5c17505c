"""An index is what one built anew would be: after lost notices, deletions, branches, folds, foreign writers."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from history_sink import HistorySink
from history_sink.settings import ProducerSettings
from history_sink_worker.archive.compaction import compact
from history_sink_worker.archive.names import Log
from history_sink_worker.life.deletion import delete
from history_sink_worker.search import indexer as indexer_module
from history_sink_worker.search.feed import Feed
from history_sink_worker.search.fields import SCHEMA_VERSION
from history_sink_worker.search.indexer import Indexer
from history_sink_worker.search.notices import Notice, Notices
from history_sink_worker.search.pace import Pace
from history_sink_worker.search.places import Scope
from history_sink_worker.search.state import InUse, State, take_home
from history_sink_worker.service.redis_shelf import RedisShelf
from history_sink_worker.service.service import Service, make_service
from history_sink_worker.settings import WorkerSettings
from history_sink_worker.store import Away, Delete, Put, Steps
from indexes import built_anew, current, make_indexer, read_contents, save, settle, talk
from stack.processes import wait_until
from stack.redis import RedisServer
from stack.stack import producer_environment
from stack.worker import Worker


@pytest.fixture(scope="module")
def work(environment: Mapping[str, str]) -> Service:
    return make_service(WorkerSettings.from_env(environment))


@pytest.fixture(scope="module")
def sink(environment: Mapping[str, str], worker: Worker) -> Iterator[HistorySink]:
    del worker
    with HistorySink(ProducerSettings.from_env(producer_environment(environment))) as sink:
        yield sink


def notices_of(work: Service) -> Notices:
    settings = work.settings
    assert settings.broker.redis_url is not None
    shelf = RedisShelf(settings.broker.redis_url, settings.endpoint, settings.bucket)
    return Notices(shelf, settings.prefix)


def follows(indexer: Indexer, session: str, count: int) -> bool:
    """Whether the index has so many messages of it: a notice may come after the save is seen in the store."""
    settle(indexer)
    cursor = indexer._feed.index.cursor(session, None)
    return cursor is not None and cursor.messages == count


def test_it_follows_saves_by_notices_with_one_request_each(sink: HistorySink, work: Service, tmp_path: Path) -> None:
    history = talk("follow", 3)
    save(sink, "follow", history)
    indexer = make_indexer(work, tmp_path / "own", notices_of(work))
    settle(indexer)
    for count in (5, 9, 10):
        history = talk("follow", count)
        save(sink, "follow", history)
        wait_until(partial(follows, indexer, "follow", count), timeout_seconds=30, what="the notice of a save")
    asked: list[str] = []
    perform = type(work.store).perform

    def counting(store: object, request: object) -> object:
        asked.append(type(request).__name__)
        return perform(work.store, request)  # type: ignore[arg-type]  # it is one

    save(sink, "follow", talk("follow", 12))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(work.store), "perform", counting)
        wait_until(partial(follows, indexer, "follow", 12), timeout_seconds=30, what="the notice of a save")
    assert asked == ["Get"]
    contents = read_contents(indexer._feed.index)
    indexer.close()
    assert contents == built_anew(work, tmp_path / "anew")


def test_what_nobody_told_of_is_found_by_the_next_comparison(sink: HistorySink, work: Service, tmp_path: Path) -> None:
    save(sink, "quiet", talk("quiet", 4))
    indexer = make_indexer(work, tmp_path / "own")
    settle(indexer)
    save(sink, "quiet", talk("quiet", 6))
    save(sink, "quiet-new", talk("quiet-new", 2))
    work.run(compact(work.context, work.log("quiet"), everything=True))
    indexer._compare_at = 0.0
    settle(indexer)
    contents = read_contents(indexer._feed.index)
    indexer.close()
    assert contents == built_anew(work, tmp_path / "anew")


def test_a_fold_alone_makes_nobody_read(sink: HistorySink, work: Service, tmp_path: Path) -> None:
    for count in (1, 3, 5):
        save(sink, "folded", talk("folded", count))
    indexer = make_indexer(work, tmp_path / "own")
    settle(indexer)
    messages = indexer._feed.draft.done.messages
    work.run(compact(work.context, work.log("folded"), everything=True))
    indexer._compare_at = 0.0
    settle(indexer)
    assert indexer._feed.draft.done.messages == messages
    indexer.close()


def test_redis_that_forgets_leads_to_a_comparison(
    sink: HistorySink, work: Service, tmp_path: Path, environment: Mapping[str, str], redis_server: RedisServer
) -> None:
    save(sink, "forgetful", talk("forgetful", 2))
    notices = notices_of(work)
    indexer = make_indexer(work, tmp_path / "own", notices, Pace(tick=0.01, commit=0.0, beat=0.0, compare_again=0.0))
    settle(indexer)
    save(sink, "forgetful", talk("forgetful", 4))
    with redis_server.client(environment["CODETETHER_HISTORY_BROKER_URL"]) as redis:
        for key in redis.keys("history-sink:*:grown"):
            redis.delete(key)
    notices._checked_at = float("-inf")
    settle(indexer)
    wait_until(lambda: is_compared(indexer), timeout_seconds=30, what="another comparison")
    contents = read_contents(indexer._feed.index)
    indexer.close()
    assert contents == built_anew(work, tmp_path / "anew")


class Told(Notices):
    """Tells what a test says."""

    def __init__(self, *answers: list[Notice] | None) -> None:
        self._answers = [*answers]

    def read(self, now: float) -> list[Notice] | None:
        return self._answers.pop(0) if self._answers else []


def test_what_is_lost_during_a_comparison_leaves_the_index_doubtful(
    sink: HistorySink, work: Service, tmp_path: Path
) -> None:
    for name in ("doubt-a", "doubt-b"):
        save(sink, name, talk(name, 2))
    pace = Pace(tick=0.0, commit=-1.0, beat=0.0, compare_again=0.0)  # one log a turn
    indexer = make_indexer(work, tmp_path / "own", Told(None, None), pace)
    indexer.turn(1000.0)
    indexer.turn(1001.0)
    assert indexer._comparing is not None
    while indexer._comparing is not None:
        indexer.turn(1002.0)
    assert indexer._compared_at is None
    settle(indexer)
    assert indexer._compared_at is not None
    indexer.close()


def test_a_store_that_stays_away_is_not_told_to_be_back(
    sink: HistorySink, work: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("away-a", "away-b", "away-c"):
        save(sink, name, talk(name, 2))
    indexer = make_indexer(work, tmp_path / "own", None, Pace(tick=0.0, commit=60.0, beat=0.0, compare_again=3600.0))
    settle(indexer)
    told = Recorder()
    monkeypatch.setattr(indexer_module, "_log", told)

    def away(self: Feed, log: Log, offset: int = 0) -> None:
        raise Away("GetObject failed: 503")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Feed, "update", away)
        for name in ("away-a", "away-b", "away-c"):
            indexer._wanted.add(work.log(name), 0, time.time())
        indexer.run(Turns(5))
    assert told == ["search index waits"]
    indexer = make_indexer(work, tmp_path / "own", None, Pace(tick=0.0, commit=60.0, beat=0.0))
    indexer._tell_away(Away("GetObject failed: 503"))
    indexer.run(Turns(5))
    assert told == ["search index waits", "search index waits", "search index goes on"]


class Recorder(list[str]):
    """A log that keeps what is told."""

    def warning(self, event: str, **fields: object) -> None:
        self.append(event)

    info = warning


class Turns(threading.Event):
    """Set after so many waits, each of which is over at once."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._left = count

    def wait(self, timeout: float | None = None) -> bool:
        self._left -= 1
        return self._left < 0


def is_compared(indexer: Indexer) -> bool:
    """What was lost makes the index doubtful, until it has been compared again."""
    indexer.turn(time.time())
    return indexer._compared_at is not None and not indexer._is_busy


def test_a_deleted_session_leaves_the_index_and_then_its_files(
    sink: HistorySink, work: Service, tmp_path: Path
) -> None:
    save(sink, "doomed", [{"role": "user", "content": "the axolotl regrows"}])
    save(sink, "spared", talk("spared", 3))
    home = tmp_path / "own"
    indexer = make_indexer(work, home, None, Pace(tick=0.01, commit=0.0, beat=0.0, purge=0.0))
    settle(indexer)
    assert current(home).count_in_files("axolotl") == 1
    delete(work, "doomed")
    indexer._compare_at = 0.0
    settle(indexer)
    index = current(home)
    assert index.search(index.read("axolotl"), Scope(), 10) == []
    deadline = time.monotonic() + 30
    while (state := State.read(home)) is None or state.purge_since is not None or "axolotl" in words(home):
        indexer.turn(time.time())
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert current(home).count_in_files("axolotl") == 0
    assert len(list(home.glob("index-*"))) == 1
    contents = read_contents(indexer._feed.index)
    indexer.close()
    assert contents == built_anew(work, tmp_path / "anew")


def test_a_kill_behind_a_deletions_commit_leaves_the_words_to_be_purged(
    sink: HistorySink, work: Service, tmp_path: Path
) -> None:
    save(sink, "doomed-too", [{"role": "user", "content": "the olm waits"}])
    home = tmp_path / "own"
    settled = make_indexer(work, home, None, Pace(tick=0.01, commit=0.0, purge=0.0))
    settle(settled)
    settled.close()
    killed = make_indexer(work, home, None, Pace(tick=0.01, commit=0.0, beat=1e9, purge=1e9))  # it has told nothing yet
    killed._beat_at = time.time()
    delete(work, "doomed-too")
    settle(killed)
    killed.abandon()
    assert current(home).count_in_files("olm") == 1
    state = State.read(home)
    assert state is not None
    assert state.purge_since is None

    indexer = make_indexer(work, home, None, Pace(tick=0.01, commit=0.0, beat=0.0, purge=0.0))
    wait_until(lambda: is_purged(indexer, home, "olm"), timeout_seconds=30, what="another index")
    indexer.close()
    again = make_indexer(work, home)
    assert again._purge_since is None
    again.close()


def is_purged(indexer: Indexer, home: Path, word: str) -> bool:
    indexer.turn(time.time())
    return current(home).count_in_files(word) == 0


def words(home: Path) -> set[str]:
    return {"axolotl"} if current(home).count_in_files("axolotl") else set()


def test_lines_that_are_no_json_are_text_and_sealed_ones_are_counted(
    sink: HistorySink, work: Service, tmp_path: Path
) -> None:
    save(sink, "odd", [b"plain words of a narwhal\n", b'{"enc":"bm8gd29yZHM"}\n', b"\xff\x00 half a narwhal\n", b"\n"])  # type: ignore[list-item]  # ready-made lines
    indexer = make_indexer(work, tmp_path / "own")
    settle(indexer)
    index = indexer._feed.index
    found = index.search(index.read("narwhal"), Scope(session="odd"), 10)
    assert sorted(each.place.number for each in found) == [0, 2]
    assert [each.sealed for each in index.cursors("odd")] == [1]
    state = State.read(tmp_path / "own")
    assert state is not None
    assert state.sealed == 1
    indexer.close()


def test_sealed_lines_of_a_deleted_session_are_not_counted_any_more(
    sink: HistorySink, work: Service, tmp_path: Path
) -> None:
    indexer = make_indexer(work, tmp_path / "own")
    settle(indexer)
    before = indexer._feed.draft.sealed
    save(sink, "sealed", [b'{"enc":"bm8gd29yZHM"}\n', b'{"enc":"bm8gd29yZHN"}\n'])  # type: ignore[list-item]  # ready-made lines
    indexer._compare_at = 0.0
    settle(indexer)
    assert indexer._feed.draft.sealed == before + 2
    delete(work, "sealed")
    indexer._compare_at = 0.0
    settle(indexer)
    assert indexer._feed.draft.sealed == before
    indexer.close()


def test_of_a_session_without_any_object_no_branch_is_kept(sink: HistorySink, work: Service, tmp_path: Path) -> None:
    common = talk("emptied", 2)
    save(sink, "emptied", [*common, {"role": "user", "content": "one ending"}])
    save(sink, "emptied", [*common, {"role": "user", "content": "another ending"}])
    indexer = make_indexer(work, tmp_path / "own")
    settle(indexer)
    assert len(list(indexer._feed.index.cursors("emptied"))) == 2
    work.run(remove([entry.key for entry in work.walk(work.log("emptied").root)]))
    indexer._compare_at = 0.0
    settle(indexer)
    assert list(indexer._feed.index.cursors("emptied")) == []
    indexer.close()


def remove(keys: list[str]) -> Steps[None]:
    yield Delete(tuple(keys))


def test_what_another_program_overwrites_is_not_kept(sink: HistorySink, work: Service, tmp_path: Path) -> None:
    save(sink, "foreign", talk("foreign", 4))
    indexer = make_indexer(work, tmp_path / "own")
    settle(indexer)
    assert list(indexer._feed.index.cursors("foreign"))
    log = work.log("foreign")
    listed = next(entry for entry in work.walk(log.root) if entry.key == log.base)
    work.run(overwrite(log.base, listed.etag))
    indexer._compare_at = 0.0
    settle(indexer)
    index = indexer._feed.index
    found = index.search(index.read("foreign lynx1 capybara"), Scope(session="foreign"), 10)
    assert [each.place.number for each in found] == [0]
    indexer.close()


def test_a_log_that_cannot_be_read_keeps_no_other_out(
    sink: HistorySink, work: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bad-log", "good-log"):
        save(sink, name, talk(name, 2))
    follow = Feed._follow

    def failing(self: Feed, log: Log, offset: int) -> Steps[None]:
        if log.session == "bad-log" and broken:
            raise Away("GetObject failed: 503")
        return follow(self, log, offset)

    broken = True
    monkeypatch.setattr(Feed, "_follow", failing)
    indexer = make_indexer(work, tmp_path / "own")
    settle(indexer)
    assert list(indexer._feed.index.cursors("good-log"))
    indexer._beat(time.time())
    state = State.read(tmp_path / "own")
    assert state is not None
    assert state.behind == 1
    broken = False
    indexer._wanted._put_off = dict.fromkeys(indexer._wanted._put_off, (0.0, 0))
    settle(indexer)
    contents = read_contents(indexer._feed.index)
    indexer.close()
    assert contents == built_anew(work, tmp_path / "anew")


def overwrite(key: str, etag: str):  # type: ignore[no-untyped-def]  # Steps[None]
    line = json.dumps({"role": "user", "content": "only a capybara " * 30}).encode() + b"\n"
    yield Put(key, line, {}, if_match=etag)


def test_files_that_cannot_be_read_are_built_anew(sink: HistorySink, work: Service, tmp_path: Path) -> None:
    save(sink, "torn", talk("torn", 3))
    home = tmp_path / "own"
    built_anew(work, home)
    for path in next(iter(home.glob("index-*"))).iterdir():
        path.write_bytes(b"torn")
    assert built_anew(work, home) == built_anew(work, tmp_path / "anew")


TAKE = """
import sys
from pathlib import Path
from history_sink_worker.search.state import take_home
take_home(Path(sys.argv[1]))
"""


def test_a_folder_has_one_writer(tmp_path: Path) -> None:
    take_home(tmp_path / "own")
    process = [sys.executable, "-c", TAKE, str(tmp_path / "own")]
    done = subprocess.run(process, capture_output=True, text=True, check=False)
    assert InUse.__name__ in done.stderr


def test_an_index_of_another_version_is_not_asked_and_a_new_one_takes_its_place(
    sink: HistorySink, work: Service, tmp_path: Path
) -> None:
    save(sink, "versions", talk("versions", 3))
    home = tmp_path / "own"
    built = built_anew(work, home)
    state = State.read(home)
    assert state is not None
    old = home / f"index-{SCHEMA_VERSION - 1}-older"
    current(home).folder.rename(old)
    replace(state, folder=old.name).write(home)
    indexer = make_indexer(work, home)
    assert not old.exists()
    assert list(indexer._feed.index.cursors()) == []
    settle(indexer)
    assert read_contents(indexer._feed.index) == built
    assert current(home).folder.name.startswith(f"index-{SCHEMA_VERSION}-")
    indexer.close()


def test_a_first_build_commits_at_its_own_pace(sink: HistorySink, work: Service, tmp_path: Path) -> None:
    for name in ("first-a", "first-b"):
        save(sink, name, talk(name, 2))
    pace = Pace(tick=0.0, commit=-1.0, build=60.0, beat=0.0)  # one log a turn
    indexer = make_indexer(work, tmp_path / "own", None, pace)
    indexer._committed_at = 1000.0
    indexer.turn(1001.0)
    assert not indexer._feed.draft.is_empty
    indexer.turn(1061.0)
    assert indexer._feed.draft.is_empty
    settle(indexer)
    save(sink, "first-a", talk("first-a", 3))
    indexer._wanted.add(work.log("first-a"), 0, time.time())
    indexer.turn(indexer._committed_at + 1.0)
    assert indexer._feed.draft.is_empty
    indexer.close()


def test_who_speaks_in_a_part_is_told_by_a_line_before_it(sink: HistorySink, work: Service, tmp_path: Path) -> None:
    events: list[dict[str, object]] = []
    for number, role in enumerate(("user", "assistant", "user")):
        message = f"m{number}"
        part = {"id": f"p{number}", "type": "text", "messageID": message, "text": f"the dugong {number}"}
        events.append({"type": "message.updated.1", "data": {"info": {"id": message, "role": role}}})
        events.append({"type": "message.part.updated.1", "data": json.dumps({"part": part})})
    tool = {"id": "t", "type": "tool", "messageID": "m2", "tool": "bash", "state": {"output": "a dugong"}}
    events.insert(5, {"type": "message.part.updated.1", "data": {"part": tool}})
    indexer = make_indexer(work, tmp_path / "own", notices_of(work))
    for count in (3, 5, len(events)):  # one look ends between a message and its part
        save(sink, "opencode", events[:count])
        wait_until(partial(follows, indexer, "opencode", count), timeout_seconds=30, what="the notice of a save")
    index = indexer._feed.index

    def find(role: str) -> set[int]:
        scope = Scope(session="opencode", role=role)
        return {each.place.number for each in index.search(index.read("dugong"), scope, 10)}

    assert (find("user"), find("assistant"), find("tool")) == ({1, 6}, {3}, {5})
    contents = read_contents(index)
    indexer.close()
    assert contents == built_anew(work, tmp_path / "anew")
