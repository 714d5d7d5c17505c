"""What an index takes by its size: memory, disk, and the time of a question. Beside it FTS5 of the same texts."""

import json
import os
import subprocess
import sys

from bench.figures import Cell, Findings, Goal, Table
from bench.options import Options
from bench.scene import Scene

_TIMEOUT_SECONDS = 3600


def measure(scene: Scene, options: Options) -> Findings:
    """65,000 messages, and in full 650,000, each in a process of its own: see `bench.grown_index`."""
    goals, rows = list[Goal](), list[tuple[Cell, ...]]()
    for count, bound_ms in ((65_000, 2.0), (650_000, 5.0))[: options.pick(1, 2)]:
        ours, fts = (run(scene, who, count, options.seed) for who in ("ours", "fts5"))
        goals += [
            Goal(f"question p50 of {count:,}, CPU ms", ours["p50_ms"], "at most", bound_ms),
            Goal(f"question p50 of {count:,}: FTS5's against ours", fts["p50_ms"] / ours["p50_ms"], "at least", 10),
            Goal(f"index of {count:,} against text", ours["index_mb"] / ours["text_mb"], "at most", 0.45),
            Goal(f"own memory with {count:,}, MB", max(ours["building_own_mb"], ours["asking_own_mb"]), "at most", 250),
        ]
        for who, found in (("ours", ours), ("FTS5", fts)):
            each = 1e6 * found["build_seconds"] / count
            memory = [found[f"{when}_{what}_mb"] for when in ("building", "asking") for what in ("own", "peak")]
            asked = found["p50_ms"], found["p99_ms"], found["first"], found["in_five"]
            rows.append((count, who, found["text_mb"], each, found["index_mb"], found["folder_mb"], *memory, *asked))
    columns = (
        *("messages", "who", "MB of text", "build, CPU µs each", "index MB (FTS5's with the texts)", "with a merge's"),
        *("building, own MB", "with mapped files", "asking, own MB", "with mapped files"),
        *("question CPU ms p50", "p99", "first %", "in five %"),
    )
    note = "Mapped files are the index's own: the kernel takes their memory back when another process needs it."
    return Findings(
        "recall_size", "Recall by size", tuple(goals), (Table("Indexes", columns, tuple(rows)),), notes=(note,)
    )


def run(scene: Scene, who: str, count: int, seed: int) -> dict[str, float]:
    """What the child process has measured."""
    folder = scene.stack.directory / f"{who}-{count}"
    command = [sys.executable, "-m", "bench.grown_index", who, str(count), str(folder), str(seed)]
    environment = {**os.environ, "CODETETHER_HISTORY_BROKER_URL": "redis://127.0.0.1:1/0"}  # which nobody asks
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found
