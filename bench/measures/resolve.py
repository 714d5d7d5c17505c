"""Reads against a no-op round trip and, raw, the requests that they can't do without."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench import floor
from bench.figures import Findings, Goal, Table, quantile
from bench.measures.store import compact, count_requests
from bench.options import Options
from bench.outcomes import Results
from bench.saving import cut_saves, save_each
from bench.scene import Place, RelayProcess, Scene, wait_until_idle
from bench.transcripts import Transcript, make_transcript
from history_sink import HistorySink
from history_sink.protocol.pointer import PointerHandle

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_TAILS = {"short": 8, "long": 60}
"""Extents. A log of small messages is folded at 64 of them."""
_SHOWN = " and ".join(map(str, _TAILS.values()))
_MESSAGES = 200


@dataclass(frozen=True)
class Read:
    """What is read, of a log in which state; `raw` does what no reader can do without."""

    what: str
    state: str
    handle: PointerHandle
    requests: int
    answer_bytes: int
    raw: Callable[["S3Client"], object]


def measure(scene: Scene, options: Options) -> Findings:
    """The whole log, a message in the middle, the newest one; with a short tail, a long one, freshly compacted."""
    place = scene.place().changed(idle_seconds="3600")  # nothing is folded on the way
    with scene.relay(scene.minio.port) as relay, scene.sink(place) as sink:
        place = place.through(store_port=relay.port)  # raw requests go that way, too
        with scene.workers(place), scene.stock_worker("floor", place):
            reads = [read for state in ("compacted", *_TAILS) for read in prepare(scene, place, sink, state)]
            counted = [count(sink, relay, read) for read in reads]
            client = floor.raw_client(scene.minio, 1, relay.port)
            producer = floor.connect_producer(place.broker_url)
            timed = [time_read(sink, client, producer, read, options.pick(30, 100)) for read in reads]
    rows, goals = [], []
    for read, requests, (ours, trip, raw) in zip(reads, counted, timed, strict=True):
        ratio = ours[0] / (trip + raw)
        name = f"{read.what}, {read.state}"
        rows.append((name, read.answer_bytes, requests, read.requests, *ours, trip, raw, ratio))
        goals.append(Goal(f"resolve p50 against no-op round trip and raw requests: {name}", ratio, "at most", 1.25))
    columns = (
        *("read", "bytes", "requests", "of which none can do without", "ours p50", "ours p99"),
        *("no-op round trip p50", "raw requests p50", "ratio"),
    )
    title = f"Milliseconds, one read at a time, a log of {_MESSAGES} messages; tails of {_SHOWN}"
    return Findings("resolve", "Reads", goals=tuple(goals), tables=(Table(title, columns, tuple(rows)),))


def prepare(scene: Scene, place: Place, sink: HistorySink, state: str) -> list[Read]:
    """A log in that state, and the three reads of it."""
    transcript, session = make_transcript(_MESSAGES, seed=2), f"s-{state}"
    tail = _TAILS.get(state, 0)
    client = scene.client(place)
    saves = [*cut_saves(transcript, "message")]
    save_each(sink, Results(client), session, [transcript.messages[: _MESSAGES - tail]])
    compact(scene, place, session)
    save_each(sink, Results(client), session, saves[_MESSAGES - tail :])
    wait_until_idle(client)
    objects = [key for key, _ in scene.objects(place, f"history/{session}/") if "/tail/" in key]
    named = f"tail of {tail}" if tail else "compacted"
    return [*_make_reads(place, transcript, session, named, sorted(objects)[len(objects) - tail :])]


def _make_reads(place: Place, transcript: Transcript, session: str, state: str, extents: list[str]) -> list[Read]:
    base = f"history/{session}/history.jsonl"
    sizes = [len(line) for line in transcript.lines]
    middle = sum(sizes[:99]), sum(sizes[:100])
    newest = sum(sizes[:-1]), sum(sizes)

    def get(client: "S3Client", key: str, span: tuple[int, int] | None = None) -> None:
        wanted: Any = {"Range": f"bytes={span[0]}-{span[1] - 1}"} if span else {}
        client.get_object(Bucket=place.bucket, Key=key, **wanted)["Body"].read()

    def join(client: "S3Client", keys: list[str]) -> None:
        client.list_objects_v2(Bucket=place.bucket, Prefix=f"history/{session}/")
        for key in keys:
            get(client, key)

    def handle(span: tuple[int, int]) -> PointerHandle:
        return PointerHandle(place.bucket, base, span)

    def read(what: str, span: tuple[int, int], requests: int, raw: "Callable[[S3Client], object]") -> Read:
        return Read(what, state, handle(span), requests, span[1] - span[0], raw)

    whole = (0, newest[1])
    if not extents:
        return [
            read("whole log", whole, 1, lambda client: get(client, base, whole)),
            read("message in the middle", middle, 1, lambda client: get(client, base, middle)),
            read("newest message", newest, 1, lambda client: get(client, base, newest)),
        ]
    return [
        read("whole log", whole, 2 + len(extents), lambda client: join(client, [base, *extents])),
        read("message in the middle", middle, 1, lambda client: get(client, base, middle)),
        read("newest message", newest, 2, lambda client: join(client, extents[-1:])),
    ]


def count(sink: HistorySink, relay: RelayProcess, read: Read) -> float:
    """Requests of one read."""
    before = relay.counts()
    answer = sink.resolve(read.handle)
    assert isinstance(answer, bytes), answer
    assert len(answer) == read.answer_bytes
    return count_requests(relay.counts() - before)


def time_read(
    sink: HistorySink, client: "S3Client", producer: Any, read: Read, times: int
) -> tuple[tuple[float, float], float, float]:
    """Milliseconds: ours (p50, p99), a no-op task that answers as many bytes, and the raw requests; in turn."""
    contestants: list[Callable[[], object]] = [
        lambda: sink.resolve(read.handle),
        lambda: floor.ask(producer, read.answer_bytes),
        lambda: read.raw(client),
    ]
    found: list[list[float]] = [[], [], []]
    for _ in range(times):
        for act, seconds in zip(contestants, found, strict=True):
            began = time.perf_counter()
            act()
            seconds.append(1000 * (time.perf_counter() - began))
    ours, trip, raw = found
    return (quantile(ours, 0.5), quantile(ours, 0.99)), quantile(trip, 0.5), quantile(raw, 0.5)
