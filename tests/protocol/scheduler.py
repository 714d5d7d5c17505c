"""A seeded adversary: interleaves workers at every request, kills them, loses answers, lets requests land late.

One `Simulation` is one log with random histories, cuts, orders, duplicates, clocks that disagree, hints that are
missing or rolled back, and LISTs in short pages. The promises are checked after every write and at the end.
"""

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from history_sink.chain import shorten
from history_sink_worker.archive import Verdict, append, upload_whole
from history_sink_worker.compaction import compact
from history_sink_worker.context import Context
from history_sink_worker.hint import Hint
from history_sink_worker.reader import read
from history_sink_worker.store import Delete, Grow, Put, Request, Steps

from .model_store import ModelStore
from .oracle import LOG, Violation, chain_of, history_upload, junctions, main_line, places, reachable, tails

T = 400
CAP = 10**6


class FlakyHints:
    """Hints as a Redis may have them: missing, rolled back, or not written."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.kept: list[Hint] = []

    def get(self, root: str) -> Hint | None:
        if not self.kept or self.rng.random() < 0.15:
            return None
        return self.rng.choice(self.kept) if self.rng.random() < 0.25 else self.kept[-1]

    def put(self, root: str, hint: Hint) -> None:
        if self.rng.random() < 0.9:
            self.kept.append(hint)


@dataclass(frozen=True)
class Save:
    """Messages ``[first, end)`` of a history; `whole` is the plain client's form."""

    history: tuple[bytes, ...]
    first: int
    end: int
    whole: bool = False

    @property
    def lines(self) -> tuple[bytes, ...]:
        return self.history[: self.end]


@dataclass(eq=False)
class Job:
    """A piece of work under way. `main_bytes` is how long the main line was when it began."""

    what: Any
    steps: Steps[Any]
    main_bytes: int
    reply: Any = None


