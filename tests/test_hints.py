"""Hints and the due list on a real Redis: never the truth, never in the way."""

import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from celery import Celery

from forked_process import ForkedWorker, operate
from history_sink.protocol.chain import START, walk
from history_sink.protocol.upload import Upload
from history_sink_worker.archive.hint import Hint, KnownHints
from history_sink_worker.archive.names import Log
from history_sink_worker.service import due_list, redis_shelf
from history_sink_worker.service.due_list import DueList
from history_sink_worker.service.redis_hints import RedisHints
from history_sink_worker.service.redis_shelf import RedisShelf
from stack.minio import MinioServer
from stack.processes import wait_until
from stack.redis import RedisServer
from stack.stack import UNSAFE_TIMES
from stack.worker import Worker

HINT = Hint(offset=12, chain16="0123456789abcdef", proved_at=1_700_000_000.25, extents=3, base_bytes=4, moved_at=1.5)
NAMESPACE = "CODETETHER_HISTORY_"


def make_shelf(url: str, bucket: str = "bucket") -> RedisShelf:
    return RedisShelf(url, "http://store", bucket)


@pytest.fixture
def url(redis_server: RedisServer) -> str:
    return redis_server.new_database()


def test_a_hint_comes_back_as_it_was(url: str) -> None:
    hints = RedisHints(make_shelf(url), settle_seconds=7200)
    assert hints.get("history/s/") is None
    hints.put("history/s/", HINT)
    assert hints.get("history/s/") == HINT


def test_a_hint_goes_away_after_half_of_t(url: str, redis_server: RedisServer) -> None:
    RedisHints(make_shelf(url), settle_seconds=7200).put("history/s/", HINT)
    with redis_server.client(url) as redis:
        (key,) = redis.keys("*:hint:*")
        assert 3500 < redis.ttl(key) <= 3600


def test_two_stores_that_share_a_redis_do_not_see_each_others_hints(url: str) -> None:
    RedisHints(make_shelf(url, "one"), 7200).put("history/s/", HINT)
    assert RedisHints(make_shelf(url, "other"), 7200).get("history/s/") is None


@pytest.mark.parametrize("value", [b"", b"\xff", b"12 abc", b"1 2 3 4 5", b"1 2 3 4 5 6 7", b"x y z 1 2 3"])
def test_what_is_no_hint_is_none(url: str, redis_server: RedisServer, value: bytes) -> None:
    hints = RedisHints(make_shelf(url), 7200)
    hints.put("history/s/", HINT)
    with redis_server.client(url) as redis:
        redis.set(redis.keys("*:hint:*")[0], value)
    assert hints.get("history/s/") is None


def test_a_redis_that_hangs_costs_a_moment_and_no_more(own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_shelf, "PAUSE_SECONDS", 1.0)
    hints = RedisHints(make_shelf(own_redis.url()), 7200)
    hints.put("history/s/", HINT)
    own_redis.process.pause()
    began = time.monotonic()
    assert [hints.get("history/s/") for _ in range(100)] == [None] * 100
    assert time.monotonic() - began < 0.9
    own_redis.process.resume()
    wait_until(lambda: hints.get("history/s/") == HINT, timeout_seconds=5, what="the hint to be seen again")


def test_a_restart_of_redis_is_not_noticed(own_redis: RedisServer) -> None:
    hints = RedisHints(make_shelf(own_redis.url()), 7200)
    hints.put("history/s/", HINT)
    own_redis.process.kill()
    own_redis.start()
    assert hints.get("history/s/") == HINT


def test_what_is_due_is_claimed_once_and_not_before(url: str) -> None:
    lists = [DueList(make_shelf(url), "history/") for _ in range(4)]
    for number in range(100):
        lists[0].put("idle", Log("history/", f"s{number}"), due_at=100.0 + number)
    lists[0].put("sweep", Log("history/", "s", "000000000012-0123456789abcdef"), due_at=10.0)

    claimed_first = lists[1].claim(now=50.0, limit=100)
    assert claimed_first == [("sweep", "s", "000000000012-0123456789abcdef")]
    lists[1].drop(claimed_first)
    with ThreadPoolExecutor(4) as threads:
        claims = [threads.submit(each.claim, 149.5, 100) for each in lists]
        claimed = [session for claim in claims for _, session, _ in claim.result()]
    assert sorted(claimed) == sorted(f"s{number}" for number in range(50))


