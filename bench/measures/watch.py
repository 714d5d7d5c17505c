"""What `history-sink watch` costs: a first archive of many files, nothing to do, a new line, files that are large."""

import json
import os
import random
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import floor
from bench.claude_home import Home, is_archived, run_watch, wait_for
from bench.cpu import Meter, cpu_seconds
from bench.figures import Findings, Goal, Table, quantile
from bench.memory import now_megabytes, peak_megabytes
from bench.options import Options
from bench.scene import Place, Scene
from bench.threads import run_all
from history_sink import HistorySink
from history_sink_agents.watch.runner import THREADS
from stack.processes import Process

LONGEST_SECONDS = 5_400.0
"""How long a first archive may take on a machine that has much else to do."""


def measure(scene: Scene, options: Options) -> Findings:
    """Everything on one home, one after the other, and then large files on another."""
    files, mean_bytes = options.pick((400, 200_000), (10_000, 200_000))
    place = scene.place()
    home = Home(scene.stack.directory / "home", options.seed)
    home.fill(files, mean_bytes)
    put = tell("a PUT of each file", measure_put(home, scene, options))
    with scene.workers(place) as workers, scene.sink(place) as sink:
        others = {"worker": workers[0].process, "store": scene.minio.process, "redis": scene.redis.process}
        first = tell("first archive", measure_first(home, place, sink, others))
        later = tell("afterwards", measure_later(home, place, sink, options))
    place = scene.place()
    crowd = Home(scene.stack.directory / "crowd", options.seed)
    with scene.workers(place), scene.sink(place) as sink:
        beside = tell("a new line beside large files", measure_beside(crowd, place, sink, options))
    figures = {**put, **first, **later, **beside}
    megabytes = home.measure_bytes() / 1e6
    return Findings(
        name="watch",
        title="Watching agents' session files",
        goals=(
            Goal("idle, percent of a core", figures["idle_percent"], "at most", 1, f"{files:,} files"),
            Goal("memory while idle, MB", figures["idle_mb"], "at most", 80),
            Goal("memory at its peak, first archive, MB", figures["first_peak_mb"], "at most", 80),
            Goal("a new line in the store, p99, seconds", figures["fresh_p99"], "at most", 2),
            Goal("a new line beside large files, p99, seconds", figures["beside_p99"], "at most", 2),
        ),
        tables=(
            Table(
                "First archive",
                (
                    "files",
                    "MB",
                    "seconds",
                    "files/s",
                    "MB/s",
                    "a PUT of each file: files/s",
                    "MB/s",
                    "newest file after, s",
                ),
                (
                    (
                        files,
                        megabytes,
                        figures["first_seconds"],
                        files / figures["first_seconds"],
                        megabytes / figures["first_seconds"],
                        figures["put_files_per_second"],
                        figures["put_megabytes_per_second"],
                        figures["newest_seconds"],
                    ),
                ),
            ),
            tell_processor(figures, megabytes),
            Table(
                "Afterwards",
                ("restart, processor s", "new line p50, s", "p99, s", "idle, % of a core", "idle, MB"),
                (
                    (
                        figures["restart_cpu"],
                        figures["fresh_p50"],
                        figures["fresh_p99"],
                        figures["idle_percent"],
                        figures["idle_mb"],
                    ),
                ),
            ),
            Table(
                "A new line in another file, while more large files than the watch has threads are archived at first",
                ("large files", "MB", "lines", "p50, s", "at most, s"),
                (
                    (
                        figures["beside_files"],
                        figures["beside_mb"],
                        figures["beside_lines"],
                        figures["beside_p50"],
                        figures["beside_longest"],
                    ),
                ),
            ),
        ),
        figures=figures,
    )


def tell_processor(figures: Mapping[str, float], megabytes: float) -> Table:
    """What bounds it: where the processors were busy all the time, whoever took most of theirs."""
    programs = ("watch", "worker", "store", "redis")
    spent = [figures[f"first_{name}_cpu"] for name in programs]
    put = [figures["put_client_cpu"], 0.0, figures["put_store_cpu"], 0.0]
    rows = (
        ("first archive", spent, megabytes, figures["first_seconds"]),
        ("a PUT of each file, by boto3", put, figures["put_megabytes"], figures["put_seconds"]),
    )
    return Table(
        "Processor time of a first archive, ms for each MB, beside that of a PUT of each file",
        ("", "the watch, or boto3", "worker", "store", "Redis", "all", "all, % of the machine's processors"),
        tuple(
            (
                what,
                *(1000 * each / size for each in seconds),
                1000 * sum(seconds) / size,
                100 * sum(seconds) / lasted / (os.cpu_count() or 1),
            )
            for what, seconds, size, lasted in rows
        ),
    )


