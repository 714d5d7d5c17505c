"""Resolves while 5,000 uploads wait, on a store 20 ms away."""

import time
from contextlib import ExitStack

from bench.figures import Findings, Goal, Table, quantile
from bench.options import Options
from bench.saving import queue_saves
from bench.scene import FAR_MILLISECONDS, Place, Scene, wait_until_idle
from bench.transcripts import real_or_made
from history_sink import HistorySink
from history_sink.protocol.contract import MAINTENANCE_QUEUE, READ_QUEUE, UPLOAD_QUEUE
from history_sink.protocol.pointer import PointerHandle

_BACKLOG = 5_000
_SESSIONS = 64
_SPLIT = "one for the other queues, one with -Q history.read"
_DEPLOYMENTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "one worker for all queues": ((),),
    _SPLIT: ((UPLOAD_QUEUE, MAINTENANCE_QUEUE), (READ_QUEUE,)),
    "one for all queues, one with -Q history.read": ((), (READ_QUEUE,)),
}
"""For each worker its queues; none: all three."""


def measure(scene: Scene, options: Options) -> Findings:
    """For each deployment: no backlog, then a backlog that is not done before the last resolve."""
    resolves = options.pick(60, 200)
    rows, ratios = [], {}
    with scene.relay(scene.minio.port, FAR_MILLISECONDS) as relay:
        place = scene.place().through(store_port=relay.port)
        with scene.sink(place) as sink:
            with scene.workers(place):
                handle = prepare(scene, place, sink)
            for number, (name, deployment) in enumerate(_DEPLOYMENTS.items()):
                client = scene.client(place)
                client.delete(UPLOAD_QUEUE, "unacked", "unacked_index")  # what the last deployment left
                empty = scene.redis_bytes()
                queue_saves(place, f"d{number}", _SESSIONS, _BACKLOG)
                waiting_bytes = (scene.redis_bytes() - empty) / _BACKLOG
                client.rename(UPLOAD_QUEUE, "held")
                with ExitStack() as running:
                    for queues in deployment:
                        running.enter_context(scene.workers(place, queues=queues))
                    calm = time_resolves(sink, handle, resolves)
                    client.rename("held", UPLOAD_QUEUE)
                    pressed = time_resolves(sink, handle, resolves)
                    left = client.llen(UPLOAD_QUEUE)
                assert isinstance(left, int)
                ratios[name] = pressed[1] / calm[1]
                rows.append((name, *calm, *pressed, ratios[name], left))
    columns = ("p50, no backlog", "p99, no backlog", "p50, backlog", "p99, backlog", "ratio of p99", "uploads left")
    title = f"Milliseconds of {resolves} resolves of one message, workers of 8 threads, store 20 ms away"
    what = f"resolve p99 under a backlog of {_BACKLOG:,} uploads against none: {_SPLIT}"
    return Findings(
        figures={"Redis bytes per waiting save": waiting_bytes},
        name="backlog",
        title="Resolves under a backlog",
        goals=(Goal(what, ratios[_SPLIT], "at most", 3.0),),
        tables=(Table(title, ("workers", *columns), tuple(rows)),),
    )


def prepare(scene: Scene, place: Place, sink: HistorySink) -> PointerHandle:
    """A log whose base covers what is read."""
    sink.save("read", list(real_or_made(175).messages))
    wait_until_idle(scene.client(place))
    return sink.pointer("read", messages=(50, 51))


def time_resolves(sink: HistorySink, handle: PointerHandle, resolves: int) -> tuple[float, float]:
    """p50 and p99 in milliseconds; one after the other."""
    seconds = []
    for _ in range(resolves):
        began = time.perf_counter()
        answer = sink.resolve(handle, timeout_seconds=60)
        seconds.append(time.perf_counter() - began)
        assert isinstance(answer, bytes), answer
    return 1000 * quantile(seconds, 0.5), 1000 * quantile(seconds, 0.99)
