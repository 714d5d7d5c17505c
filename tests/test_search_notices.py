"""What workers tell of logs that have grown, on a real Redis: the furthest counts, and nobody listens for nothing."""

import threading
import time
from functools import partial
from typing import Any

import pytest

from history_sink_worker.archive.hint import Hint
from history_sink_worker.archive.names import Log
from history_sink_worker.search.notices import Notice, Notices
from history_sink_worker.service.held_hints import HeldHints, TakenHints
from history_sink_worker.service.redis_hints import RedisHints
from history_sink_worker.service.redis_shelf import RedisShelf
from stack.processes import wait_until
from stack.redis import RedisServer

LOG = Log("history/", "s")


@pytest.fixture
def shelf(redis_server: RedisServer) -> RedisShelf:
    return RedisShelf(redis_server.new_database(), "http://store", "bucket")


def hint_of(offset: int) -> Hint:
    return Hint(offset=offset, chain16="0123456789abcdef", proved_at=1.0)


def test_a_worker_that_tells_late_does_not_hide_how_far_another_has_brought_a_log(shelf: RedisShelf) -> None:
    notices, hints = Notices(shelf, "history/"), RedisHints(shelf, settle_seconds=7200)
    assert notices.read(0.0) is None
    for offset in (200, 100):
        hints.put(LOG.root, hint_of(offset))
    assert notices.read(0.0) == [Notice(LOG, 200), Notice(LOG, 100)]
    assert notices.read(0.0) == []


def test_where_nobody_keeps_an_index_redis_keeps_no_notices(shelf: RedisShelf) -> None:
    hints = RedisHints(shelf, settle_seconds=7200)
    hints.put(LOG.root, hint_of(100))
    assert hints.get(LOG.root) == hint_of(100)
    assert shelf.ask(lambda client: client.keys("*grown"), None) == []
    notices = Notices(shelf, "history/")
    assert notices.read(0.0) is None
    hints.put(LOG.root, hint_of(200))
    assert notices.read(0.0) == [Notice(LOG, 200)]


def test_what_redis_did_not_take_is_told_with_the_next_hint(shelf: RedisShelf, monkeypatch: pytest.MonkeyPatch) -> None:
    notices, hints = Notices(shelf, "history/"), RedisHints(shelf, settle_seconds=7200)
    notices.read(0.0)
    monkeypatch.setattr(shelf, "_paused_until", time.monotonic() + 60)
    for number in range(3):
        hints.put(Log("history/", f"early{number}").root, hint_of(100 + number))
    monkeypatch.setattr(shelf, "_paused_until", 0.0)
    assert notices.read(0.0) == []
    hints.put(LOG.root, hint_of(200))
    early = [Notice(Log("history/", f"early{number}"), 100 + number) for number in range(3)]
    assert notices.read(0.0) == [Notice(LOG, 200), *early]
    hints.put(LOG.root, hint_of(300))
    assert notices.read(0.0) == [Notice(LOG, 300)]


def send(taken: TakenHints, client: Any) -> None:
    pipeline = client.pipeline(transaction=False)
    taken.add(pipeline)
    pipeline.execute()


def test_a_held_hint_that_could_not_be_sent_is_told_when_the_next_one_is(shelf: RedisShelf) -> None:
    notices, hints = Notices(shelf, "history/"), RedisHints(shelf, settle_seconds=7200)
    notices.read(0.0)
    held = HeldHints(hints)

    for is_told, offset in ((False, 100), (True, 200)):
        held.hold()
        held.put(Log("history/", f"s{offset}").root, hint_of(offset))
        taken = held.take()
        if is_told:
            shelf.ask(partial(send, taken), None)
        taken.end(is_told)
    hints._look()
    assert [notice.offset for notice in notices.read(0.0) or ()] == [100, 200]


def end_save(hints: RedisHints, shelf: RedisShelf, log: Log, offset: int) -> None:
    """As a save does whose result Redis is told of."""
    held = HeldHints(hints)
    held.hold()
    held.put(log.root, hint_of(offset))
    taken = held.take()
    shelf.ask(partial(send, taken), None)
    taken.end(is_told=True)


