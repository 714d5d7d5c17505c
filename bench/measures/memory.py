"""Peak memory of worker, producer and Redis, by the length of a session, up to 200 MB."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Findings, Goal, Plot, Table
from bench.measures.store import compact
from bench.memory import peak_megabytes
from bench.options import Options
from bench.scene import Scene, wait_until_idle
from bench.transcripts import make_transcript
from history_sink import HistorySink, LogStatus, PointerHandle
from stack.stack import producer_environment

_SCALE = 5.0
"""Messages so many times as large as in real transcripts: 10,000 of them are 200 MB."""
_BLOCK = 100
_READ_BYTES = 8 * 1024 * 1024
_FLAT = 1.2


def measure(scene: Scene, options: Options) -> Findings:
    """For each length a fresh worker: the log is saved, folded whole, and read whole, by ranges."""
    transcript = make_transcript(_BLOCK, seed=options.seed + 2, scale=_SCALE)
    file = scene.stack.directory / "block.jsonl"
    file.write_bytes(b"".join(transcript.lines))
    lengths = options.pick((100, 1_000, 3_000), (100, 1_000, 10_000))
    rows = [(length, *run(scene, file, length // _BLOCK)) for length in lengths]
    peaks = [float(row[2]) for row in rows]
    columns = ("messages", "log, MB", "worker, peak MB", "agent before, MB", "agent, peak MB", "Redis, peak MB so far")
    return Findings(
        name="memory",
        title="Peak memory by the length of a session",
        goals=(
            Goal(
                f"worker's peak memory, longest session ({rows[-1][1]:.0f} MB) against {rows[1][1]:.0f} MB",
                peaks[-1] / peaks[1],
                "at most",
                _FLAT,
                f"{peaks[-1]:.0f} against {peaks[1]:.0f} MB; a worker with {rows[0][1]:.0f} MB: {peaks[0]:.0f} MB",
            ),
        ),
        tables=(Table("A fresh worker of 8 threads each: save, fold all, read all", columns, tuple(rows)),),
        plots=(
            Plot(
                "memory",
                "Peak memory of a worker",
                "log, MB",
                "worker, peak MB",
                {"worker": tuple((row[1], row[2]) for row in rows)},
            ),
        ),
        notes=(
            f"Flat is read as at most {_FLAT} times; a fold holds up to 32 MiB of tail, which a short log has not.",
        ),
    )


def run(scene: Scene, file: Path, times: int) -> tuple[float, float, float, float, float]:
    """Megabytes: the log, the worker's peak, the agent before and at its peak, Redis's peak."""
    place = scene.place()
    environment = {**os.environ, **producer_environment(place.environment)}
    command = [sys.executable, "-m", "bench.producer_memory", str(file), str(times)]
    with scene.workers(place) as workers, scene.sink(place) as sink:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=300)
        wait_until_idle(scene.client(place))
        compact(scene, place)
        log = sink.status("s").logs[0]
        read = sum(map(len, read_ranges(sink, place.bucket, log)))
        assert read == log.bytes == log.base_bytes, (read, log)
        peak = peak_megabytes(workers[0].process.pid)
    information = scene.client(place).info("memory")
    assert isinstance(information, dict)
    before, after = map(float, done.stdout.split())
    return read / 1e6, peak, before, after, information["used_memory_peak"] / 1e6


def read_ranges(sink: HistorySink, bucket: str, log: LogStatus) -> Iterator[bytes]:
    """All of it, as much at a time as a worker gives."""
    for start in range(0, log.bytes, _READ_BYTES):
        answer = sink.resolve(PointerHandle(bucket, log.key, (start, start + _READ_BYTES)), timeout_seconds=60)
        assert isinstance(answer, bytes), answer
        yield answer
