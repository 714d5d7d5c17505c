"""What workers tell of logs that have grown, on a real Redis: the furthest counts, and nobody listens for nothing."""

import pytest

from history_sink_worker.archive.hint import Hint
from history_sink_worker.archive.names import Log
from history_sink_worker.search.notices import Notice, Notices
from history_sink_worker.service.redis_hints import RedisHints, RedisShelf
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
