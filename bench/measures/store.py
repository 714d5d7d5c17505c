"""Requests and bytes at the store, by the length of a session; and what is left when it has settled."""

import time
from collections import Counter

from bench import floor
from bench.figures import Findings, Goal, Plot, Table
from bench.options import Options
from bench.outcomes import Results
from bench.saving import cut_saves, look_at_each_save, save_each
from bench.scene import Place, Scene, wait_until_idle
from bench.transcripts import Transcript, make_transcript
from history_sink.protocol.contract import COMPACT, MAINTENANCE_QUEUE
from stack.processes import NotReady

_SETTLE_TIMEOUT_SECONDS = 60.0


def measure(scene: Scene, options: Options) -> Findings:
    """One session each of 100, 1,000 and, in a full run, 10,000 messages, one save per message, one at a time."""
    look_at_each_save()
    rows, goals, growth = [], [], []
    for length in options.pick((100, 1000), (100, 1000, 10_000)):
        found = run(scene, make_transcript(length, options.seed))
        rows.append((length, *found.values()))
        named = f"{length:,} messages"
        growth.append((float(length), found["PUT bytes"]))
        goals += [
            Goal(f"PUT bytes per byte, {named}", found["PUT bytes"], "at most", 2.5),
            Goal(f"PUT bytes per byte, {named}, after a final compaction", found["PUT bytes, final"], "at most", 3.0),
            Goal(
                f"requests per save, {named}",
                found["requests"],
                "at most",
                1.1,
                "folds included; the sweep two hours later is in the table",
            ),
            Goal(f"objects of the settled log, {named}", found["objects"], "at most", 1),
        ]
    columns = ("messages", *found)
    naive = tuple((x, (x + 1) / 2) for x, _ in growth)
    return Findings(
        figures={
            "transcript bytes per save": found["transcript bytes per save"],
            "write requests per save": found["write requests, settled"],
            "read requests per save": found["read requests, settled"],
        },
        name="store",
        title="Requests and bytes at the store",
        goals=tuple(goals),
        tables=(Table("Per byte of transcript, and per save", columns, tuple(rows)),),
        plots=(
            Plot(
                "store",
                "Bytes PUT per byte of transcript",
                "messages in the session",
                "bytes per byte",
                {"ours": tuple(growth), "naive (by arithmetic)": naive},
                is_log=True,
            ),
        ),
    )


def run(scene: Scene, transcript: Transcript) -> dict[str, float]:
    """All figures of one session. T is two hours until its last message is folded, and then a moment."""
    place = scene.place().changed(idle_seconds="3600")  # a slow machine is not an idle log
    length = len(transcript.messages)
    client = scene.client(place)
    with scene.relay(scene.minio.port) as relay:
        near = place.through(store_port=relay.port)
        with scene.workers(near), scene.sink(place) as sink:
            before = relay.counts()
            save_each(sink, Results(client), "s", [*cut_saves(transcript, "message")])
            wait_until_idle(client)
            steady = relay.counts() - before
            compact(scene, place)
            final = relay.counts() - before
        with scene.workers(near.changed(settle_seconds="1", allow_unsafe_times="for tests")):
            before = relay.counts()
            wait_until_settled(scene, place)
            settled = final + (relay.counts() - before)
    size = transcript.size_bytes
    return {
        "transcript bytes per save": size / length,
        "requests": count_requests(steady) / length,
        "PUTs": steady["requests put"] / length,
        "PUT bytes": put_bytes(steady) / size,
        "copied bytes": steady["bytes copy"] / size,
        "requests, final": count_requests(final) / length,
        "PUT bytes, final": put_bytes(final) / size,
        "copied bytes, final": final["bytes copy"] / size,
        "write requests, settled": count_writes(settled) / length,
        "read requests, settled": (count_requests(settled) - count_writes(settled)) / length,
        "objects": len(log_objects(scene, place)),
    }


def count_requests(counts: "Counter[str]") -> int:
    """All of them."""
    return sum(number for name, number in counts.items() if name.startswith("requests "))


def count_writes(counts: "Counter[str]") -> int:
    """What a priced store takes the higher price for; a delete costs nothing, and counts as a read here."""
    kinds = ("put", "list", "begin", "part", "copy", "complete")
    return sum(counts[f"requests {kind}"] for kind in kinds)


def put_bytes(counts: "Counter[str]") -> int:
    """What went to the store in bodies, parts of multipart uploads included."""
    return counts["bytes put"] + counts["bytes part"]


def compact(scene: Scene, place: Place, session: str = "s") -> None:
    """Fold all of it, now."""
    producer = floor.connect_producer(place.broker_url)
    producer.send_task(COMPACT, (session, None), {"everything": True}, queue=MAINTENANCE_QUEUE, ignore_result=True)
    wait_until_idle(scene.client(place))


def log_objects(scene: Scene, place: Place) -> list[str]:
    """The keys of the log's objects. Beside it lies a mark of some bytes for each process that has appended to it."""
    return [key for key, _ in scene.objects(place) if "/appends/" not in key]


def wait_until_settled(scene: Scene, place: Place) -> None:
    """Until one object of the log is left, with a compaction every second."""
    deadline = time.monotonic() + _SETTLE_TIMEOUT_SECONDS
    while len(log_objects(scene, place)) > 1:
        if time.monotonic() > deadline:
            raise NotReady(f"{len(log_objects(scene, place))} objects are left")
        time.sleep(1)
        compact(scene, place)
