"""What one core does with one save of each session, and what another adds.

No two saves are of one session, so none goes together with another. Workers are tied to cores; Redis and the store are
not, so two cores have less than twice the work of one.
"""

import os
import time
from collections.abc import Sequence

from bench.cpu import Meter
from bench.figures import Cell, Findings, Table, median
from bench.options import Options
from bench.outcomes import wait_for_results
from bench.saving import queue_saves
from bench.scene import Scene
from history_sink.protocol.contract import UPLOAD_QUEUE

_WAYS: dict[str, Sequence[int]] = {
    "one worker of one core": (0,),
    "two workers of one core": (0, 0),
    "two workers of two cores": (0, 1),
}
"""The core of each worker."""
_MANY = 10_000
_PHASES = ("the first save of each", "one save more of each")
_FIGURES = ("saves a second", "CPU ms: workers", "CPU ms: Redis", "CPU ms: store")

Found = dict[str, dict[str, float]]
"""Figures of a save, by phase."""


def measure(scene: Scene, options: Options) -> Findings:
    """Rounds of each way in turn; and the first way once more, with as many sessions as a deployment may have."""
    sessions, found = options.pick(200, 300), {way: list[Found]() for way in _WAYS}
    for number in range(options.pick(1, 2)):
        for way in [*_WAYS][:: 1 if number % 2 else -1]:
            found[way].append(run(scene, _WAYS[way], f"r{number}", sessions))
    rows = [row for phase in _PHASES for row in _describe(found, phase, sessions)]
    if options.is_full:
        way = next(iter(_WAYS))
        many = {way: [run(scene, _WAYS[way], "many", _MANY)]}
        rows += [row for phase in _PHASES for row in _describe(many, phase, _MANY)]
    columns = ("workers", "sessions", "saves", *_FIGURES, "of one worker")
    title = "Medians; each of the workers has 8 threads, and saves wait in the queue"
    return Findings(
        "cores", "One save of each session, and a second core", tables=(Table(title, columns, tuple(rows)),)
    )


def run(scene: Scene, cores: Sequence[int], name: str, sessions: int) -> Found:
    """One way, once."""
    place = scene.place().changed(idle_seconds="3600")
    client, found = scene.client(place), {}
    servers = {"Redis": scene.redis.process.pid, "store": scene.minio.process.pid}
    available = sorted(os.sched_getaffinity(0))
    with scene.workers(place, len(cores)) as workers:
        for worker, core in zip(workers, cores, strict=True):
            for thread in os.listdir(f"/proc/{worker.process.pid}/task"):
                os.sched_setaffinity(int(thread), {available[core % len(available)]})
        pids = {f"worker {number}": worker.process.pid for number, worker in enumerate(workers)}
        for number, phase in enumerate(_PHASES):
            for worker in workers:
                worker.process.pause()
            task_ids = queue_saves(place, name, sessions, sessions * (number + 1), sessions * number)
            meter, began = Meter({**pids, **servers}), time.perf_counter()
            for worker in workers:
                worker.process.resume()
            seconds = wait_for_results(client, task_ids) - began
            used = {who: 1000 * spent / sessions for who, spent in meter.used_seconds().items()}
            worked = sum(used.pop(who) for who in pids)
            found[phase] = dict(zip(_FIGURES, (sessions / seconds, worked, *used.values()), strict=True))
    assert not client.llen(UPLOAD_QUEUE)
    return found


def _describe(found: dict[str, list[Found]], phase: str, sessions: int) -> list[tuple[Cell, ...]]:
    rows: list[tuple[Cell, ...]] = []
    alone = [each[phase][_FIGURES[0]] for each in next(iter(found.values()))]
    for way, rounds in found.items():
        figures = [median([each[phase][name] for each in rounds]) for name in _FIGURES]
        ratio = median([each[phase][_FIGURES[0]] / one for each, one in zip(rounds, alone, strict=True)])
        rows.append((way, sessions, phase, *figures, ratio))
    return rows