def test_saves_along_with_results_tell_nothing_until_somebody_listens_and_then_all_since_the_look_before(
    shelf: RedisShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("history_sink_worker.service.redis_hints.LOOK_SECONDS", 60.0)
    notices, hints = Notices(shelf, "history/"), RedisHints(shelf, settle_seconds=7200)
    end_save(hints, shelf, LOG, 100)
    hints._look()
    end_save(hints, shelf, LOG, 200)
    assert notices.read(0.0) is None  # the search worker looks at all logs now, before or after the next save
    end_save(hints, shelf, LOG, 300)
    assert notices.read(0.0) == []
    hints._look()
    assert notices.read(0.0) == [Notice(LOG, 300)]
    end_save(hints, shelf, LOG, 400)
    assert notices.read(0.0) == [Notice(LOG, 400)], "from now on at once"


def test_a_process_that_ends_soon_after_its_first_save_has_told_of_it(
    shelf: RedisShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("history_sink_worker.service.redis_hints.LOOK_SECONDS", 60.0)
    notices = Notices(shelf, "history/")
    notices.read(0.0)
    end_save(RedisHints(shelf, settle_seconds=7200), shelf, LOG, 100)
    assert notices.read(0.0) == [Notice(LOG, 100)]


def test_a_save_is_told_of_soon_though_no_other_follows(shelf: RedisShelf) -> None:
    notices, hints = Notices(shelf, "history/"), RedisHints(shelf, settle_seconds=7200)
    hints._look()
    notices.read(0.0)
    end_save(hints, shelf, LOG, 100)
    wait_until(lambda: notices.read(0.0) == [Notice(LOG, 100)], timeout_seconds=5, what="the notice")


def test_a_thread_that_cannot_be_started_fails_no_save_and_the_next_one_looks(
    shelf: RedisShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    notices, hints = Notices(shelf, "history/"), RedisHints(shelf, settle_seconds=7200)
    hints._look()
    notices.read(0.0)
    with monkeypatch.context() as broken:
        broken.setattr(threading.Timer, "start", refuse_to_start)
        end_save(hints, shelf, LOG, 100)
    end_save(hints, shelf, LOG, 200)
    wait_until(lambda: notices.read(0.0) == [Notice(LOG, 200)], timeout_seconds=5, what="the notice")


def refuse_to_start(_: threading.Timer) -> None:
    raise RuntimeError("can't start new thread")


def test_a_look_that_redis_does_not_answer_forgets_nothing(shelf: RedisShelf, monkeypatch: pytest.MonkeyPatch) -> None:
    notices, hints = Notices(shelf, "history/"), RedisHints(shelf, settle_seconds=7200)
    hints._look()
    notices.read(0.0)
    monkeypatch.setattr("history_sink_worker.service.redis_hints.LOOK_SECONDS", 60.0)
    end_save(hints, shelf, LOG, 100)
    monkeypatch.setattr(shelf, "_paused_until", time.monotonic() + 60)
    hints._look()
    monkeypatch.setattr(shelf, "_paused_until", 0.0)
    end_save(hints, shelf, LOG, 200)
    hints._look()
    assert notices.read(0.0) == [Notice(LOG, 200)]


def test_of_more_than_can_be_kept_it_is_told_that_some_are_lost(
    shelf: RedisShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    notices, hints = Notices(shelf, "history/"), RedisHints(shelf, settle_seconds=7200)
    notices.read(0.0)
    monkeypatch.setattr("history_sink_worker.service.redis_hints.UNTOLD_KEPT", 2)
    monkeypatch.setattr(shelf, "_paused_until", time.monotonic() + 60)
    for number in range(4):
        hints.put(Log("history/", f"early{number}").root, hint_of(100))
    monkeypatch.setattr(shelf, "_paused_until", 0.0)
    hints.put(LOG.root, hint_of(200))
    assert notices.read(0.0) is None, "only a LIST can tell"
    hints.put(LOG.root, hint_of(300))
    assert notices.read(0.0) == [Notice(LOG, 300)]


def test_a_redis_that_was_away_for_a_moment_costs_no_notice(shelf: RedisShelf, monkeypatch: pytest.MonkeyPatch) -> None:
    notices, hints = Notices(shelf, "history/"), RedisHints(shelf, settle_seconds=7200)
    notices.read(0.0)
    hints.put(LOG.root, hint_of(100))
    monkeypatch.setattr(shelf, "_paused_until", time.monotonic() + 60)
    assert notices.read(1.0) is None, "nothing is known meanwhile"
    monkeypatch.setattr(shelf, "_paused_until", 0.0)
    assert notices.read(2.0) == [Notice(LOG, 100)]


def test_a_redis_that_has_forgotten_is_noticed(shelf: RedisShelf) -> None:
    notices, hints = Notices(shelf, "history/"), RedisHints(shelf, settle_seconds=7200)
    notices.read(0.0)
    shelf.ask(lambda client: client.flushdb(), None)
    assert notices.read(10.0) is None
    assert notices.read(10.1) is None, "a new position, from which on nothing is missed"
    hints.put(LOG.root, hint_of(100))
    assert notices.read(10.2) == [Notice(LOG, 100)]
