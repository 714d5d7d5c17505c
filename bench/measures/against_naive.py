"""Saves a second by position in the session, ours and naive, on the same work."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from bench import floor, naive
from bench.figures import Findings, Goal, Plot, Table, median
from bench.memory import peak_megabytes
from bench.options import Options
from bench.outcomes import wait_for_results
from bench.scene import Place, Scene, wait_until_idle
from bench.threads import run_all
from bench.transcripts import Json, make_transcript
from history_sink import HistorySink

_GOALS = {10: 1.2, 200: 5.0, 1_000: 20.0, 10_000: 200.0}
_SESSIONS = {10: 8, 200: 8, 1_000: 8, 10_000: 2}
"""At once. A list of 10,000 messages is 40 MB, for each save that is under way."""


def measure(scene: Scene, options: Options) -> Findings:
    """At each position: so many sessions, each saved after each message; ours and naive in turn."""
    rows, goals, memory = [], [], []
    ours, stock = scene.place().changed(idle_seconds="3600"), scene.place()  # else folds fall into naive's turns
    with scene.workers(ours) as workers, scene.stock_worker("naive", stock) as stock_worker, scene.sink(ours) as sink:
        for position, goal in _GOALS.items():
            rounds = 1 if position == max(_GOALS) else 2
            contest = Contest(scene, position, options.pick(1.5, 3.0))
            contest.prepare(ours, sink)
            pairs = [(contest.run_ours(ours, sink), contest.run_naive(stock)) for _ in range(rounds)]
            rates = [median([pair[index] for pair in pairs]) for index in (0, 1)]
            ratio = median([pair[0] / pair[1] for pair in pairs])
            memory.append((position, peak_megabytes(workers[0].process.pid), peak_megabytes(stock_worker.pid)))
            rows.append((position, _SESSIONS[position], *rates, ratio, *memory[-1][1:]))
            beside = f"{rates[0]:.0f} against {rates[1]:.3g} a second"
            goals.append(
                Goal(f"saves per second against naive at message {position:,}", ratio, "at least", goal, beside)
            )
    columns = (
        *("message", "sessions at once", "ours, per second", "naive, per second", "ratio"),
        *("ours: peak MB of the worker so far", "naive: peak MB of the worker so far"),
    )
    lines = {who: tuple((float(row[0]), float(row[at])) for row in rows) for who, at in (("ours", 2), ("naive", 3))}
    return Findings(
        name="against_naive",
        title="Saves per second against naive",
        goals=tuple(goals),
        tables=(Table("One save per message, one worker of 8 threads each", columns, tuple(rows)),),
        plots=(
            Plot(
                "against_naive",
                "Saves per second by position in the session",
                "message",
                "saves per second",
                lines,
                is_log=True,
            ),
        ),
    )


class Contest:
    """The sessions at one position."""

    def __init__(self, scene: Scene, position: int, seconds: float) -> None:
        self._scene, self._position, self._seconds = scene, position, seconds
        self._names = [f"s{position}-{index}" for index in range(_SESSIONS[position])]
        self._messages = list(make_transcript(position, seed=1).messages)
        self._round = 0

    def prepare(self, place: Place, sink: HistorySink) -> None:
        """What comes before is in the store."""
        with ThreadPoolExecutor(len(self._names)) as pool:
            [*pool.map(lambda name: sink.save(name, self._messages[:-1]), self._names)]
        wait_until_idle(self._scene.client(place))

    def run_ours(self, place: Place, sink: HistorySink) -> float:
        """Saves a second."""

        def save(index: int) -> Sequence[str]:
            return sink.append(self._names[index % len(self._names)], self._next(index)).task_ids

        return self._run(place, save)

    def run_naive(self, place: Place) -> float:
        """Saves a second. Its sessions do not grow on the way: that is to its advantage."""
        producer = floor.connect_producer(place.broker_url)
        producer.conf.task_serializer = "json"

        def save(index: int) -> Sequence[str]:
            messages = [*self._messages[:-1], self._next(index)]
            return [naive.save(producer, self._names[index % len(self._names)], messages)]

        return self._run(place, save)

    def _next(self, index: int) -> Json:
        return self._messages[index % len(self._messages)]

    def _run(self, place: Place, save: Callable[[int], Sequence[str]]) -> float:
        task_ids: list[str] = []
        began = time.perf_counter()
        run_all(lambda index: task_ids.extend(save(index)), len(self._names), self._seconds)
        return len(task_ids) / (wait_for_results(self._scene.client(place), task_ids) - began)
