"""Producer time per save by position in the session, of the whole list and of the new message alone."""

import time
from collections.abc import Callable

from bench.figures import Cell, Findings, Goal, Plot, Table, quantile
from bench.options import Options
from bench.scene import Scene
from bench.transcripts import Json, make_transcript
from history_sink import HistorySink

_POSITIONS = (100, 1_000, 10_000)
_MESSAGE_BYTES = 3_000


def measure(scene: Scene, options: Options) -> Findings:
    """One save at each position in turn, so that noise hits them alike. The broker is near, and nobody consumes."""
    samples: dict[str, tuple[list[float], list[float]]] = {}
    with scene.sink(scene.place()) as sink:
        contestants: dict[str, Callable[[Json], object]] = {}
        for position in _POSITIONS:
            messages = list(make_transcript(position, options.seed).messages)
            contestants[f"save, message {position:,}"] = saver(sink, f"s{position}", messages)
        messages = list(make_transcript(_POSITIONS[-1], options.seed).messages)
        contestants[f"append, message {_POSITIONS[-1]:,}"] = appender(sink, "appended", messages)
        for number in range(options.pick(100, 400)):
            for name, act in contestants.items():
                wall, cpu = samples.setdefault(name, ([], []))
                message = make_message(number)
                began, began_cpu = time.perf_counter(), time.thread_time()
                act(message)
                cpu.append(1000 * (time.thread_time() - began_cpu))
                wall.append(1000 * (time.perf_counter() - began))
    return _report(samples)


def saver(sink: HistorySink, session: str, messages: list[Json]) -> Callable[[Json], object]:
    """Saves the whole list with one message more."""
    sink.save(session, messages)

    def save(message: Json) -> None:
        messages.append(message)
        assert sink.save(session, messages).messages == 1

    return save


def appender(sink: HistorySink, session: str, messages: list[Json]) -> Callable[[Json], object]:
    """Appends one message."""
    sink.save(session, messages)
    return lambda message: sink.append(session, message)


def make_message(number: int) -> Json:
    """Of 3 KB, from the text of other messages, in the form of an agent's."""
    source = make_transcript(1_000, seed=number % 7 + 1).messages
    text = " ".join(str(source[(number + index) % 1_000]["message"]["content"]) for index in range(40))
    return {"role": "assistant", "content": [{"type": "text", "text": text[: _MESSAGE_BYTES - 70]}], "number": number}


def _report(samples: dict[str, tuple[list[float], list[float]]]) -> Findings:
    rows: list[tuple[Cell, ...]] = [
        (name, *(quantile(each, share) for each in both for share in (0.5, 0.99))) for name, both in samples.items()
    ]
    first, last = (f"save, message {position:,}" for position in (_POSITIONS[0], _POSITIONS[-1]))
    appended = f"append, message {_POSITIONS[-1]:,}"
    wall = {name: quantile(each, 0.5) for name, (each, _) in samples.items()}
    cpu = {name: quantile(each, 0.5) for name, (_, each) in samples.items()}
    return Findings(
        name="producer",
        title="Producer time per save",
        goals=(
            Goal("producer p50 per save, message 10,000 against message 100", wall[last] / wall[first], "at most", 1.2),
            Goal("CPU per save, message 10,000 against message 100", cpu[last] / cpu[first], "at most", 1.2),
            Goal("milliseconds of CPU per save of a message of 3 KB", cpu[last], "at most", 1.0),
            Goal("save of a list of 10,000 against append of one", wall[last] / wall[appended], "at most", 1.2),
            Goal("the same, CPU", cpu[last] / cpu[appended], "at most", 1.2),
        ),
        tables=(
            Table(
                "Milliseconds, for a message of 3 KB",
                ("call", "p50", "p99", "CPU p50", "CPU p99"),
                tuple(rows),
            ),
        ),
        plots=(
            Plot(
                "producer",
                "Producer time per save",
                "messages in the session",
                "milliseconds (p50)",
                {
                    "elapsed": tuple((float(p), wall[f"save, message {p:,}"]) for p in _POSITIONS),
                    "CPU": tuple((float(p), cpu[f"save, message {p:,}"]) for p in _POSITIONS),
                },
                is_log=True,
            ),
        ),
    )
