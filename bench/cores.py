"""`python -m bench.cores [SESSIONS [WAYS]]`: what one core does with one save of each session, and what another adds.

No two saves are of one session, so none goes together with another. Workers are tied to cores; Redis and the store are
not, so two cores have less than twice the work of one.
"""

import os
import sys
import time
from collections.abc import Sequence

from bench.cpu import Meter
from bench.figures import median
from bench.outcomes import wait_for_results
from bench.saving import queue_saves
from bench.scene import Scene
from history_sink.protocol.contract import UPLOAD_QUEUE

_ROUNDS = 3
_WAYS: dict[str, Sequence[int]] = {
    "one worker of one core": (0,),
    "two workers of one core": (0, 0),
    "two workers of two cores": (0, 1),
}
"""The core of each worker."""
_BEGIN, _GO_ON = "the first save of each", "one save more of each"


def run(scene: Scene, cores: Sequence[int], name: str, sessions: int) -> dict[str, dict[str, float]]:
    """By phase: saves a second, and milliseconds of processor time per save."""
    place = scene.place().changed(idle_seconds="3600")
    client, found = scene.client(place), {}
    servers = {"Redis": scene.redis.process.pid, "store": scene.minio.process.pid}
    available = sorted(os.sched_getaffinity(0))
    with scene.workers(place, len(cores)) as workers:
        for worker, core in zip(workers, cores, strict=True):
            for thread in os.listdir(f"/proc/{worker.process.pid}/task"):
                os.sched_setaffinity(int(thread), {available[core % len(available)]})
        pids = {f"worker {number}": worker.process.pid for number, worker in enumerate(workers)}
        for number, phase in enumerate((_BEGIN, _GO_ON)):
            for worker in workers:
                worker.process.pause()
            task_ids = queue_saves(place, name, sessions, sessions * (number + 1), sessions * number)
            meter, began = Meter({**pids, **servers}), time.perf_counter()
            for worker in workers:
                worker.process.resume()
            seconds = wait_for_results(client, task_ids) - began
            used = {who: 1000 * spent / sessions for who, spent in meter.used_seconds().items()}
            worked = sum(used.pop(who) for who in pids)
            found[phase] = {"saves a second": sessions / seconds, "worker": worked, **used}
    assert not client.llen(UPLOAD_QUEUE)
    return found


def main(sessions: int = 1000, ways: int = len(_WAYS)) -> None:
    """Print a table: medians of the rounds. Of one way there is one round, for long ones."""
    chosen = [*_WAYS.items()][:ways]
    found: dict[str, list[dict[str, dict[str, float]]]] = {way: [] for way, _ in chosen}
    with Scene() as scene:
        for number in range(_ROUNDS if ways > 1 else 1):
            for way, cores in chosen[:: 1 if number % 2 else -1]:
                found[way].append(run(scene, cores, f"r{number}", sessions))
    names = ("saves a second", "worker", "Redis", "store")
    for phase in (_BEGIN, _GO_ON):
        print(f"\n{sessions:,} sessions, {phase}, load {os.getloadavg()[0]:.0f}\n")
        print("| | saves a second | of one worker | CPU ms: workers | CPU ms: Redis | CPU ms: store |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        one = [each[phase]["saves a second"] for each in found["one worker of one core"]]
        for way, rounds in found.items():
            rate, *used = (median([each[phase][name] for each in rounds]) for name in names)
            ratio = median([each[phase]["saves a second"] / alone for each, alone in zip(rounds, one, strict=True)])
            print(f"| {way} | {rate:.0f} | {ratio:.2f} |", " | ".join(f"{each:.2f}" for each in used), "|")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
