"""A seeded adversary: interleaves workers at every request, kills them, loses answers, lets requests land late.

One `Simulation` is one log with random histories, cuts, orders, duplicates, clocks that disagree, hints that are
missing or rolled back, LISTs in short pages, folds in parts, and perhaps a base that the older sink wrote. The
promises are checked after every write, with every answer, and at the end.
"""

import os
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from history_sink.protocol.chain import shorten
from history_sink_worker.archive.compaction import Compacted, compact
from history_sink_worker.archive.context import Context
from history_sink_worker.archive.lineage import Orphan
from history_sink_worker.archive.piece import whole_piece
from history_sink_worker.archive.reader import read
from history_sink_worker.archive.save import append, upload_whole
from history_sink_worker.archive.survey import Asked, survey
from history_sink_worker.archive.verdict import Verdict
from history_sink_worker.store import Abort, Away, Begin, Complete, Put, Request, Steps, StoreError, run
from logbook import upload_of

from .checks import check_end, check_read, check_stray, check_survey, check_verdict
from .jobs import FlakyHints, Job, Read, Save, Survey, draw_histories, draw_saves, small_limits
from .model_store import WRITES, ModelStore
from .oracle import LOG, Violation, junctions, main_line, tails

T = 400
CAP = 10**6


class Simulation:
    def __init__(self, seed: int, size: float | None = None, forks: int | None = None) -> None:
        self.rng = rng = random.Random(seed)
        self.store = ModelStore()
        hints = FlakyHints(rng)
        self.skew = T // 8  # at each look at it: a fold may seem to have taken too long
        self.workers = [Context(hints, self.clock, T) for _ in range(3)]
        self.story: list[tuple[Any, ...]] = []
        self.histories = draw_histories(rng, size or rng.choice([0.4, 0.7, 1, 1.6]), forks)
        self.todo: list[Any] = [*draw_saves(rng, self.histories)]
        self.running: list[Job] = []
        self.late: list[tuple[float, Request]] = []
        self.asleep: Job | None = None
        self.answered: list[tuple[Any, Verdict]] = []
        self.compacted = Compacted()
        self.main = b""
        self.store.equal_etags = rng.random() < 0.5
        self.store.dates_by_begin = seed % 2 == 1
        if rng.random() < 0.5:
            self.store.page = lambda: rng.choice([1, 2, 3, 1000])
        if rng.random() < 0.1:
            self._begin_with_a_foreign_base()

    def _begin_with_a_foreign_base(self) -> None:
        history = self.rng.choice(self.histories)
        body = b"".join(history[: self.rng.randint(0, len(history))])
        self.main = body[:-1] if self.rng.random() < 0.5 else body
        self.store.perform(Put(LOG.base, self.main, {}))

    def clock(self) -> float:
        return self.store.now + self.rng.randint(-self.skew, self.skew)

    # -- running

    def start(self, what: Any) -> None:
        context = self.rng.choice(self.workers)
        self.running.append(Job(what, self._steps(context, what), len(self.main), self._strays()))

    def _strays(self) -> set[str]:
        return {LOG.key(name) for name, _ in tails(self.store.objects) if name.kind == "stray"}

    def _look_in(self) -> str | Read | Survey:
        """What others than the writers do meanwhile."""
        rng, luck, strays = self.rng, self.rng.random(), sorted(self._strays())
        if luck < 0.55:
            return "compact" if luck < 0.4 else "compact, if it is due"
        if luck < 0.65:
            points = junctions(rng.choice(self.histories))
            chosen = rng.sample(points, rng.randint(0, len(points)))
            return Survey(tuple((offset, shorten(chain)) for offset, chain in chosen))
        if luck < 0.75 and strays:
            return Read(stray=rng.choice(strays))
        first = rng.randint(0, 12)
        return Read(first, first + rng.randint(1, 12)) if luck < 0.95 else Read()

    def _steps(self, context: Context, what: Any) -> Steps[Any]:
        if isinstance(what, str):
            return compact(context, LOG, idle=True, everything=what == "compact")
        if isinstance(what, Survey):
            return survey(context, "b", "history/", "s", Asked(what.asked))
        if isinstance(what, Save):
            if what.whole:
                return upload_whole(context, LOG, whole_piece(what.lines))
            return append(context, LOG, upload_of(what.history, what.first, what.end))
        wanted = None if what.end is None else [what.start, what.end]
        handle = {"bucket": "b", "key": what.stray or LOG.base, "byte_range": wanted}
        return read(context, "b", "history/", handle, CAP)

    def advance(self, job: Job, faults: bool = True) -> None:
        try:
            request = job.go_on()
        except StopIteration as end:
            self._end(job)
            self._finish(job, end.value)
            return
        except StoreError as error:
            self._end(job)
            if error in job.met:
                self._give_back(job)
                return
            if isinstance(error, Orphan) and isinstance(job.what, Read) and job.what.stray:
                return  # its beginning is pending
            raise Violation(f"{job.what}: {error}") from error
        luck = self.rng.random() if faults else 1
        if luck < 0.02:
            if luck > 0.012 and isinstance(request, WRITES):
                self.late.append((self.store.now, request))
            self._kill(job, ("before", request))
            return
        is_troubled = faults and luck > 0.8 and bool(job.uploads) and not isinstance(request, (Begin, Abort))
        if not is_troubled or luck < 0.87:
            self._perform(request, job.what)
        elif luck < 0.93:
            self.late.append((self.store.now, request))
        if luck < 0.05:
            self._kill(job, "after it")
            return
        job.reply = self.last_reply
        if is_troubled:
            job.meet(Away("no answer"))
        if isinstance(request, Begin):
            job.uploads.add(str(self.last_reply))

    def _perform(self, request: Request, who: Any) -> None:
        self.last_reply = self.store.perform(request)
        self.story.append((who, request, self.last_reply))
        if isinstance(request, WRITES):
            now = main_line(self.store.objects)
            if not now.startswith(self.main):
                raise Violation(f"bytes of the main line changed: {self.main!r} -> {now!r}")
            self.main = now

    def _end(self, job: Job) -> None:
        self.running.remove(job)
        if job.uploads & self.store.uploads.keys():
            raise Violation(f"{job.what} has left an upload that is neither completed nor aborted")

    def _kill(self, job: Job, where: Any) -> None:
        self.story.append(("KILLED", job.what, where))
        job.steps.close()
        self.running.remove(job)
        self._give_back(job)

    def _give_back(self, job: Job) -> None:
        """What was not done is to be done."""
        if isinstance(job.what, Save):
            self.todo.append(job.what)

    def _finish(self, job: Job, result: Any) -> None:
        self.story.append(("DONE", job.what, result))
        if isinstance(job.what, Save):
            self.answered.append((job.what, result))
            check_verdict(self.store.objects, self.main, job.what, result)
        elif isinstance(job.what, Survey):
            check_survey(self.main, job, result)
        elif isinstance(job.what, Read) and job.what.stray:
            check_stray(self.store.objects, self.histories, job.what, result)
        elif isinstance(job.what, Read):
            check_read(self.main, job.what, job.main_bytes, result)
        else:
            self.compacted = result

    # -- the story of one run

    def run(self) -> None:
        with small_limits(self.rng):
            self._run()

    def _run(self) -> None:
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
            check_end(self.store.objects, self.main, self.histories, self.answered)
            self._read_strays()
        except Violation as violation:
            violation.add_note("\n".join(["The last requests:", *map(str, self.story[-60:])]))
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
                self.start(self._look_in())
            elif self.todo and len(self.running) < workers:
                self.start(self.todo.pop(0))
            elif awake := [job for job in self.running if job is not self.asleep] or self.running:
                self.advance(rng.choice(awake))
            if rng.random() < 0.01:  # so that one is overtaken by others again and again
                self.asleep = rng.choice([None, *self.running])

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
        sent_at, request = self.late.pop(self.rng.randrange(len(self.late)))
        if isinstance(request, Complete) and self.store.now - sent_at >= T // 8:
            return  # no store takes so old a signature
        with suppress(Away):  # its upload was aborted
            self._perform(request, "LATE")

    def _compact_all(self) -> None:
        self.skew = 0
        for number in range(60):
            before = dict(self.store.objects)
            self.store.now += 2 * T
            is_done = self.compacted.again_in_seconds is None
            self.start("compact")
            self._settle()
            if self.store.objects == before:
                return
            if is_done and number:
                raise Violation("compaction had said that there was nothing left to do")
        raise Violation("compaction does not come to rest")

    def _read_strays(self) -> None:
        for key in self._strays() if LOG.base in self.store.objects else ():
            result = run(self._steps(self.workers[0], Read(stray=key)), self.store.perform)
            check_stray(self.store.objects, self.histories, Read(stray=key), result)


class Run(Protocol):
    """One simulation, drawn from a seed."""

    @property
    def store(self) -> ModelStore: ...

    def run(self) -> None: ...


def campaign(
    seconds: float,
    requests: float,
    first_seed: int,
    clock: Callable[[], float],
    simulate: Callable[[int], Run] = Simulation,
) -> tuple[int, float]:
    """Run simulations until `requests` have been made (or `seconds` are over). Returns runs and requests."""
    began, made, runs = clock(), 0.0, 0
    while made < requests and clock() - began < seconds:
        simulation = simulate(first_seed + runs)
        try:
            simulation.run()
        except Violation as violation:
            violation.add_note(f"seed {first_seed + runs}, histories {vars(simulation).get('histories')}")
            raise
        made += sum(simulation.store.counts.values())
        runs += 1
    return runs, made


def allot(requests: int) -> int:
    """A quarter of them in `make test-quick`, which one runs between two edits. `make test` makes all."""
    return requests // 4 if os.environ.get("PROTOCOL_QUICK") else requests


__all__ = ["Simulation", "Violation", "allot", "campaign", "junctions"]
