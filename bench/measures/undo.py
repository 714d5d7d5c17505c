"""A save after an undo, against one before."""

import time
from collections import Counter
from collections.abc import Sequence

from bench.figures import Findings, Goal, Table, median
from bench.measures.store import count_requests, put_bytes
from bench.options import Options
from bench.outcomes import Results
from bench.saving import look_at_each_save
from bench.scene import Scene, wait_until_idle
from bench.transcripts import Json, make_transcript
from history_sink.protocol.lines import encode_line

Saved = tuple[float, "Counter[str]"]
"""Seconds until durable, and the requests to the store."""

_SAVES = 50


def measure(scene: Scene, options: Options) -> Findings:
    """A session of 200 messages is saved on; in the middle of that another goes back by half, and is saved on."""
    look_at_each_save()
    messages = list(make_transcript(500, options.seed).messages)
    place = scene.place()
    client = scene.client(place)
    with (
        scene.relay(scene.minio.port) as relay,
        scene.workers(place.through(store_port=relay.port)),
        scene.sink(place) as sink,
    ):
        results = Results(client)

        def save(session: str, history: list[Json]) -> Saved:
            before, began = relay.counts(), time.perf_counter()
            seconds = max(results.wait(sink.save(session, history).task_ids)) - began
            wait_until_idle(client)
            return seconds, relay.counts() - before

        histories = {"straight": messages[:200], "undone": messages[:200]}
        for session, history in histories.items():
            save(session, history)
        histories["undone"] = [*messages[:100], messages[300]]
        undo = save("undone", histories["undone"])
        saved: dict[str, list[Saved]] = {"straight": [], "undone": []}
        for index in range(_SAVES):  # in turn, so that noise hits both alike
            for session in sorted(histories, reverse=bool(index % 2)):
                histories[session].append(messages[301 + index])
                saved[session].append(save(session, histories[session]))
    undone_bytes = sum(len(encode_line(message).data) for message in histories["undone"][:101])
    return _report(saved["straight"], undo, saved["undone"], undone_bytes)


def _report(before: Sequence[Saved], undo: Saved, after: Sequence[Saved], undone_bytes: int) -> Findings:
    rows = [
        (name, median([seconds for seconds, _ in saved]) * 1000, mean_requests(saved))
        for name, saved in (("save before", before), ("the undo", [undo]), ("save after", after))
    ]
    return Findings(
        name="undo",
        title="A save after an undo",
        goals=(
            Goal("requests of a save after an undo, against before", rows[2][2] / rows[0][2], "at most", 1.0),
            Goal("time of a save after an undo, against before", rows[2][1] / rows[0][1], "at most", 1.1),
            Goal("bytes PUT by the undo, against its whole history", put_bytes(undo[1]) / undone_bytes, "at most", 1.0),
        ),
        tables=(
            Table(
                f"{_SAVES} saves of one message each, in turn",
                ("save", "milliseconds until durable (median)", "requests to the store"),
                tuple(rows),
            ),
        ),
    )


def mean_requests(saved: Sequence[Saved]) -> float:
    """To the store, for each save."""
    return sum(count_requests(counts) for _, counts in saved) / len(saved)
