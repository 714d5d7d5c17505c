"""How soon a save is found, and what a question through the queue costs."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from bench import floor
from bench.options import Options
from bench.scene import Scene
from history_sink import Fault, HistorySink
from history_sink_worker.search.excerpt import EXCERPT_CHARACTERS
from history_sink_worker.search.index import Index
from history_sink_worker.search.state import State


@dataclass(frozen=True)
class Timings:
    """Seconds: from save to found at 50 saves a second; of a question whose ten hits the index has kept; of one whose
    ten hits are too long for that; of a no-op round trip.
    """

    fresh: list[float] = field(default_factory=list)
    kept: list[float] = field(default_factory=list)
    long: list[float] = field(default_factory=list)
    trip: list[float] = field(default_factory=list)


def measure_queue(scene: Scene, options: Options) -> Timings:
    """Every fifth save is a long one."""
    place = scene.place().changed(search_dir=str(scene.stack.directory / "search"))
    home, seconds = scene.stack.directory / "search", options.pick(8, 60)
    with (
        scene.workers(place),
        scene.workers(place, queues=["history.search"], threads=2),
        scene.stock_worker("floor", place, threads=2),
        scene.sink(place) as sink,
    ):
        saved: dict[str, float] = {}
        found: dict[str, float] = {}
        began = time.monotonic()
        for number in range(50 * seconds):
            name = f"fresh{number}"
            saved[name] = time.monotonic()
            text = f"gnu{' grazes' * EXCERPT_CHARACTERS}" if number % 5 == 0 else "okapi"
            sink.save(name, [{"role": "user", "content": f"{text} number{number}"}])
            if number % 5 == 0:
                _look(home, saved, found)
            time.sleep(max(0.0, began + (number + 1) / 50 - time.monotonic()))
        deadline = time.monotonic() + 30
        while len(found) < len(saved) and time.monotonic() < deadline:
            _look(home, saved, found)
            time.sleep(0.02)
        times = Timings([found.get(name, deadline) - at for name, at in saved.items()])
        producer = floor.connect_producer(place.broker_url)
        for number in range(options.pick(30, 150)):  # in turns: what else the machine does is shared by all
            times.kept.append(_ask(sink, f"okapi number{number}"))
            times.long.append(_ask(sink, f"gnu number{number}"))
            start = time.perf_counter()
            floor.ask(producer, 4000)
            times.trip.append(time.perf_counter() - start)
    return times


def _ask(sink: HistorySink, query: str) -> float:
    start = time.perf_counter()
    answer = sink.recall(query)
    assert not isinstance(answer, Fault)
    assert len(answer.hits) == 10
    return time.perf_counter() - start


def _look(home: Path, saved: dict[str, float], found: dict[str, float]) -> None:
    """Note which saves the index has by now."""
    state = State.read(home)
    if state is None or state.folder is None:
        return
    index = Index(home / state.folder)
    now = time.monotonic()
    for cursor in index.cursors():
        if cursor.session in saved:
            found.setdefault(cursor.session, now)
