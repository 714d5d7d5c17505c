"""`make bench AGAINST=COMMIT`: what this build costs, as a share of what an older one does."""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bench import floor
from bench.builds import Build, start_builds
from bench.figures import Cell, Findings, Goal, Table, median
from bench.measures.throughput import run_queue
from bench.options import Options
from bench.saving import make_uploads
from bench.scene import THREADS, Place, Scene
from bench.transcripts import Json, make_transcript, real_or_made

SESSIONS = 64
_PLAIN_MESSAGES = 10_000
_MIDDLE_MESSAGES = 200
_MIDDLE_KEY = "history/middle-0/history.jsonl"
_RATE, _OF_FLOOR = "saves a second, 64 sessions at once", "saves a second, against the floor"
_WORKER, _PRODUCER = "CPU ms per save: worker", "CPU ms per save: producer"
_PEAK = "worker's peak MB: ready, one save, one read"
_GOALS = {
    _RATE: 1.6,
    _WORKER: 0.5,
    _PRODUCER: 0.6,
    "Redis commands of the worker per save": 0.5,
    "round trips to Redis of the worker per save": 0.5,
    "ms until one save alone is durable, p50": 0.8,
    "ms to resolve a message in the middle, p50": 0.8,
    "ms for a whole history of 10,000, one new, p50": 0.3,
    "the same, CPU ms of the worker": 0.3,
    _PEAK: 0.75,
}
"""Shares of what 6b45b24 had, the build of 2026-11-23."""
_FLOOR_GOAL = 1.05


class Comparison:
    """Figures by what they are of: a pair, of the older build and of this one, for each round."""

    def __init__(self, builds: tuple[Build, Build]) -> None:
        self.builds = builds
        self.pairs: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def add(self, what: str, older: float, newer: float) -> None:
        self.pairs[what].append((older, newer))

    def alternate(self, number: int, run: Callable[[Build], dict[str, float]]) -> None:
        """Both builds, each first in every other round; a figure for each name."""
        order = self.builds if number % 2 else [*reversed(self.builds)]
        found = {build.name: run(build) for build in order}
        older, newer = (found[build.name] for build in self.builds)
        for what, figure in older.items():
            self.add(what, figure, newer[what])

    def ratio(self, what: str) -> float:
        """Of this build's figure to the older one's: the rounds' median."""
        return median([newer / older for older, newer in self.pairs[what]])


class Work:
    """The messages that are saved, as files that both builds read."""

    def __init__(self, directory: Path, plain_messages: int) -> None:
        self.saves = write_messages(directory / "saves.jsonl", real_or_made(679).messages)
        self.middle = write_messages(directory / "middle.jsonl", make_transcript(_MIDDLE_MESSAGES, seed=2).messages)
        self.whole = write_messages(directory / "whole.jsonl", make_transcript(plain_messages, seed=3).messages)


def write_messages(path: Path, messages: Sequence[Json]) -> Path:
    """A file of them, a line each, for `Build.run`."""
    path.write_text("".join(json.dumps(message, ensure_ascii=False) + "\n" for message in messages))
    return path


def measure(scene: Scene, options: Options, commit: str) -> Findings:
    """Both builds in turn, and what the queue and the store alone do in the same minutes."""
    times = options.pick(3, 9)
    work = Work(scene.stack.directory, _PLAIN_MESSAGES + times)
    bare = scene.place()
    with start_builds(scene, commit) as builds, scene.stock_worker("floor", bare):
        comparison = Comparison(builds)
        comparison.alternate(0, partial(_rest, work))
        floors = []
        for number in range(options.pick(3, 7)):
            comparison.alternate(number, partial(save, work, f"s{number}", options.pick(2.0, 4.0)))
            floors.append(_floor(scene, bare, number, options.pick(2.0, 3.0)))
            comparison.alternate(number, partial(_wait, work, number, options.pick(60, 150)))
        for number in range(options.pick(1, 3)):
            comparison.alternate(number, partial(count, work, f"c{number}"))
        comparison.alternate(1, partial(_plain, work, times))
    for (older, newer), least in zip(comparison.pairs[_RATE], floors, strict=True):
        comparison.add(_OF_FLOOR, older / least, newer / least)
    return _report(comparison, commit, floors)