class Simulation:
    def __init__(self, seed: int, size: float | None = None, forks: int | None = None) -> None:
        self.rng = rng = random.Random(seed)
        self.store = ModelStore()
        hints = FlakyHints(rng)
        self.workers = [Context(hints, self.clock, T) for _ in range(3)]
        self.story: list[str] = []
        self.histories = _histories(rng, size or rng.choice([0.4, 0.7, 1, 1.6]), forks)
        self.linear = len(self.histories) == 1
        self.todo = _saves(rng, self.histories)
        self.running: list[Job] = []
        self.late: list[Request] = []
        self.answered: list[tuple[Save, Verdict]] = []
        self.main = b""
        if rng.random() < 0.5:
            self.store.page = lambda: rng.choice([1, 2, 3, 1000])

    def clock(self) -> float:
        return self.store.now + self.rng.randint(-T // 8, T // 8)

    # -- running

    def start(self, what: Any) -> None:
        context = self.rng.choice(self.workers)
        self.running.append(Job(what, self._steps(context, what), len(self.main)))

    def _steps(self, context: Context, what: Any) -> Steps[Any]:
        if what == "compact":
            return compact(context, LOG, everything=True)
        if isinstance(what, Save):
            if what.whole:
                return upload_whole(context, LOG, what.lines)
            return append(context, LOG, history_upload(list(what.history), what.first, what.end))
        handle = {"bucket": "b", "key": LOG.base, "byte_range": list(what)}
        return read(context, "b", "history/", handle, CAP)

    def advance(self, job: Job, faults: bool = True) -> None:
        try:
            request = job.steps.send(job.reply)
        except StopIteration as end:
            self.running.remove(job)
            self._finish(job, end.value)
            return
        luck = self.rng.random() if faults else 1
        if luck < 0.02:
            writes = isinstance(request, (Put, Grow, Delete))
            if luck > 0.012 and writes:
                self.late.append(request)
            self._kill(job, f"before {request}")
            return
        self._perform(request, str(job.what))
        if luck < 0.05:
            self._kill(job, f"after {request}")
            return
        job.reply = self.last_reply

    def _perform(self, request: Request, who: str) -> None:
        self.last_reply = self.store.perform(request)
        self.story.append(f"{who}: {request} -> {self.last_reply}")
        if isinstance(request, (Put, Grow, Delete)):
            now = main_line(self.store.objects)
            if not now.startswith(self.main):
                raise Violation(f"bytes of the main line changed: {self.main!r} -> {now!r}")
            self.main = now

    def _kill(self, job: Job, where: str) -> None:
        self.story.append(f"KILLED {job.what} {where}")
        job.steps.close()
        self.running.remove(job)
        if isinstance(job.what, Save):
            self.todo.append(job.what)

    def _finish(self, job: Job, result: Any) -> None:
        self.story.append(f"DONE {job.what}: {result}")
        if isinstance(job.what, Save):
            self.answered.append((job.what, result))
            self._check_verdict(job.what, result)
        elif isinstance(job.what, tuple):
            self._check_read(job, result)

    def _check_verdict(self, save: Save, verdict: Verdict) -> None:
        on_main = places(save.lines) <= places(_lines(self.main))
        if verdict.outcome in ("stored", "duplicate") and not on_main:
            raise Violation(f"{verdict.outcome}, but not on the main line: {save} {self.main!r}")
        if verdict.outcome == "diverged":
            if on_main or b"".join(save.history).startswith(self.main):
                raise Violation(f"diverged, but it has not parted: {save} {self.main!r}")
            if verdict.key not in self.store.objects:
                raise Violation(f"diverged, but {verdict.key} is not there")

    def _check_read(self, job: Job, result: Any) -> None:
        start, end = job.what
        there = min(end, job.main_bytes) - start
        if isinstance(result, bytes):
            if self.main[start : start + len(result)] != result or len(result) < there:
                raise Violation(f"read {job.what} gave {result!r} of {self.main!r}")
        elif there > 0 or result.kind != "no_match":
            raise Violation(f"read {job.what} gave {result} where there are {there} bytes")

    # -- the story of one run

    def run(self) -> None:
        try:
            self._storm()
            self._settle()
            while self.late and self.rng.random() < 0.8:
                self._land()
            for _ in range(self.rng.choice([0, 0, 2])):
                if self.answered:
                    self.store.now += self.rng.choice([0, T])
                    self.todo.append(self.rng.choice(self.answered)[0])
                    self._settle()
            self._compact_all()
            self._check_end()
        except Violation as violation:
            violation.add_note("\n".join(["The last requests:", *self.story[-60:]]))
            raise

    def _storm(self) -> None:
        rng = self.rng
        workers, noise = rng.choice([1, 2, 4, 6]), rng.choice([0.02, 0.1, 0.3])
        for _ in range(6000):
            if not (self.todo or self.running):
                return
            if self.late and rng.random() < 0.03:
                self._land()
            luck = rng.random()
            if luck < 0.01 * (4 if workers < 3 else 1):
                self.store.now += rng.choice([T // 2, T, 3 * T])
            if luck < noise and len(self.running) < workers + 2:
                first = rng.randint(0, 12)
                self.start("compact" if rng.random() < 0.6 else (first, first + rng.randint(1, 12)))
            elif self.todo and len(self.running) < workers:
                self.start(self.todo.pop(0))
            elif self.running:
                self.advance(rng.choice(self.running))

    def _settle(self) -> None:
        for _ in range(50_000):
            if not (self.todo or self.running):
                return
            if self.running:
                self.advance(self.rng.choice(self.running), faults=False)
            else:
                self.start(self.todo.pop())
        raise Violation("it does not come to rest")

    def _land(self) -> None:
        self._perform(self.late.pop(self.rng.randrange(len(self.late))), "LATE")

    def _compact_all(self) -> None:
        for _ in range(60):
            before = dict(self.store.objects)
            self.store.now += 2 * T
            self.start("compact")
            self._settle()
            if self.store.objects == before:
                return
        raise Violation("compaction does not come to rest")

    # -- the promises at the end

    def _check_end(self) -> None:
        objects, beside = self.store.objects, tails(self.store.objects)
        if self.linear and self.answered:
            whole = b"".join(self.histories[0])
            if self.main != whole or beside:
                raise Violation(f"not just its history: {self.main!r}, {whole!r}, {beside}")
        found, legal = reachable(objects), set().union(*(places(history) for history in self.histories))
        on_main = places(_lines(self.main))
        for save, verdict in self.answered:
            if (len(b"".join(save.lines)), shorten(chain_of(save.lines))) not in found:
                raise Violation(f"lost: {save} {verdict}")
        for name, held in beside:
            end = (name.start + len(held), name.after)
            if name.kind == "stray" and (end in on_main or end not in legal):
                raise Violation(f"a false stray: {name}")
            if name.kind != "stray" and LOG.base in objects and name.start < len(objects[LOG.base].body):
                raise Violation(f"left over below the base: {name}")
        if LOG.base in objects and objects[LOG.base].body != self.main:
            raise Violation("the main line is not folded")
        self._check_strays_read()

    def _check_strays_read(self) -> None:
        for name, held in tails(self.store.objects):
            if name.kind != "stray" or LOG.base not in self.store.objects:
                continue
            handle = {"bucket": "b", "key": LOG.key(name), "byte_range": None}
            job = Job("stray", read(self.workers[0], "b", "history/", handle, CAP), 0)
            self.running.append(job)
            result: list[Any] = []
            self._finish_into(job, result)
            body = result[0]
            if not isinstance(body, bytes) or not body.endswith(held):
                raise Violation(f"stray {name} reads as {body}")
            if not any(b"".join(history).startswith(body) for history in self.histories):
                raise Violation(f"stray {name} reads as no history: {body!r}")

    def _finish_into(self, job: Job, result: list[Any]) -> None:
        try:
            for _ in range(10_000):
                job.reply = self.store.perform(job.steps.send(job.reply))
        except StopIteration as end:
            result.append(end.value)
        finally:
            self.running.remove(job)


def _lines(body: bytes) -> list[bytes]:
    return [text + b"\n" for text in body.split(b"\n")[:-1]]


def _histories(rng: random.Random, size: float, forks: int | None) -> list[list[bytes]]:
    same_length = rng.random() < 0.5

    def line() -> bytes:
        letter = rng.choice("abc")
        return (letter * (1 if same_length else 1 + "abc".index(letter)) + "\n").encode()

    found = [[line() for _ in range(rng.randint(1, max(2, int(7 * size))))]]
    for _ in range(rng.choice([0, 0, 1, 2, 3]) if forks is None else forks):
        parent = rng.choice(found)
        keep, kind = rng.randint(0, len(parent)), rng.random()
        grown = [line() for _ in range(rng.randint(1, max(1, int(4 * size))))]
        if kind < 0.2:  # an undo, and the same again
            grown = parent[keep : keep + rng.randint(0, 3)]
        elif kind < 0.3:
            grown = []
        found.append(parent[:keep] + grown)
    return found


def _saves(rng: random.Random, histories: list[list[bytes]]) -> list[Save]:
    found: list[Save] = []
    for history in filter(None, histories):
        lines, count = tuple(history), len(history)
        cuts = sorted({0, count} | {rng.randint(0, count) for _ in range(rng.randint(0, count))})
        saves = [Save(lines, a, b) for a, b in itertools.pairwise(cuts)]
        for _ in range(rng.choice([0, 0, 1, 2, 4])):
            first = rng.randint(0, count - 1)
            saves.append(Save(lines, first, rng.randint(first + 1, count)))
        if rng.random() < 0.25:
            saves.append(Save(lines, 0, rng.randint(1, count), whole=True))
        if rng.random() < 0.15:
            saves = [Save(lines, 0, count, whole=True)] + (saves if rng.random() < 0.5 else [])
        found += saves
    if rng.random() < 0.6:
        rng.shuffle(found)
    return found + [rng.choice(found) for _ in range(rng.choice([0, 0, 1, 3, 6])) if found]


def campaign(seconds: float, requests: float, first_seed: int, clock: Callable[[], float]) -> tuple[int, float]:
    """Run simulations until `requests` have been made (or `seconds` are over). Returns runs and requests."""
    began, made, runs = clock(), 0.0, 0
    while made < requests and clock() - began < seconds:
        simulation = Simulation(first_seed + runs)
        try:
            simulation.run()
        except Violation as violation:
            violation.add_note(f"seed {first_seed + runs}, histories {simulation.histories}")
            raise
        made += sum(simulation.store.counts.values())
        runs += 1
    return runs, made


__all__ = ["Simulation", "Violation", "campaign", "junctions"]
