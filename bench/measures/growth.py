"""A large session file that grows by 1 MB a second, under `history-sink watch`: how far behind, and what folds cost."""

import time
from collections import Counter
from pathlib import Path
from threading import Thread

from bench.claude_home import Home, count_archived, run_watch, session_of, wait_for
from bench.cpu import cpu_seconds
from bench.figures import Findings, Goal, Table, quantile
from bench.measures.store import compact, put_bytes
from bench.measures.watch import LONGEST_SECONDS, fatten, tell
from bench.memory import peak_megabytes
from bench.options import Options
from bench.scene import Place, Scene
from history_sink import HistorySink
from history_sink.protocol.chain import ORIGIN, START, walk
from history_sink_worker.archive.context import Fact
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.piece import write_meta
from history_sink_worker.archive.settled import base_meta

_CHUNK_SECONDS = 0.1


def measure(scene: Scene, options: Options) -> Findings:
    """The worker asks the store through a relay, which counts."""
    home, place = Home(scene.stack.directory / "grown", options.seed), scene.place()
    home.fill(1, 1)
    fatten(home, home.paths[0], options.pick(200, 1_800))
    store_base(scene, place, home.paths[0])
    with scene.relay(scene.minio.port) as relay:
        through = place.through(store_port=relay.port)
        with scene.workers(through) as (worker,), scene.sink(place) as sink:
            grown = measure_growth(home, scene, place, sink, options)
            figures = {**grown, "worker_peak_mb": peak_megabytes(worker.process.pid), **count_bytes(relay.counts())}
    copied, total = figures["copied_mb"], figures["large_mb"] + figures["large_grown_mb"]
    return Findings(
        name="growth",
        title="A session file that grows by 1 MB a second",
        goals=(
            Goal(
                "behind, at most, seconds",
                figures["behind_seconds"],
                "at most",
                2,
                f"from {figures['large_mb']:,.0f} MB on",
            ),
            Goal("watch's memory at its peak, MB", figures["large_peak_mb"], "at most", 80),
            Goal("copied within the store, bytes a byte", copied / total, "at most", 8, f"{copied:,.0f} MB"),
        ),
        tables=(
            Table(
                "The watch",
                (
                    "MB at first",
                    "found in the store after, s",
                    "grown, MB",
                    "behind p50, s",
                    "at most, s",
                    "processor, % of a core",
                    "peak, MB",
                ),
                (
                    (
                        figures["large_mb"],
                        figures["found_seconds"],
                        figures["large_grown_mb"],
                        figures["behind_p50"],
                        figures["behind_seconds"],
                        figures["large_percent"],
                        figures["large_peak_mb"],
                    ),
                ),
            ),
            Table(
                "The worker and the store",
                ("worker's peak, MB", "copied, MB", "copied by folds, times", "PUT, MB", "GET, requests"),
                ((figures["worker_peak_mb"], copied, figures["folds"], figures["put_mb"], figures["gets"]),),
            ),
        ),
        figures=tell("a file that grows", figures),
    )


def count_bytes(counts: Counter[str]) -> dict[str, float]:
    """What the worker has asked of the store."""
    return {
        "copied_mb": counts["bytes copy"] / 1e6,
        "folds": counts["requests complete"],
        "put_mb": put_bytes(counts) / 1e6,
        "gets": counts["requests get"],
    }


def measure_growth(home: Home, scene: Scene, place: Place, sink: HistorySink, options: Options) -> dict[str, float]:
    """The store has the file already, as one object; the watch looks whether it does, and goes on."""
    path = home.paths[0]
    size_bytes = path.stat().st_size
    with run_watch(home, place) as process:
        with path.open("ab") as file:
            file.write(home.make_line(100))
        began = time.perf_counter()
        found = wait_for(sink, path, LONGEST_SECONDS, 0.2) - began
        before, began = cpu_seconds(process.pid), time.perf_counter()
        written: list[tuple[float, int]] = []
        writer = Thread(target=_grow, args=(path, home.make_line(1_000) * 100, options.pick(15, 180), written))
        writer.start()
        behind = []
        while writer.is_alive():
            archived = count_archived(sink, path)
            waiting = [at for at, size in [*written] if size > archived]
            behind.append(time.perf_counter() - waiting[0] if waiting else 0.0)  # the question's time included
        elapsed = time.perf_counter() - began
        wait_for(sink, path)
        compact(scene, place, session_of(path))
        return {
            "large_mb": size_bytes / 1e6,
            "large_grown_mb": (path.stat().st_size - size_bytes) / 1e6,
            "found_seconds": found,
            "behind_p50": quantile(behind, 0.5),
            "behind_seconds": max(behind),
            "large_percent": 100 * (cpu_seconds(process.pid) - before) / elapsed,
            "large_peak_mb": peak_megabytes(process.pid),
        }


def store_base(scene: Scene, place: Place, path: Path) -> None:
    """As if workers had folded all of the file."""
    with path.open("rb") as file:
        end = [*walk(START, file)][-1]
    meta = base_meta(write_meta(Fact(end.messages, ORIGIN, end.chain)), end.offset)
    key = Log("history/", session_of(path)).base
    scene.minio.client().upload_file(str(path), place.bucket, key, ExtraArgs={"Metadata": meta})


def _grow(path: Path, block: bytes, seconds: float, written: list[tuple[float, int]]) -> None:
    """Write a megabyte a second, and note when the file had which size: whoever asks the store must not slow it."""
    chunk, began = block[:100_000].rpartition(b"\n")[0] + b"\n", time.perf_counter()
    for number in range(int(seconds / _CHUNK_SECONDS)):
        time.sleep(max(0.0, began + number * _CHUNK_SECONDS - time.perf_counter()))
        with path.open("ab") as file:
            file.write(chunk)
            written.append((time.perf_counter(), file.tell()))
