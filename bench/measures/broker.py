"""Bytes through the broker for each byte of transcript."""

from collections.abc import Sequence
from contextlib import ExitStack

from bench import floor, naive
from bench.figures import Findings, Goal, Table
from bench.options import Options
from bench.outcomes import Results
from bench.saving import cut_saves, look_at_each_save, save_each
from bench.scene import Place, Scene, wait_until_idle
from bench.transcripts import Json, Transcript, real_or_made
from stack.processes import NotReady

_GOALS = {"message": 0.9, "turn": 0.4}
_NAIVE_PER_MESSAGE = (67, 175)
"""The others would be gigabytes."""


def measure(scene: Scene, options: Options) -> Findings:
    """Each transcript, one save per message and one per turn, ours and naive; relays before producer and worker."""
    look_at_each_save()
    rows, worst = [], dict.fromkeys(_GOALS, 0.0)
    for length in options.pick((67, 175, 427), (67, 175, 427, 679)):
        transcript = real_or_made(length)
        for per in _GOALS:
            ours = run(scene, transcript, per, "ours")
            is_small = per == "turn" or length in _NAIVE_PER_MESSAGE
            beside = run(scene, transcript, per, "naive") if is_small else (None, None, None)
            rows.append((transcript.name, per, *ours, *beside))
            if length > 67:
                worst[per] = max(worst[per], ours[0])
    columns = [f"{who}: {what}" for who in ("ours", "naive") for what in ("from producer", "into Redis", "all traffic")]
    goals = tuple(
        Goal(
            f"bytes from producer to broker per byte, one save per {per}, the larger transcripts",
            worst[per],
            "at most",
            goal,
            "the worst of them",
        )
        for per, goal in _GOALS.items()
    )
    return Findings(
        name="broker",
        title="Bytes through the broker",
        goals=goals,
        tables=(Table("Bytes per byte of transcript", ("transcript", "one save per", *columns), tuple(rows)),),
        notes=(
            "From producer: what it sends to Redis, its looks at outcomes included. Into Redis: that, and what the"
            " worker sends (acknowledgements, results, events; naive: each message again, into `unacked`)."
            " All traffic: both directions, of producer and worker.",
        ),
    )


def run(scene: Scene, transcript: Transcript, per: str, contestant: str) -> tuple[float, float, float]:
    """Bytes from the producer, into Redis, and through it in both directions; per byte of transcript."""
    place = scene.place()
    saves = [*cut_saves(transcript, per)]
    client = scene.client(place)
    with ExitStack() as parts:
        to_producer, to_worker = (parts.enter_context(scene.relay(scene.redis.port, kind="tcp")) for _ in range(2))
        worker_place = place.through(broker_port=to_worker.port)
        producer_place = place.through(broker_port=to_producer.port)
        if contestant == "ours":
            parts.enter_context(scene.workers(worker_place))
            sink = parts.enter_context(scene.sink(producer_place))
            before = to_worker.counts()
            save_each(sink, Results(client), "s", saves)
        else:
            parts.enter_context(scene.stock_worker("naive", worker_place))
            before = to_worker.counts()
            save_naively(producer_place, Results(client), saves)
        wait_until_idle(client)
        producer, worker = to_producer.counts(), to_worker.counts() - before
    sent = producer["bytes sent"], producer["bytes sent"] + worker["bytes sent"]
    answered = producer["bytes answered"] + worker["bytes answered"]
    first, second, third = (count / transcript.size_bytes for count in (*sent, sent[1] + answered))
    return first, second, third


def save_naively(place: Place, results: Results, saves: Sequence[Sequence[Json]]) -> None:
    """The whole list each time, each awaited."""
    producer, messages = floor.connect_producer(place.broker_url), list[Json]()
    producer.conf.task_serializer = "json"
    for save in saves:
        messages += save
        results.wait([naive.save(producer, "s", messages)])
    if not messages:
        raise NotReady("nothing was saved")
