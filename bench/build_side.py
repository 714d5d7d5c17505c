"""`python -m bench.build_side ACTION FIGURES`: a producer of either build, measured; prints figures as JSON.

The library is whatever PYTHONPATH finds first. So it uses public names alone, and of ours what knows no library:
modules had other names in older builds.
"""

import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import redis
from celery import Celery

from bench.cpu import Meter
from bench.figures import median
from bench.memory import forget_peak, peak_megabytes
from bench.outcomes import Results, wait_for_results
from bench.threads import run_all
from history_sink import HistorySink, PointerHandle

_THREADS = 8
_UPLOAD = "history_sink.upload_history"
_QUEUE = "history.upload"
_SETTLE_SECONDS = 1.0

Given = Mapping[str, Any]
Figures = dict[str, Any]


class Side:
    """What all actions have: `given` is what the driver says of the work, the broker and the processes."""

    def __init__(self, given: Given) -> None:
        self.given = given
        self.url = str(given["broker_url"])
        self.client = redis.Redis.from_url(self.url)
        self.messages = [json.loads(line) for line in Path(given["messages"]).read_bytes().splitlines()]
        self.sink = HistorySink(broker_url=self.url)
        self.names = [f"{given['name']}-{number}" for number in range(given.get("sessions", 1))]

    def meter(self) -> Meter:
        return Meter({**self.given["pids"], "producer": os.getpid()})

    def begin_sessions(self) -> None:
        """A first message each, stored."""
        with ThreadPoolExecutor(_THREADS) as pool:
            receipts = [*pool.map(lambda name: self.sink.append(name, self.messages[0]), self.names)]
        wait_for_results(self.client, [task for receipt in receipts for task in receipt.task_ids])
        time.sleep(_SETTLE_SECONDS)

    def redis_bytes(self) -> int:
        """In and out so far."""
        told = self.client.info("stats")
        assert isinstance(told, dict)
        return int(told["total_net_input_bytes"]) + int(told["total_net_output_bytes"])

    def counts(self) -> "Counter[str]":
        """Commands that Redis has run, those of scripts included; and how often a client's commands came in."""
        commands, totals = self.client.info("commandstats"), self.client.info("stats")
        assert isinstance(commands, dict)
        assert isinstance(totals, dict)
        calls = {name.removeprefix("cmdstat_"): int(each["calls"]) for name, each in commands.items()}
        return Counter({**calls, "round trips": int(totals["total_reads_processed"])})


def burst(side: Side) -> Figures:
    """One message each of many sessions in turn, for some seconds."""
    side.begin_sessions()
    task_ids: list[str] = []

    def save(index: int) -> None:
        name, message = side.names[index % len(side.names)], side.messages[1 + index % (len(side.messages) - 1)]
        task_ids.extend(side.sink.append(name, message).task_ids)

    meter, began = side.meter(), time.perf_counter()
    saves, _ = run_all(save, _THREADS, side.given["seconds"])
    seconds = wait_for_results(side.client, task_ids) - began
    return {"rate": saves / seconds, **{who: 1000 * used / saves for who, used in meter.used_seconds().items()}}


def count(side: Side) -> Figures:
    """One save of each session, sent while the worker stands still: what it then costs is the worker's alone."""
    side.begin_sessions()
    worker, saves = side.given["pids"]["worker"], len(side.names)
    os.kill(worker, signal.SIGSTOP)
    try:
        task_ids = [side.sink.append(name, side.messages[1]).task_ids[0] for name in side.names]
        before = side.counts()
    finally:
        os.kill(worker, signal.SIGCONT)
    polls = 0
    while side.client.exists(*(f"celery-task-meta-{task_id}" for task_id in task_ids)) < saves:
        polls += 1
        time.sleep(0.05)
    time.sleep(_SETTLE_SECONDS)  # acknowledgements and events come after the results
    made = side.counts() - before
    made -= Counter({"exists": polls + 1, "info": 2, "round trips": polls + 3})  # this program's own
    trips = made.pop("round trips")
    by_name = {name: calls / saves for name, calls in made.items()}
    return {"commands": sum(by_name.values()), "round trips": trips / saves, "by name": by_name}


def lone(side: Side) -> Figures:
    """One session, one save at a time, each until it is durable."""
    results, milliseconds = Results(side.client), []
    for number in range(side.given["times"] + 1):
        began = time.perf_counter()
        receipt = side.sink.append(side.names[0], side.messages[number % len(side.messages)])
        milliseconds.append(1000 * (max(results.wait(receipt.task_ids)) - began))
    return {"milliseconds": milliseconds[1:]}


