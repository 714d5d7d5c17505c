"""`make bench AGAINST=COMMIT`: what this build costs, as a share of what an older one does.

Each part starts both builds anew, so that none has what another part has left in a worker's memory.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from bench import floor
from bench.builds import ROOT, Build, profile_save, search_path, start_builds, unpack
from bench.comparison import OF_FLOOR, RATE, Comparison, write_messages
from bench.figures import Findings, Table, median
from bench.measures.producer import make_message
from bench.measures.throughput import run_queue
from bench.options import Options
from bench.saving import make_uploads
from bench.scene import THREADS, Place, Scene
from bench.transcripts import make_transcript, real_or_made

SESSIONS = 64
_PLAIN_MESSAGES = 10_000
_PLAIN = "10,000 messages of a plain client, one new: "
_MIDDLE_KEY = "history/middle-0/history.jsonl"
_LONG_BYTES = 200e6


class Part(Protocol):
    """Measures some figures of the build `commit`, and of this one."""

    def __call__(self, scene: Scene, options: Options, commit: str) -> Findings: ...


def saves(scene: Scene, options: Options, commit: str) -> Findings:
    """Many sessions at once; what the queue and the store alone do in the same minutes; and the worker's commands."""
    messages, bare = _saved(scene), scene.place()
    with start_builds(scene, commit) as builds, scene.stock_worker("floor", bare):
        comparison, floors = Comparison(builds), []
        for number in range(options.pick(3, 7)):
            given = {"name": f"s{number}", "sessions": SESSIONS, "seconds": options.pick(2.0, 4.0)}
            comparison.alternate(number, partial(_burst, messages, given))
            floors.append(_floor(scene, bare, number, options.pick(2.0, 3.0)))
        for number in range(options.pick(1, 3)):
            comparison.alternate(number, partial(_count, messages, f"c{number}"))
    for (older, newer), least in zip(comparison.pairs[RATE], floors, strict=True):
        comparison.add(OF_FLOOR, older / least, newer / least)
    shown = median(floors)
    return comparison.report(
        "saves", [f"The floor, no-op tasks and then raw PUTs, had a median of {shown:.0f} a second."]
    )


def _saved(scene: Scene) -> Path:
    return write_messages(scene.stack.directory / "saves.jsonl", real_or_made(679).messages)


def _burst(messages: Path, given: Mapping[str, Any], build: Build) -> dict[str, float]:
    found = build.run("burst", messages, **given)
    return {RATE: found.pop("rate"), **{f"CPU ms per save: {who}": used for who, used in found.items()}}


def _count(messages: Path, name: str, build: Build) -> dict[str, float]:
    found = build.run("count", messages, name=name, sessions=256)
    return {
        "Redis commands of the worker per save": found["commands"],
        "round trips to Redis of the worker per save": found["round trips"],
    }


def _floor(scene: Scene, bare: Place, number: int, seconds: float) -> float:
    """A second: no-op tasks and raw PUTs, one after the other."""
    uploads = make_uploads(real_or_made(679))
    bodies = [b"".join(upload.lines) for upload in uploads]
    tasks, task_seconds = run_queue(scene, bare, "queue", uploads, seconds)
    client = floor.raw_client(scene.minio, THREADS)
    puts, put_seconds = floor.put_all(client, bare.bucket, f"raw/{number}/", bodies, THREADS, seconds)
    return 1 / (task_seconds / tasks + put_seconds / puts)


def waits(scene: Scene, options: Options, commit: str) -> Findings:
    """One save alone, and one read; before them, a worker's memory at rest."""
    messages, times = _saved(scene), options.pick(100, 150)
    middle = write_messages(scene.stack.directory / "middle.jsonl", make_transcript(200, seed=2).messages)

    def rest(build: Build) -> dict[str, float]:
        build.run("plain", middle, name="middle", times=1)
        build.run("lone", messages, name="warm", times=1)
        build.run("read", middle, name="middle", key=_MIDDLE_KEY, times=1)
        return {"worker's peak MB: ready, one save, one read": build.peak_megabytes()}

    def wait(name: str, build: Build) -> dict[str, float]:
        alone = build.run("lone", messages, name=name, times=times)
        read = build.run("read", middle, name="middle", key=_MIDDLE_KEY, times=times)
        return {
            "ms until one save alone is durable, p50": median(alone["milliseconds"]),
            "ms to resolve a message in the middle, p50": median(read["milliseconds"]),
            "to resolve it, Redis commands but for looks whether it is there": read["commands"],
            **{f"to resolve it, {what}": each for what, each in read.items() if what.startswith("CPU")},
        }

    with start_builds(scene, commit) as builds:
        comparison = Comparison(builds)
        comparison.alternate(0, rest)
        for number in range(options.pick(6, 9)):
            comparison.alternate(number, partial(wait, f"lone{number}"))
    return comparison.report("waits")