def tell(what: str, figures: dict[str, float]) -> dict[str, float]:
    """The figures, and on stderr, so that a run that is ended has shown what it had."""
    print(f"{what}: {json.dumps(figures)}", file=sys.stderr, flush=True)
    return figures


def measure_put(home: Home, scene: Scene, options: Options) -> dict[str, float]:
    """A PUT of each file, the newest first, by as many threads as the watch has, for a while."""
    client, bucket = floor.raw_client(scene.minio, THREADS), scene.minio.create_bucket()
    newest = home.paths[::-1]

    def put(index: int) -> None:
        body: Any = bytearray(newest[index % len(newest)].read_bytes())  # bytes would wait for `100 Continue`
        client.put_object(Bucket=bucket, Key=f"{index:06}", Body=body, IfNoneMatch="*")

    meter = Meter({"client": os.getpid(), "store": scene.minio.process.pid})
    count, seconds = run_all(put, THREADS, options.pick(5.0, 30.0))
    used = meter.used_seconds()
    size = sum(newest[index % len(newest)].stat().st_size for index in range(count)) / 1e6
    return {
        "put_files_per_second": count / seconds,
        "put_megabytes_per_second": size / seconds,
        "put_megabytes": size,
        "put_seconds": seconds,
        **{f"put_{name}_cpu": each for name, each in used.items()},
    }


def measure_first(home: Home, place: Place, sink: HistorySink, others: Mapping[str, Process]) -> dict[str, float]:
    meter = Meter({name: process.pid for name, process in others.items()})
    began = time.perf_counter()
    with run_watch(home, place) as process:
        newest = wait_for(sink, home.paths[-1]) - began
        wait_for(sink, home.paths[0], LONGEST_SECONDS, 0.5)  # it is the oldest, and so the last
        for path in home.paths[:20]:
            wait_for(sink, path)
        seconds = time.perf_counter() - began
        return {
            "first_seconds": seconds,
            "newest_seconds": newest,
            "first_watch_cpu": cpu_seconds(process.pid),
            "first_peak_mb": peak_megabytes(process.pid),
            **{f"first_{name}_cpu": each for name, each in meter.used_seconds().items()},
        }


def measure_later(home: Home, place: Place, sink: HistorySink, options: Options) -> dict[str, float]:
    with run_watch(home, place) as process:
        probe = home.paths[3]
        with probe.open("ab") as file:
            file.write(home.make_line(100))
        wait_for(sink, probe)
        time.sleep(3)
        restart = cpu_seconds(process.pid)
        seconds = []
        chance = random.Random(options.seed)
        for _ in range(options.pick(40, 200)):
            path = chance.choice(home.paths)
            with path.open("ab") as file:
                file.write(home.make_line(chance.choice((200, 2_000, 20_000))))
            began = time.perf_counter()
            seconds.append(wait_for(sink, path) - began)
        time.sleep(3)
        before, idle = cpu_seconds(process.pid), options.pick(20, 60)
        time.sleep(idle)
        return {
            "restart_cpu": restart,
            "fresh_p50": quantile(seconds, 0.5),
            "fresh_p99": quantile(seconds, 0.99),
            "idle_percent": 100 * (cpu_seconds(process.pid) - before) / idle,
            "idle_mb": now_megabytes(process.pid),
        }


def measure_beside(home: Home, place: Place, sink: HistorySink, options: Options) -> dict[str, float]:
    """A line now and then, in a small file, while large ones are archived that were written long ago."""
    files, megabytes = THREADS + 2, options.pick(20, 100)
    home.fill(1 + files, 1)
    small, *large = home.paths
    for number, path in enumerate(large):
        fatten(home, path, megabytes)
        os.utime(path, (number, number))
    os.utime(small, (files, files))  # the newest, and so the first
    seconds: list[float] = []
    with run_watch(home, place):
        wait_for(sink, small)
        while not is_archived(sink, large[0]):  # it is the oldest, and so the last
            with small.open("ab") as file:
                file.write(home.make_line(500))
            began = time.perf_counter()
            seconds.append(wait_for(sink, small) - began)
            time.sleep(0.1)
    return {
        "beside_files": files,
        "beside_mb": megabytes,
        "beside_lines": len(seconds),
        "beside_p50": quantile(seconds, 0.5),
        "beside_p99": quantile(seconds, 0.99),
        "beside_longest": max(seconds),
    }


def fatten(home: Home, path: Path, megabytes: float) -> bytes:
    """Have the file grow to so much by lines of many sizes, and return some of them."""
    block = b"".join(home.make_line(size) for size in (300, 3_000, 30_000, 500, 60_000, 900, 5_000))
    with path.open("ab") as file:
        while file.tell() < megabytes * 1e6:
            file.write(block)
    return block
