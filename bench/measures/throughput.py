"""Saves a second end to end, against the floor: the queue alone and the store alone."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from bench import floor
from bench.figures import Findings, Goal, Table, median
from bench.options import Options
from bench.saving import make_uploads
from bench.scene import THREADS, Place, Scene, wait_for_results, wait_until_idle
from bench.transcripts import Json, real_or_made
from history_sink import HistorySink
from history_sink.upload import Upload

_QUEUES = {"queue": floor.nothing, "queue served": floor.served}
_SESSIONS = (64, 8, 1)


def measure(scene: Scene, options: Options) -> Findings:
    """One save per message; one worker of eight threads for each contestant; rounds of one after the other."""
    seconds = options.pick(2.0, 3.0)
    messages = real_or_made(679).messages
    uploads = make_uploads(real_or_made(679))
    bodies = [b"".join(upload.lines) for upload in uploads]
    ours, bare, served = scene.place(), scene.place(), scene.place()
    rates: dict[str, list[float]] = {name: [] for name in (*_QUEUES, "store", *map(str, _SESSIONS))}
    with (
        scene.workers(ours),
        scene.stock_worker("floor", bare),
        scene.stock_worker("floor", served, "-E"),
        scene.sink(ours) as sink,
    ):
        client = floor.raw_client(scene.minio, THREADS)
        for number in range(options.rounds):
            for sessions in _SESSIONS:
                names = [f"s{number}-{sessions}-{index}" for index in range(sessions)]
                rates[str(sessions)].append(run_ours(scene, ours, sink, names, messages, seconds))
            for name, place in (("queue", bare), ("queue served", served)):
                rates[name].append(run_queue(scene, place, name, uploads, seconds))
            rates["store"].append(floor.put_all(client, bare.bucket, f"raw/{number}/", bodies, THREADS, seconds))
    return _report(rates, seconds)


def run_ours(
    scene: Scene, place: Place, sink: HistorySink, names: Sequence[str], messages: Sequence[Json], seconds: float
) -> float:
    """Each session is there already; then one message each in turn. Saves a second, until the last is durable."""
    with ThreadPoolExecutor(THREADS) as pool:  # a session's first save waits for an answer
        [*pool.map(lambda name: sink.append(name, messages[0]), names)]
    wait_until_idle(scene.client(place))
    task_ids: list[str] = []

    def save(index: int) -> None:
        task_ids.extend(sink.append(names[index % len(names)], messages[1 + index % (len(messages) - 1)]).task_ids)

    began = time.perf_counter()
    saves, _ = floor.run_all(save, min(len(names), THREADS), seconds)
    assert len(task_ids) == saves
    return saves / (wait_for_results(scene.client(place), task_ids) - began)


def run_queue(scene: Scene, place: Place, name: str, uploads: Sequence[Upload], seconds: float) -> float:
    """Tasks that do nothing with the payloads of the same saves; how many a second."""
    producer, task = floor.connect_producer(place.broker_url), _QUEUES[name]

    def send(index: int) -> None:
        floor.send(producer, task, "session", uploads[index % len(uploads)])

    client = scene.client(place)
    began = time.perf_counter()
    tasks, _ = floor.run_all(send, THREADS, seconds)
    return tasks / (wait_until_idle(client, ("celery",)) - began)


def _report(rates: dict[str, list[float]], seconds: float) -> Findings:
    floors = [1 / (1 / queue + 1 / store) for queue, store in zip(rates["queue"], rates["store"], strict=True)]
    ratios = [ours / least for ours, least in zip(rates["64"], floors, strict=True)]
    named: list[tuple[str, Sequence[float]]] = [
        *((f"ours, sessions at once: {sessions}", rates[str(sessions)]) for sessions in reversed(_SESSIONS)),
        ("queue alone: no-op tasks, stock", rates["queue"]),
        ("queue alone: no-op tasks, late acks, results, events", rates["queue served"]),
        ("store alone: raw PUTs", rates["store"]),
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
        ),
    )