def read(side: Side) -> Figures:
    """A message in the middle of the log. `commands` are Redis's of each, but for looks whether the answer is there."""
    size = side.sink.status(side.names[0]).logs[0].bytes
    handle = PointerHandle(side.given["bucket"], side.given["key"], (size // 2, size // 2 + 3000))

    def resolve() -> float:
        began = time.perf_counter()
        answer = side.sink.resolve(handle)
        assert isinstance(answer, bytes), answer
        return 1000 * (time.perf_counter() - began)

    resolve()
    before, meter = side.counts(), side.meter()
    milliseconds = [resolve() for _ in range(side.given["times"])]
    used, made = meter.used_seconds(), side.counts() - before
    del made["getdel"], made["info"], made["round trips"]
    per_resolve = {name: calls / len(milliseconds) for name, calls in made.items()}
    cpu = {f"CPU ms: {who}": 1000 * spent / len(milliseconds) for who, spent in used.items()}
    return {"milliseconds": milliseconds, "commands": sum(per_resolve.values()), "by name": per_resolve, **cpu}


def plain(side: Side) -> Figures:
    """Whole histories of a stock client, each with one message more; the first is not measured."""
    app = Celery("bench", broker=side.url, backend=side.url, set_as_current=False)
    results, figures = Results(side.client), []
    for number in range(side.given["times"] + 1):
        messages: Sequence[Any] = side.messages[: len(side.messages) - side.given["times"] + number]
        meter, began = side.meter(), time.perf_counter()
        task, queue = side.given.get("task", _UPLOAD), side.given.get("queue", _QUEUE)
        sent = app.send_task(task, (side.names[0], messages), queue=queue)
        seconds = max(results.wait([str(sent.id)])) - began
        used = {f"CPU ms: {who}": 1000 * spent for who, spent in meter.used_seconds().items()}
        figures.append({"ms": 1000 * seconds, **used})
    return {what: [each[what] for each in figures[1:]] for what in figures[0]}


def fill(side: Side) -> Figures:
    """One long log, folded whole."""
    messages = side.messages * side.given["times"]
    side.sink.save(side.names[0], messages)
    assert side.sink.flush(side.names[0], 200)
    app = Celery("bench", broker=side.url, backend=side.url, set_as_current=False)
    folded = app.send_task(
        "history_sink.compact", (side.names[0],), {"everything": True}, queue="history.maintenance", ignore_result=False
    )
    folded.get(timeout=200)
    return {"size_bytes": side.sink.status(side.names[0]).logs[0].bytes}


def restore(side: Side) -> Figures:
    """All of a log into a file: wall, processor time, peak memory from here on, and bytes in and out of Redis."""
    worker = side.given["pids"]["worker"]
    side.sink.status(side.names[0])  # what is imported then is no matter of the log's length
    for pid in (worker, os.getpid()):
        forget_peak(pid)
    meter, sent, began, size = side.meter(), side.redis_bytes(), time.perf_counter(), 0
    with tempfile.TemporaryFile() as file:
        for piece in side.sink.read(side.names[0], timeout_seconds=60):
            size += file.write(piece)
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "bytes through Redis per byte": (side.redis_bytes() - sent) / size,
        "worker's peak MB": peak_megabytes(worker),
        "producer's peak MB": peak_megabytes(os.getpid()),
        **{f"CPU s: {who}": used for who, used in meter.used_seconds().items()},
    }


def produce(side: Side) -> Figures:
    """Saves of the whole list with one message more, and appends of one: what each costs the agent's process."""
    history, name = side.messages[:100], side.names[0]
    side.sink.save(name, history)
    sent = take_message(side, name)
    acts: dict[str, Callable[[Any], object]] = {
        "save": lambda message: side.sink.save(name, history),
        "append": lambda message: side.sink.append(f"{name}-appended", message),
        "bare LPUSH of the same bytes": lambda message: side.client.lpush(f"{name}-bare", sent),
    }
    found: dict[str, tuple[list[float], list[float]]] = {what: ([], []) for what in acts}
    for number in range(side.given["times"]):
        message = {**side.messages[number % len(side.messages)], "number": number}
        history.append(message)
        for what, act in acts.items():
            began, used = time.perf_counter(), time.process_time()
            act(message)
            found[what][1].append(1000 * (time.process_time() - used))
            found[what][0].append(1000 * (time.perf_counter() - began))
    side.client.delete(f"{name}-bare")
    return {
        f"{what}: {unit}": median(each)
        for what, both in found.items()
        for unit, each in zip(("ms p50", "ms of processor p50"), both, strict=True)
    }


def take_message(side: Side, name: str) -> bytes:
    """An append as it lies in the queue, where it stays; the worker stands still meanwhile."""
    os.kill(side.given["pids"]["worker"], signal.SIGSTOP)
    try:
        side.sink.append(f"{name}-appended", side.messages[1])
        sent = side.client.lindex(_QUEUE, 0)
        assert isinstance(sent, bytes)
    finally:
        os.kill(side.given["pids"]["worker"], signal.SIGCONT)
    return sent


_ACTIONS = {each.__name__: each for each in (fill, restore, produce, burst, count, lone, read, plain)}


def main(action: str, given: str) -> None:
    """Print the figures of one action."""
    side = Side(json.loads(given))
    with side.sink:
        print(json.dumps(_ACTIONS[action](side)))


if __name__ == "__main__":
    main(*sys.argv[1:])