def _rest(work: Work, build: Build) -> dict[str, float]:
    """The log that is read from later; its messages are sent at once."""
    build.run("plain", work.middle, name="middle", times=1)
    build.run("lone", work.saves, name="warm", times=1)
    build.run("read", work.middle, name="middle", key=_MIDDLE_KEY, times=1)
    return {_PEAK: build.peak_megabytes()}


def save(work: Work, name: str, seconds: float, build: Build) -> dict[str, float]:
    found = build.run("burst", work.saves, name=name, sessions=SESSIONS, seconds=seconds)
    rate = {_RATE: found.pop("rate")}
    return rate | {f"CPU ms per save: {who}": used for who, used in found.items()}


def _wait(work: Work, number: int, times: int, build: Build) -> dict[str, float]:
    alone = build.run("lone", work.saves, name=f"lone{number}", times=times)
    read = build.run("read", work.middle, name="middle", key=_MIDDLE_KEY, times=times)
    return {
        "ms until one save alone is durable, p50": median(alone["milliseconds"]),
        "ms to resolve a message in the middle, p50": median(read["milliseconds"]),
    }


def count(work: Work, name: str, build: Build) -> dict[str, float]:
    found = build.run("count", work.saves, name=name, sessions=256)
    return {
        "Redis commands of the worker per save": found["commands"],
        "round trips to Redis of the worker per save": found["round trips"],
    }


def _plain(work: Work, times: int, build: Build) -> dict[str, float]:
    found = build.run("plain", work.whole, name="whole", times=times)
    return {
        "ms for a whole history of 10,000, one new, p50": median(found["ms"]),
        "the same, CPU ms of the worker": median(found["CPU ms: worker"]),
    }


def _floor(scene: Scene, bare: Place, number: int, seconds: float) -> float:
    """A second: no-op tasks and raw PUTs, one after the other."""
    uploads = make_uploads(real_or_made(679))
    bodies = [b"".join(upload.lines) for upload in uploads]
    tasks, task_seconds = run_queue(scene, bare, "queue", uploads, seconds)
    client = floor.raw_client(scene.minio, THREADS)
    puts, put_seconds = floor.put_all(client, bare.bucket, f"raw/{number}/", bodies, THREADS, seconds)
    return 1 / (task_seconds / tasks + put_seconds / puts)


def _report(comparison: Comparison, commit: str, floors: Sequence[float]) -> Findings:
    rows: list[tuple[Cell, ...]] = []
    for what, pairs in comparison.pairs.items():
        older, newer = (median([pair[index] for pair in pairs]) for index in (0, 1))
        ratios = [pair[1] / pair[0] for pair in pairs]
        rows.append((what, older, newer, median(ratios), min(ratios), max(ratios)))
    goals = [
        Goal(f"against {commit}: {what}", comparison.ratio(what), "at least" if what == _RATE else "at most", bound)
        for what, bound in _GOALS.items()
    ]
    of_floor = median([newer for _, newer in comparison.pairs[_OF_FLOOR]])
    goals.insert(1, Goal("saves a second against the floor", of_floor, "at least", _FLOOR_GOAL))
    columns = ("measure", commit, "now", "ratio (median)", "least", "most")
    return Findings(
        name="against",
        title=f"This build against {commit}",
        goals=tuple(goals),
        tables=(Table("Both builds in one run, in turn; a ratio for each round", columns, tuple(rows)),),
        notes=(
            f"Each build has a worker of {THREADS} threads, a Redis (fsync always) and a store of its own; "
            "the packages beneath are the same. "
            f"The floor, no-op tasks and raw PUTs, had a median of {median(floors):.0f} a second.",
        ),
    )
