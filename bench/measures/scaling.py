"""Throughput by the number of workers, on a store 20 ms away."""

import time
from pathlib import Path

from bench.figures import Findings, Goal, Plot, Table, median
from bench.options import Options
from bench.outcomes import wait_for_results
from bench.saving import queue_saves
from bench.scene import FAR_MILLISECONDS, Scene
from history_sink.protocol.contract import UPLOAD_QUEUE

_WORKERS = (1, 2, 4, 8)
_SESSIONS = 64
FULL = 0.9
"""From this share of the cores' time on they count as full."""


def measure(scene: Scene, options: Options) -> Findings:
    """Workers of one thread; saves wait in the queue, and are let go when all workers are there."""
    rates: dict[int, list[float]] = {workers: [] for workers in _WORKERS}
    busy: dict[int, list[float]] = {workers: [] for workers in _WORKERS}
    with scene.relay(scene.minio.port, FAR_MILLISECONDS) as relay:
        for number in range(options.pick(1, 2)):
            for workers in _WORKERS:
                rate, share = run(scene, relay.port, workers, f"r{number}", options.pick(60, 150) * workers)
                rates[workers].append(rate)
                busy[workers].append(share)
    one = median(rates[1])
    rows = tuple((n, median(rates[n]), median(rates[n]) / one / n, 100 * median(busy[n])) for n in _WORKERS)
    not_full = [row for row in rows if row[3] < 100 * FULL and row[0] > 1]
    full = next((f"full with {row[0]} workers" for row in rows if row[3] >= 100 * FULL), "not full with 8 workers")
    worst = min(not_full or rows[1:2], key=lambda row: row[2])
    return Findings(
        name="scaling",
        title="Throughput by workers",
        goals=(
            Goal(
                f"throughput against linear, up to {max(row[0] for row in not_full or rows[1:2])} workers of -c 1",
                worst[2],
                "at least",
                0.9,
                f"worst with {worst[0]} workers; the machine's cores are {full}",
            ),
        ),
        tables=(
            Table(
                f"Workers of one thread, store {FAR_MILLISECONDS:g} ms away",
                ("workers", "saves per second", "of linear", "% of the machine's cores busy"),
                rows,
            ),
        ),
        plots=(
            Plot(
                "scaling",
                f"Saves per second by workers, store {FAR_MILLISECONDS:g} ms away",
                "workers of one thread",
                "saves per second",
                {
                    "measured": tuple((float(row[0]), row[1]) for row in rows),
                    "linear": tuple((float(n), one * n) for n in _WORKERS),
                },
            ),
        ),
    )


def run(scene: Scene, store_port: int, workers: int, name: str, saves: int) -> tuple[float, float]:
    """Saves a second, and the share of the machine's time that was busy."""
    place = scene.place().through(store_port=store_port)
    client = scene.client(place)
    began = queue_saves(place, name, _SESSIONS, _SESSIONS)
    with scene.workers(place):  # each session is there: what follows is steady
        wait_for_results(client, began)
    task_ids = queue_saves(place, name, _SESSIONS, _SESSIONS + saves)[_SESSIONS:]
    client.rename(UPLOAD_QUEUE, "held")
    with scene.workers(place, workers, threads=1):
        before, started = read_processor_times(), time.perf_counter()
        client.rename("held", UPLOAD_QUEUE)
        ended = wait_for_results(client, task_ids)
        after = read_processor_times()
    total, idle = (end - start for start, end in zip(before, after, strict=True))
    return saves / (ended - started), 1 - idle / total


def read_processor_times() -> tuple[float, float]:
    """All of the cores' time since the start of the machine, and how much of it was idle (proc(5), /proc/stat)."""
    fields = [float(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(fields), fields[3] + fields[4]