def test_what_a_killed_worker_has_claimed_and_not_sent_is_due_again(url: str) -> None:
    killed, another = (DueList(make_shelf(url), "history/") for _ in range(2))
    for session in ("sent", "lost"):
        killed.put("sweep", Log("history/", session), due_at=100.0)
    assert len(killed.claim(now=100.0, limit=10)) == 2
    killed.drop([("sweep", "sent", None)])
    assert another.claim(now=100.0 + due_list.CLAIMED_SECONDS - 0.1, limit=10) == []
    assert another.claim(now=100.0 + due_list.CLAIMED_SECONDS, limit=10) == [("sweep", "lost", None)]
    another.drop([("sweep", "lost", None)])
    assert another.claim(now=1000.0, limit=10) == []


def test_what_is_noted_anew_while_it_is_claimed_stays_noted(url: str) -> None:
    due = DueList(make_shelf(url), "history/")
    due.put("sweep", Log("history/", "s"), due_at=100.0)
    assert due.claim(now=100.0, limit=10) == [("sweep", "s", None)]
    due.put("sweep", Log("history/", "s"), due_at=110.0)  # by the task, before its sender goes on
    due.drop([("sweep", "s", None)])
    assert due.claim(now=110.0, limit=10) == [("sweep", "s", None)]


def test_a_log_that_is_written_to_does_not_become_idle(url: str) -> None:
    due = DueList(make_shelf(url), "history/")
    due.put("idle", Log("history/", "s"), due_at=100.0)
    due.put("idle", Log("history/", "s"), due_at=200.0)
    assert due.claim(now=150.0, limit=10) == []


def test_a_busy_log_is_not_noted_with_each_save(url: str) -> None:
    due = DueList(make_shelf(url), "history/", grain_seconds=15.0)
    for saved_at in range(40):
        assert due.put("idle", Log("history/", "s"), due_at=60.0 + saved_at)
    assert due.claim(now=89.9, limit=10) == []
    assert due.claim(now=90.0, limit=10) == [("idle", "s", None)]  # the save at 30 s was the last that moved it


def test_what_goes_on_at_once_is_due_each_time(url: str) -> None:
    due = DueList(make_shelf(url), "history/", grain_seconds=15.0)
    for now in (100.0, 101.0, 102.0):  # a long tail is folded in parts
        due.put("sweep", Log("history/", "s"), due_at=now)
        assert due.claim(now, limit=10) == [("sweep", "s", None)]


def test_a_fold_is_asked_for_once_by_all_workers_and_again_later(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due_list, "ASK_AGAIN_MS", 100)
    one, other = (DueList(make_shelf(url), "history/") for _ in range(2))
    assert one.may_ask(Log("history/", "s"))
    assert not other.may_ask(Log("history/", "s"))
    assert other.may_ask(Log("history/", "another"))
    wait_until(lambda: other.may_ask(Log("history/", "s")), timeout_seconds=5, what="the next time")


def test_where_there_is_no_redis_nothing_is_noted_and_all_may_ask() -> None:
    due, log = DueList(None, "history/"), Log("history/", "s")
    assert not due.put("idle", log, 0.0)
    assert due.claim(time.time(), 10) == []
    due.drop([("idle", "s", None)])
    assert [due.may_ask(log), due.may_ask(log)] == [True, True]


def test_without_redis_a_fold_may_be_asked_for(own_redis: RedisServer) -> None:
    due = DueList(make_shelf(own_redis.url()), "history/")
    own_redis.stop()
    assert due.may_ask(Log("history/", "s"))


def save_twenty(environment: Mapping[str, str], session: str) -> int:
    """Save 20 lines one by one; returns the bytes of the log."""
    url = environment[NAMESPACE + "BROKER_URL"]
    client = Celery("client", broker=url, backend=url, set_as_current=False)
    lines = [b'{"n":%02d}\n' % number for number in range(20)]
    starts = [START, *walk(START, lines)]
    for line, start in zip(lines, starts, strict=False):
        payload = Upload(None, start, (line,)).encode()
        sent = client.send_task(
            "history_sink.upload_history", (session, None), payload, queue="history.upload", serializer="msgpack"
        )
        assert sent.get(timeout=20)["outcome"] == "stored"
    return starts[-1].offset


