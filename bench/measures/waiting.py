"""Saves of one session that wait in the queue together: requests to the store, and extents."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bench.figures import Findings, Goal, Table, median
from bench.measures.store import count_requests
from bench.options import Options
from bench.outcomes import wait_for_results
from bench.scene import THREADS, Scene, wait_until_idle
from bench.transcripts import Json, real_or_made
from history_sink.protocol.contract import UPLOAD_QUEUE

_GOALS = {1: 0.5, 4: 1.5}


def measure(scene: Scene, options: Options) -> Findings:
    """427 saves of one session, by one worker and by four, of eight threads each."""
    messages = real_or_made(427).messages
    found: dict[int, list[Waited]] = {workers: [] for workers in _GOALS}
    for _ in range(options.pick(1, 3)):
        for workers in _GOALS:
            found[workers].append(run_waiting(scene, workers, messages))
    goals, rows = [], []
    saves = len(messages)
    for workers, results in found.items():
        requests = median([count_requests(each.counts) for each in results])
        extents = median([each.extents for each in results])
        named = f"{workers} worker{'s' * (workers > 1)} of {THREADS} threads"
        beside = "fewer extents than saves"
        goals += [
            Goal(f"requests per save, {saves} waiting together, {named}", requests / saves, "at most", _GOALS[workers]),
            Goal(f"objects written per save, {named}", (1 + extents) / saves, "at most", 1 - 1 / saves, beside),
        ]
        kinds = [(name.removeprefix("requests "), n) for name, n in results[-1].counts.most_common()]
        shown = ", ".join(f"{name} {n}" for name, n in kinds if not name.startswith("bytes"))
        rate = saves / median([each.seconds for each in results])
        rows.append((named, requests / saves, extents, rate, shown))
    columns = ("by", "requests per save", "extents", "saves per second", "requests")
    return Findings(
        name="waiting",
        title="Saves of one session that wait together",
        goals=tuple(goals),
        tables=(Table(f"{saves} saves of one message", columns, tuple(rows)),),
    )


@dataclass(frozen=True)
class Waited:
    """How it went from the moment on that all workers were there."""

    seconds: float
    extents: int
    counts: "Counter[str]"


def run_waiting(scene: Scene, workers: int, messages: Sequence[Json]) -> Waited:
    """A save of each message is in the queue before the first worker starts."""
    place = scene.place()
    client = scene.client(place)
    with scene.relay(scene.minio.port) as relay, scene.sink(place) as sink:
        task_ids = [task_id for message in messages for task_id in sink.append("s", message).task_ids]
        client.rename(UPLOAD_QUEUE, "held")  # until all workers are there
        with scene.workers(place.through(store_port=relay.port), workers):
            before = relay.counts()
            began = time.perf_counter()
            client.rename("held", UPLOAD_QUEUE)
            seconds = wait_for_results(client, task_ids) - began
            wait_until_idle(client)
            counts = relay.counts() - before
    return Waited(seconds, sum("/tail/" in key for key, _ in scene.objects(place)), counts)
