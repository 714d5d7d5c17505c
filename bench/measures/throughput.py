"""Saves a second end to end, against the floor: the queue alone and the store alone."""

import os
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from bench import floor
from bench.cpu import Meter
from bench.figures import Findings, Goal, Table, median
from bench.options import Options
from bench.outcomes import wait_for_results
from bench.saving import make_uploads
from bench.scene import THREADS, Place, Scene, wait_until_idle
from bench.threads import run_all
from bench.transcripts import Json, real_or_made
from history_sink import HistorySink
from history_sink.protocol.upload import Upload

_QUEUES = {"queue": floor.nothing, "queue served": floor.served}
_SESSIONS = (64, 8, 1)
_PROCESSES = ("worker", "Redis", "store", "client")
_LABELS = {
    "64": "ours, sessions at once: 64",
    "queue": "queue alone: no-op tasks, stock",
    "queue served": "queue alone: no-op tasks, late acks, results, events",
    "store": "store alone: raw PUTs",
}


class Contest:
    """What was counted, by contestant: how many a second, and processor time each, by process."""

    def __init__(self, servers: Mapping[str, int]) -> None:
        self._servers = servers
        self.rates: dict[str, list[float]] = defaultdict(list)
        self.costs: dict[str, list[dict[str, float]]] = defaultdict(list)

    def run(self, name: str, worker_pid: int | None, run: Callable[[], tuple[int, float]]) -> None:
        """A round of one contestant: `run` returns how many, and in how many seconds."""
        meter = Meter({**self._servers, **({"worker": worker_pid} if worker_pid else {})})
        done, seconds = run()
        self.rates[name].append(done / seconds)
        self.costs[name].append({who: 1000 * used / done for who, used in meter.used_seconds().items()})


def measure(scene: Scene, options: Options) -> Findings:
    """One save per message; one worker of eight threads for each contestant; rounds of one after the other."""
    seconds = options.pick(2.0, 3.0)
    messages = real_or_made(679).messages
    uploads = make_uploads(real_or_made(679))
    bodies = [b"".join(upload.lines) for upload in uploads]
    # No log gets idle: it would be folded in somebody else's turn.
    ours, bare, served = scene.place().changed(idle_seconds="3600"), scene.place(), scene.place()
    with (
        scene.workers(ours) as (worker,),
        scene.stock_worker("floor", bare) as bare_worker,
        scene.stock_worker("floor", served, "-E") as served_worker,
        scene.sink(ours) as sink,
    ):
        client = floor.raw_client(scene.minio, THREADS)
        contest = Contest({"store": scene.minio.process.pid, "Redis": scene.redis.process.pid, "client": os.getpid()})
        for number in range(3):
            for sessions in _SESSIONS:
                names = [f"s{number}-{sessions}-{index}" for index in range(sessions)]
                run = partial(run_ours, scene, ours, sink, names, messages, seconds)
                contest.run(str(sessions), worker.process.pid, run)
            contest.run("queue", bare_worker.pid, partial(run_queue, scene, bare, "queue", uploads, seconds))
            contest.run(
                "queue served", served_worker.pid, partial(run_queue, scene, served, "queue served", uploads, seconds)
            )
            put = partial(floor.put_all, client, bare.bucket, f"raw/{number}/", bodies, THREADS, seconds)
            contest.run("store", None, put)
    return _report(contest, seconds)


def run_ours(
    scene: Scene, place: Place, sink: HistorySink, names: Sequence[str], messages: Sequence[Json], seconds: float
) -> tuple[int, float]:
    """Each session is there already; then one message each in turn. How many, and seconds until the last is durable."""
    with ThreadPoolExecutor(THREADS) as pool:  # a session's first save waits for an answer
        [*pool.map(lambda name: sink.append(name, messages[0]), names)]
    wait_until_idle(scene.client(place))
    task_ids: list[str] = []

    def save(index: int) -> None:
        task_ids.extend(sink.append(names[index % len(names)], messages[1 + index % (len(messages) - 1)]).task_ids)

    began = time.perf_counter()
    saves, _ = run_all(save, min(len(names), THREADS), seconds)
    assert len(task_ids) == saves
    return saves, wait_for_results(scene.client(place), task_ids) - began


def run_queue(scene: Scene, place: Place, name: str, uploads: Sequence[Upload], seconds: float) -> tuple[int, float]:
    """Tasks that do nothing with the payloads of the same saves; how many, and the seconds."""
    producer, task = floor.connect_producer(place.broker_url), _QUEUES[name]

    def send(index: int) -> None:
        floor.send(producer, task, "session", uploads[index % len(uploads)])

    client = scene.client(place)
    began = time.perf_counter()
    tasks, _ = run_all(send, THREADS, seconds)
    return tasks, wait_until_idle(client, ("celery",)) - began


def _describe_cost(label: str, rounds: Sequence[Mapping[str, float]]) -> tuple[str | float | None, ...]:
    found = [median([each[name] for each in rounds]) if name in rounds[0] else None for name in _PROCESSES]
    return (label, *found, sum(each for each in found if each is not None))


def _report(contest: Contest, seconds: float) -> Findings:
    rates = contest.rates
    floors = [1 / (1 / queue + 1 / store) for queue, store in zip(rates["queue"], rates["store"], strict=True)]
    ratios = [ours / least for ours, least in zip(rates["64"], floors, strict=True)]
    named: list[tuple[str, Sequence[float]]] = [
        *((f"ours, sessions at once: {sessions}", rates[str(sessions)]) for sessions in reversed(_SESSIONS)),
        *((_LABELS[name], rates[name]) for name in (*_QUEUES, "store")),
        ("floor: 1 / (1/no-op + 1/raw PUT)", floors),
    ]
    return Findings(
        figures={"saves per second": median(rates["64"])},
        name="throughput",
        title="Saves per second against the floor",
        goals=(
            Goal(
                "saves per second against the floor, 64 sessions at once",
                median(ratios),
                "at least",
                0.8,
                f"{median(rates['64']):.0f} against {median(floors):.0f} a second",
            ),
        ),
        tables=(
            Table(
                f"Saves of one message for {seconds:g} s a round, one worker of {THREADS} threads",
                ("contestant", "per second (median)", "against the floor"),
                tuple((name, median(found), median(found) / median(floors)) for name, found in named),
            ),
            Table(
                "Milliseconds of processor time for each; the client is the producer, or what PUTs",
                ("contestant", *_PROCESSES, "all"),
                tuple(_describe_cost(label, contest.costs[name]) for name, label in _LABELS.items()),
            ),
        ),
    )