def base_bytes(minio_server: MinioServer, bucket: str, session: str) -> int:
    key = f"history/{session}/history.jsonl"
    return minio_server.client().head_object(Bucket=bucket, Key=key)["ContentLength"]


def tails(minio_server: MinioServer, bucket: str, session: str) -> int:
    listed = minio_server.client().list_objects_v2(Bucket=bucket, Prefix=f"history/{session}/tail/")
    return listed["KeyCount"]


def test_a_log_that_went_idle_is_folded_and_swept_by_itself(
    environment: Mapping[str, str], minio_server: MinioServer, bucket: str, tmp_path: Path
) -> None:
    quick = {**environment, **UNSAFE_TIMES, NAMESPACE + "IDLE_SECONDS": "0.5", NAMESPACE + "SETTLE_SECONDS": "2"}
    worker = ForkedWorker(quick, log_path=tmp_path / "worker.log")
    worker.start()
    try:
        size = save_twenty(environment, "idle")
        wait_until(lambda: base_bytes(minio_server, bucket, "idle") == size, timeout_seconds=20, what="a fold")
        wait_until(lambda: tails(minio_server, bucket, "idle") == 0, timeout_seconds=20, what="a sweep")
    finally:
        worker.stop()


def tidy(environment: Mapping[str, str], *arguments: str) -> list[dict[str, object]]:
    ended = operate(environment, "tidy", "--json", *arguments)
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_tidy_finds_what_the_due_list_has_lost(
    environment: Mapping[str, str], worker: Worker, redis_server: RedisServer, minio_server: MinioServer, bucket: str
) -> None:
    del worker  # only that it is there
    size = save_twenty(environment, "lost")
    with redis_server.client(environment[NAMESPACE + "BROKER_URL"]) as redis:
        redis.flushdb()

    (totals,) = tidy({**environment, NAMESPACE + "S3_PREFIX": "elsewhere/"})
    assert totals == {"logs": 0, "compacted": 0, "folded_bytes": 0, "swept": 0, "problems": 0}
    tidy(environment)  # it is not idle for an hour yet
    assert base_bytes(minio_server, bucket, "lost") < size

    *logs, totals = tidy(environment, "--idle-for", "0")
    assert [log["folded_bytes"] for log in logs if log["session"] == "lost"] == [size - 9]
    assert base_bytes(minio_server, bucket, "lost") == size
    assert totals["problems"] == 0


def test_an_answer_that_comes_late_is_not_taken_for_another_logs(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_shelf, "PAUSE_SECONDS", 0.0)
    hints = RedisHints(make_shelf(own_redis.url()), 7200)
    for number in range(2):
        hints.put(f"history/s{number}/", replace(HINT, offset=number))
    own_redis.process.pause()
    assert hints.get("history/s0/") is None
    own_redis.process.resume()
    assert hints.get("history/s1/") == replace(HINT, offset=1)


def test_a_restart_of_redis_costs_no_hint(own_redis: RedisServer) -> None:
    hints = RedisHints(make_shelf(own_redis.url()), 7200)
    hints.put("history/s/", HINT)
    assert hints.get("history/s/") == HINT
    own_redis.process.kill()
    own_redis.start()
    assert hints.get("history/s/") == HINT


def test_a_fork_does_not_ask_on_its_parents_connection(url: str) -> None:
    shelf = make_shelf(url)
    assert shelf.get("key") is None
    inherited = shelf._here.connection
    inherited.pid += 1
    assert shelf.get("key") is None
    assert shelf._here.connection is not inherited


def test_hints_of_several_logs_cost_one_round_trip(redis_server: RedisServer) -> None:
    shelf = RedisShelf(redis_server.new_database(), "http://store", "bucket")
    hints = RedisHints(shelf, settle_seconds=7200)
    known = {f"history/s{number}/": replace(HINT, offset=number) for number in range(3)}
    for root, hint in known.items():
        hints.put(root, hint)
    assert hints.get_all([*known, "history/none/"]) == known
    assert hints.get_all([]) == {}
    assert KnownHints(known).get("history/s1/") == hints.get("history/s1/")
    shelf._paused_until = time.monotonic() + 60
    assert hints.get_all([*known]) == {}, "as without hints"
