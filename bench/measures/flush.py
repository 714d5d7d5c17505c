"""How long a flush takes behind a burst of saves, beside the time until the store has the last of them."""

import threading
import time
from collections.abc import Sequence

from bench.figures import Cell, Findings, Goal, Table, quantile
from bench.options import Options
from bench.outcomes import Results
from bench.scene import Scene
from bench.transcripts import Json, make_transcript
from history_sink import HistorySink
from history_sink.protocol.contract import STATUS

_SAVES = 67
_TIMEOUT_SECONDS = 60.0


def measure(scene: Scene, options: Options) -> Findings:
    """Bursts of one session each, by one worker of eight threads."""
    messages = make_transcript(_SAVES, options.seed).messages
    flushed, stored, questions = [], [], []
    place = scene.place()
    with scene.workers(place), scene.sink(place) as sink:
        client = scene.client(place)  # kept: when it goes, it closes what listens
        results = Results(client)
        for number in range(options.pick(60, 120)):
            took, until, asked = run_burst(sink, results, f"s{number}", messages)
            flushed.append(1000 * took)
            stored.append(1000 * until)
            questions.append(asked)
    ratios = [took / until for took, until in zip(flushed, stored, strict=True)]
    rows: list[tuple[Cell, ...]] = [
        (name, *(quantile(each, share) for share in (0.5, 0.9, 0.99, 1.0))) for name, each in _named(flushed, stored)
    ]
    rows.append(("questions", *(quantile(questions, share) for share in (0.5, 0.9, 0.99, 1.0))))
    return Findings(
        name="flush",
        title="Flush behind a burst",
        goals=(
            Goal("flush p99 against p50", quantile(flushed, 0.99) / quantile(flushed, 0.5), "at most", 2.0),
            Goal(
                "flush against the time until the store has the last save, p50", quantile(ratios, 0.5), "at most", 1.2
            ),
        ),
        tables=(Table(f"Milliseconds, {_SAVES} saves of one message", ("", "p50", "p90", "p99", "most"), tuple(rows)),),
    )


def _named(flushed: Sequence[float], stored: Sequence[float]) -> tuple[tuple[str, Sequence[float]], ...]:
    return ("until flush returns", flushed), ("until the last save is stored", stored)


def run_burst(sink: HistorySink, results: Results, session: str, messages: Sequence[Json]) -> tuple[float, float, int]:
    """Seconds from the last save on until flush has returned, and until all saves were stored; questions asked."""
    asked, send = [], sink._broker.send

    def note(task: str, *rest: object, **more: object) -> str:
        asked.append(task)
        return send(task, *rest, **more)  # type: ignore[arg-type]  # whatever it is given

    task_ids = [task_id for message in messages for task_id in sink.append(session, message).task_ids]
    began, stored = time.perf_counter(), [0.0]

    def wait() -> None:
        stored[0] = max(results.wait(task_ids, _TIMEOUT_SECONDS))

    waiting = threading.Thread(target=wait)
    waiting.start()
    sink._broker.send = note  # type: ignore[method-assign]
    try:
        result = sink.flush(session, _TIMEOUT_SECONDS)
    finally:
        del sink._broker.send
    ended = time.perf_counter()
    waiting.join()
    assert result, result
    return ended - began, max(stored[0] - began, 0.001), asked.count(STATUS)
