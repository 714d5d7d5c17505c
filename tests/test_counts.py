"""What must not creep up, whatever the machine: requests per save, bytes per byte, objects per session.

The same measures as in `make bench`, on work that is small and made up.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.builds import ROOT, Build, search_path
from bench.measures import broker, store, waiting
from bench.scene import Scene
from bench.transcripts import make_transcript

pytestmark = pytest.mark.servers  # the scene starts them

UNFOLDED = 60
"""Messages; a tail of so few extents is not folded."""


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with Scene() as scene:
        yield scene


def test_a_steady_save_is_one_request_and_its_own_bytes(scene: Scene) -> None:
    found = store.run(scene, make_transcript(UNFOLDED, seed=1))
    assert found["PUTs"] == 1.0
    assert found["requests"] <= 1.1
    assert found["PUT bytes"] == pytest.approx(1.0)
    assert found["PUT bytes, final"] == pytest.approx(2.0, abs=0.05)
    assert found["objects"] == 1


def test_what_is_folded_is_written_once_or_twice_more(scene: Scene) -> None:
    found = store.run(scene, make_transcript(100, seed=1))
    assert found["PUT bytes"] <= 2.5
    assert found["PUT bytes, final"] <= 3.0
    assert found["objects"] == 1


def test_a_save_sends_less_than_its_message(scene: Scene) -> None:
    transcript = make_transcript(UNFOLDED, seed=1)
    per_message, all_per_message = broker.run(scene, transcript, "message", "ours")[::2]
    per_turn, _, all_per_turn = broker.run(scene, transcript, "turn", "ours")
    assert per_message <= 0.9
    assert per_turn <= 0.4
    assert all_per_message <= 4.0
    assert all_per_turn <= 1.0


# By four the requests depend on who is how fast: alone, without a group commit, they were 15 to 23 for each save.
@pytest.mark.parametrize(("workers", "requests_per_save"), [(1, 0.5), (4, 4.0)])
def test_saves_that_wait_together_are_stored_together(scene: Scene, workers: int, requests_per_save: float) -> None:
    messages = make_transcript(100, seed=1).messages
    waited = waiting.run_waiting(scene, workers, messages)
    assert store.count_requests(waited.counts) / len(messages) <= requests_per_save
    assert 1 + waited.extents < len(messages)


def test_what_a_save_costs_redis(scene: Scene, tmp_path: Path) -> None:
    """Sent while the worker stands still. How many it then takes at once depends on the machine, so two bounds."""
    messages = tmp_path / "messages.jsonl"
    messages.write_bytes(b"".join(make_transcript(2, seed=1).lines))
    place = scene.place().changed(idle_seconds="3600")
    with scene.workers(place) as (worker,):
        build = Build("now", search_path(ROOT), scene, place, worker.process.pid)
        found = build.run("count", messages, name="s", sessions=128)
    calls = found["by name"]
    alone = sum(calls.get(name, 0.0) for name in ("get", "set", "setex", "publish", "xadd", "multi", "exec"))
    assert alone <= 4.3  # the hint asked for and told, the result, its announcement; and events
    for name in ("lmpop", "time", "hset", "zadd"):  # of a step that takes messages, however many
        assert calls[name] <= calls["eval"] + 0.1
    assert found["commands"] <= 8.0  # build 6b45b24 made 14.0
    assert found["round trips"] <= 2.4  # it made 5.3


def test_what_a_resolve_costs_redis(scene: Scene, tmp_path: Path) -> None:
    """Of a message that the base has; looks whether the answer is there depend on the machine."""
    messages = tmp_path / "messages.jsonl"
    messages.write_bytes(b"".join(make_transcript(20, seed=1).lines))
    place = scene.place().changed(idle_seconds="3600")
    with scene.workers(place) as (worker,):
        build = Build("now", search_path(ROOT), scene, place, worker.process.pid)
        build.run("plain", messages, name="s", times=1)
        found = build.run("read", messages, name="s", key="history/s-0/history.jsonl", times=30)
    calls = found["by name"]
    assert calls.get("get", 0.0) == calls.get("expire", 0.0) == 0.0
    for name in ("lpush", "eval", "lmpop", "set", "hdel"):
        assert calls[name] <= 1.1
    assert found["commands"] <= 12.0  # build 6b45b24 made 32
