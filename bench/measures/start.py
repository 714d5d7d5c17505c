"""What it takes to start: the library in an agent, and a worker."""

import os
import subprocess
import sys
import time

from bench.figures import Findings, Goal, Table, median
from bench.options import Options
from bench.scene import Scene
from stack.stack import producer_environment

_FIRST_SAVE = """
import time
began = time.perf_counter()
import history_sink
HistorySink = history_sink.HistorySink  # the package loads what it has with the first of its names
imported = time.perf_counter()
sink = HistorySink.from_env()
receipt = sink.save("session", [{"role": "user", "content": "hello"}])
assert receipt.state in ("enqueued", "unchanged"), receipt
print(imported - began, time.perf_counter() - began)
"""


def measure(scene: Scene, options: Options) -> Findings:
    """Processes of their own, one after the other."""
    starts = options.pick(3, 7)
    place = scene.place()
    imports, saves, lonely, workers = [], [], [], []
    for _ in range(starts):
        lonely.append(run_first_save(dict(scene.place().environment))[1])
        began = time.perf_counter()
        with scene.workers(place):
            workers.append(time.perf_counter() - began)
            imported, saved = run_first_save(dict(place.environment))
            imports.append(imported)
            saves.append(saved)
    return Findings(
        name="start",
        title="Starting",
        goals=(
            Goal("import of history_sink.HistorySink, seconds", median(imports), "at most", 0.3),
            Goal("import, from_env and first save, seconds", median(saves), "at most", 1.0),
            Goal("a worker until it is ready, seconds", median(workers), "at most", 3.0),
        ),
        tables=(
            Table(
                f"Seconds, median of {starts} and the longest",
                ("what", "median", "longest"),
                (
                    ("import of history_sink.HistorySink", median(imports), max(imports)),
                    ("import, from_env and first save", median(saves), max(saves)),
                    (
                        "the same with no worker there: it waits half a second for an answer",
                        median(lonely),
                        max(lonely),
                    ),
                    ("worker until ready", median(workers), max(workers)),
                ),
            ),
        ),
    )


def run_first_save(environment: dict[str, str]) -> tuple[float, float]:
    """Seconds to import, and to the receipt of the first save, in a process of its own."""
    variables = {**os.environ, **producer_environment(environment)}
    done = subprocess.run(
        [sys.executable, "-c", _FIRST_SAVE], env=variables, capture_output=True, text=True, timeout=60, check=True
    )
    imported, saved = map(float, done.stdout.split())
    return imported, saved