_BARE = "bare LPUSH of the same bytes: ms p50"


def producer(scene: Scene, options: Options, commit: str) -> Findings:
    """A save of 3 KB, for the agent, beside the least that it can take: Redis's own command with the same bytes."""
    messages = write_messages(scene.stack.directory / "saves.jsonl", [make_message(number) for number in range(200)])
    with start_builds(scene, commit) as builds:
        comparison = Comparison(builds)
        for number in range(options.pick(16, 24)):

            def run(build: Build, name: str = f"r{number}") -> dict[str, float]:
                found = build.run("produce", messages, name=name, times=100)
                for what in ("save", "append"):
                    found[f"{what}, beyond a bare LPUSH: ms p50"] = found[f"{what}: ms p50"] - found[_BARE]
                return {f"producer, {what}": figure for what, figure in found.items()}

            comparison.alternate(number, run)
    return comparison.report("producer")


def plain(scene: Scene, options: Options, commit: str) -> Findings:
    """A whole history of a stock client; beside it the same client's, for a task that does nothing with it."""
    times = options.pick(2, 4)
    made = make_transcript(_PLAIN_MESSAGES + times, seed=3).messages
    messages, bare, floors = write_messages(scene.stack.directory / "whole.jsonl", made), scene.place(), []
    with start_builds(scene, commit) as builds, scene.stock_worker("floor", bare) as nothing:
        least = Build("floor", search_path(ROOT), scene, bare, nothing.pid)
        comparison = Comparison(builds)
        for number in range(2):

            def run(build: Build, name: str = f"r{number}") -> dict[str, float]:
                found = build.run("plain", messages, name=name, times=times)
                return {_PLAIN + what: median(each) for what, each in found.items()}

            comparison.alternate(number, run)
            served = {"task": floor.served.name, "queue": "celery"}
            floors.append(median(least.run("plain", messages, name=f"r{number}", times=times, **served)["ms"]))
        comparison.add(_PLAIN + "worker's peak MB", *(build.peak_megabytes() for build in builds))
        for (older, newer), floor_ms in zip(comparison.pairs[_PLAIN + "ms"], floors, strict=True):
            comparison.add(_PLAIN + "ms, against the floor", older / floor_ms, newer / floor_ms)
    shown = median(floors)
    return comparison.report("plain", [f"The same history for a task that does nothing took {shown:,.0f} ms."])


def restore(scene: Scene, options: Options, commit: str) -> Findings:
    """A long log: saved, folded, and read back into a file."""
    block = make_transcript(500, seed=3, scale=5.0)
    times = round(_LONG_BYTES / sum(map(len, block.lines)))
    messages = write_messages(scene.stack.directory / "block.jsonl", block.messages)
    none = write_messages(scene.stack.directory / "none.jsonl", [])

    def fill(build: Build) -> dict[str, float]:
        build.run("fill", messages, name="long", times=times)
        return {"200 MB saved and folded: worker's peak MB": build.peak_megabytes()}

    def read_back(build: Build) -> dict[str, float]:
        return {f"200 MB read back: {what}": each for what, each in build.run("restore", none, name="long").items()}

    with start_builds(scene, commit) as builds:
        comparison = Comparison(builds)
        comparison.alternate(0, fill)
        for number in range(options.pick(2, 4)):
            comparison.alternate(number, read_back)
    return comparison.report("restore")


def profile(scene: Scene, options: Options, commit: str) -> Findings:
    """Where a worker's processor time goes."""
    messages = write_messages(scene.stack.directory / "saves.jsonl", make_transcript(300, seed=1).messages)
    trees = (unpack(commit, scene.stack.directory / "older"), ROOT)
    older, newer = (profile_save(tree, scene.place(), messages) for tree in trees)
    rows = tuple((what, older[what], newer[what]) for what in older)
    return Findings("profile", "One save, by both builds", tables=(Table(_PROFILE, ("what", commit, "now"), rows),))


_PROFILE = (
    "Milliseconds of a worker's processor time for a save, in one thread without its event loop; all but the first row "
    "under cProfile, which multiplies them"
)
PARTS: dict[str, Part] = {
    "saves": saves,
    "waits": waits,
    "producer": producer,
    "plain": plain,
    "restore": restore,
    "profile": profile,
}
