"""A home with made-up session files, the watch over it, and how far the store has them."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from bench.scene import Place
from bench.transcripts import make_transcript
from history_sink import HistorySink, Unavailable
from stack.processes import wait_until
from stack.stack import producer_environment

COMMAND = str(Path(sys.executable).with_name("history-sink"))

_STOCK = 3_000
"""So many messages there are; each file has a run of them."""


class Home:
    """A home with made-up sessions of Claude Code."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self._chance = random.Random(seed)
        self.paths: list[Path] = []

    def fill(self, files: int, size_bytes: int) -> None:
        """So many files of made-up transcripts, of sizes around the mean; the first is the oldest."""
        lines = make_transcript(_STOCK, 1).lines
        for number in range(files):
            folder = self.folder / ".claude" / "projects" / f"-project-{number % 50}"
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{UUID(int=number + 1)}.jsonl"
            with path.open("wb") as file:
                left, at = self._chance.expovariate(1 / size_bytes) + 500, self._chance.randrange(_STOCK)
                left -= file.write(self.make_line(100))
                while left > 0:
                    at = (at + 1) % _STOCK
                    left -= file.write(lines[at])
            os.utime(path, (number, number))
            self.paths.append(path)

    def make_line(self, size_bytes: int) -> bytes:
        """A line that hardly packs."""
        text = self._chance.randbytes(size_bytes // 2 + 1).hex()
        return json.dumps({"type": "user", "cwd": "/made/up", "text": text}).encode() + b"\n"

    def measure_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.paths)


@contextmanager
def run_watch(home: Home, place: Place) -> "Iterator[subprocess.Popen[bytes]]":
    """The command, over a home of its own."""
    environment = {**os.environ, **producer_environment(place.environment), "HOME": str(home.folder)}
    environment["XDG_STATE_HOME"] = str(home.folder / "state")
    with (home.folder / "watch.log").open("ab") as log:
        process = subprocess.Popen([COMMAND, "watch"], stdout=log, stderr=log, env=environment)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


def session_of(path: Path) -> str:
    return f"claude.{path.stem}"


def wait_for(sink: HistorySink, path: Path, seconds: float = 600, pause_seconds: float = 0.0) -> float:
    """Return when the store has all of a file, by `time.perf_counter`. Each look at the store costs it a little."""

    def is_there() -> bool:
        time.sleep(pause_seconds)
        return is_archived(sink, path)

    wait_until(is_there, timeout_seconds=seconds, what=f"{path.name} in the store")
    return time.perf_counter()


def is_archived(sink: HistorySink, path: Path) -> bool:
    """Whether the store has all of a file; not, where nobody says so in time: Redis and the store share a disk."""
    try:
        return count_archived(sink, path) == path.stat().st_size
    except Unavailable:
        return False


def count_archived(sink: HistorySink, path: Path) -> int:
    status = sink.status(session_of(path), 60.0)
    return status.logs[0].bytes if status.logs else 0
