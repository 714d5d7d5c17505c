"""What a worker tells Redis when a save has ended: a result, and hints, at once; never in the way of the task."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celery import Celery

from history_sink_worker.archive.hint import Hint
from history_sink_worker.intake.privacy import Fields
from history_sink_worker.results import Results
from history_sink_worker.service.held_hints import HeldHints
from history_sink_worker.service.redis_hints import RedisHints
from history_sink_worker.service.redis_shelf import RedisShelf
from stack.redis import RedisServer

ROOT = "history/s/"
HINT, NEWER = Hint(offset=12, chain16="0123456789abcdef", proved_at=1.5), Hint(24, "fedcba9876543210", 1.5)
TOLD = {"outcome": "stored", "session": "s", "branch": None, "messages": 1}


class Place:
    """A Redis database as results and hints have it, and how many commands its server has run."""

    def __init__(self, server: RedisServer) -> None:
        url = server.new_database()
        self.client: redis.Redis = server.client(url)
        self.hints = RedisHints(RedisShelf(url, "http://store", "bucket"), 7200)
        self.held = HeldHints(RedisHints(RedisShelf(url, "http://store", "bucket"), 7200))
        self.backend = Celery("test", backend=url, set_as_current=False).backend
        self.results = Results(self.backend, self.held.take)

    def calls(self) -> dict[str, int]:
        commands: Any = self.client.info("commandstats")
        return {name.removeprefix("cmdstat_"): each["calls"] for name, each in commands.items()}

    def status(self, task_id: str) -> Any:
        return self.backend.get_task_meta(task_id)["result"]


def request(**changed: Any) -> Any:
    given = {"chord": None, "ignore_result": False, "retries": 0, "delivery_info": {"redelivered": None}}
    return SimpleNamespace(**{**given, "children": [], "group": None, "parent_id": None, **changed})


@pytest.fixture
def place(redis_server: RedisServer) -> Iterator[Place]:
    place = Place(redis_server)
    yield place
    place.client.close()


def test_a_result_and_a_hint_are_three_commands_and_one_round_trip(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("history_sink_worker.service.redis_hints.LOOK_SECONDS", 60.0)
    place.held.hold()
    place.held.put(f"{ROOT}warm", HINT)
    place.results.mark_as_done("warm", TOLD, request())
    place.held.hold()
    place.held.put(ROOT, HINT)
    assert place.held.get(ROOT) == HINT
    assert place.hints.get(ROOT) is None
    before, reads = place.calls(), place.client.info("stats")["total_reads_processed"]
    place.results.mark_as_done("t", Fields(TOLD), request())
    after, reads_after = place.calls(), place.client.info("stats")["total_reads_processed"]
    made = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
    assert made == {"set": 2, "publish": 1, "info": 2}
    assert reads_after - reads == 3  # with the two questions of this test
    assert place.hints.get(ROOT) == place.held.get(ROOT) == HINT
    assert place.status("t") == TOLD


def test_a_result_reads_as_celerys_own(place: Place) -> None:
    place.results.mark_as_done("ours", Fields(TOLD), request())
    place.backend.mark_as_done("celerys", TOLD, request())
    ours, celerys = (place.backend.get_task_meta(task_id) for task_id in ("ours", "celerys"))
    for meta in (ours, celerys):
        del meta["task_id"], meta["date_done"]
    assert ours == celerys
    ttl, theirs = (place.client.ttl(f"celery-task-meta-{name}") for name in ("ours", "celerys"))
    assert abs(int(ttl) - int(theirs)) <= 1
    assert repr(Fields(TOLD)) == repr(TOLD)


@pytest.mark.parametrize("changed", [{}, {"retries": 1}])
def test_an_answer_is_kept_for_as_long_as_its_task_says(place: Place, changed: Any) -> None:
    results, before = Results(place.backend, keep_seconds=300), place.calls()
    results.mark_as_done("t", TOLD, request(**changed))
    assert place.status("t") == TOLD
    assert 0 < int(place.client.ttl("celery-task-meta-t")) <= 300
    assert place.calls().get("expire", 0) - before.get("expire", 0) == len(changed)


@pytest.mark.parametrize("again", [{"retries": 1}, {"delivery_info": {"redelivered": True}}])
def test_a_second_delivery_does_not_take_a_success_back(place: Place, again: Any) -> None:
    place.results.mark_as_done("t", TOLD, request())
    place.held.hold()
    place.held.put(ROOT, HINT)
    place.results.mark_as_done("t", {**TOLD, "outcome": "duplicate"}, request(**again))
    assert place.status("t") == TOLD
    assert place.hints.get(ROOT) == HINT


def test_where_no_result_is_wanted_the_hint_is_put(place: Place) -> None:
    for number, unwanted in enumerate((request(ignore_result=True), request())):
        place.held.hold()
        place.held.put(f"{ROOT}{number}", HINT)
        place.results.mark_as_done("t", TOLD, unwanted, bool(unwanted.ignore_result))
        assert place.hints.get(f"{ROOT}{number}") == HINT
    assert not place.client.exists("celery-task-meta-t")


def test_a_task_that_fails_releases_its_hints_and_others_hold_none(place: Place) -> None:
    place.held.put("history/at-once/", HINT)
    assert place.hints.get("history/at-once/") == HINT
    place.held.hold()
    place.held.put(ROOT, HINT)
    place.held.release()
    assert place.hints.get(ROOT) == HINT
    place.held.put(ROOT, NEWER)  # nobody holds any more
    assert place.hints.get(ROOT) == NEWER


def test_a_redis_that_refuses_costs_a_result_and_no_task(place: Place) -> None:
    place.held.hold()
    place.held.put(ROOT, HINT)
    place.client.config_set("maxmemory", 1)
    try:
        place.results.mark_as_done("t", TOLD, request())  # raises nothing
    finally:
        place.client.config_set("maxmemory", 0)
    assert not place.client.exists("celery-task-meta-t")
    assert place.held.get(ROOT) is None  # so that the next save looks


def test_of_two_threads_hints_the_newer_one_is_told(place: Place) -> None:
    other = HeldHints(place.hints)  # for its thread-local part: two holders of one kind
    other._held = place.held._held
    place.held.hold()
    place.held.put(ROOT, HINT)
    other.hold()
    other.put(ROOT, NEWER)
    place.held.release()
    assert place.hints.get(ROOT) == NEWER
    other.release()
    assert other.get(ROOT) == place.held.get(ROOT) == NEWER
