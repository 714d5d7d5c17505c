"""The adversary against appends: streams of several writers, cut, resent, reordered, redelivered after days."""

import itertools
from dataclasses import replace
from typing import Any

from history_sink.errors import Malformed
from history_sink.protocol.batch import Batch
from history_sink.protocol.chain import START, Junction, split_lines, walk
from history_sink_worker.archive.batches import join_batches, next_batches
from history_sink_worker.archive.context import Context
from history_sink_worker.archive.stream import append_batch, append_batches
from history_sink_worker.archive.survey import Asked, survey
from history_sink_worker.store import Delete, Put, Request, Steps

from .append_books import AppendBooks
from .append_jobs import (
    APPEND_LIMITS,
    CARELESS,
    Append,
    AskPlaced,
    Together,
    draw_careless,
    draw_cuts,
    draw_line,
)
from .jobs import Job, Read, Save, small_limits
from .oracle import LOG, Violation


class AppendSimulation(AppendBooks):
    """One log with several appenders, and perhaps a history that one of them has saved before it appends."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.store.objects.clear()
        self.main = b""
        rng = self.rng
        self.history = tuple(self.histories[0]) if rng.random() < 0.6 else ()
        self.mixes_saves = bool(self.history) and rng.random() < 0.4
        self.fences: dict[str, Junction | None] = {}
        if not self.history and rng.random() < 0.1:
            self.main = b"".join(draw_line(rng) for _ in range(rng.randint(1, 3)))
            self.store.perform(Put(LOG.base, self.main, {}))
        self.todo = [*self._draw_saves(), *self._draw_appends()]

    # -- what is to be done

    def _draw_saves(self) -> list[Any]:
        """Pieces of the history, in order; all of it is done before the appends begin, unless they are mixed."""
        if not self.history:
            return []
        cuts = sorted({0, len(self.history), self.rng.randint(0, len(self.history))})
        return [Save(self.history, a, b) for a, b in itertools.pairwise(cuts)]

    def _draw_appends(self) -> list[Any]:
        rng, queues = self.rng, [draw_careless(self.rng)]
        for name in "uvwx"[: rng.randint(1, 4)]:
            lines = tuple(draw_line(rng) for _ in range(rng.randint(1, 6)))
            self.streams[name], self.placed[name] = lines, 0
            saved = self.history if self.mixes_saves and name == "u" else None
            queues.append(draw_cuts(rng, name, lines, saved))
        for number in range(rng.choice([0, 0, 2, 4])):
            queues.append([("lone", rng.choice([f"lone{number}", f"lone{number}", "lone0", "u"]))])
        found = []
        while queues := [queue for queue in queues if queue]:
            found.append(rng.choice(queues).pop(0))
        for at in range(len(found)):  # some are overtaken
            if rng.random() < 0.15:
                other = rng.randrange(len(found))
                found[at], found[other] = found[other], found[at]
        return found

    # -- running

    def start(self, what: Any) -> None:
        if isinstance(what, tuple):
            what = self._draw_lone(what[1])
        is_waiting = isinstance(what, Append) and not self.mixes_saves and self._is_saving()
        if is_waiting:
            self.todo.append(what)
            return
        super().start(self._gather(what) if isinstance(what, Append) else what)

    def _gather(self, what: Append) -> Append | Together:
        """What was drawn, as its writer sends it now, and perhaps with others that wait in the same worker."""
        first = self._send(what.batch)
        waiting = [each for each in self.todo[:8] if isinstance(each, Append) and each.batch.writer == first.writer]
        if first.position is None or not waiting or self.rng.random() < 0.5:
            return Append(first)
        met = [first, *(each.batch for each in waiting)]
        group = [met[index] for index in next_batches(met)]
        if first not in group:
            return Append(first)
        for each in group:
            if each is not first:
                self.todo.remove(Append(each))
        return Together(tuple(map(self._send, group)), looks=self.rng.random() < 0.3)

    def _send(self, batch: Batch) -> Batch:
        if batch.anchor is not None and self.main.startswith(b"".join(self.history)) and self.rng.random() < 0.3:
            return replace(batch, anchor=None)  # its writer has learnt that its saves are there
        if batch.position == 0 and batch.anchor is None and batch.writer in self.streams:
            if batch.writer not in self.fences:  # a stream begins
                places = [None, *self._places()]
                self.fences[batch.writer] = places[-1] if self.rng.random() < 0.5 else self.rng.choice(places)
            return replace(batch, fence=None if self.mixes_saves and batch.writer == "u" else self.fences[batch.writer])
        return batch

    def _is_saving(self) -> bool:
        jobs = [job.what for job in self.running]
        return any(isinstance(each, Save) for each in [*self.todo, *jobs])

    def _draw_lone(self, name: str) -> Append:
        """`append(after=…)`: where the log ends now, or ended before."""
        ends = self._places()
        after = ends[-1] if self.rng.random() < 0.7 else self.rng.choice(ends)
        return Append(Batch(None, name, None, (draw_line(self.rng),), after=after))

    def _places(self) -> list[Junction]:
        return [START, *walk(START, split_lines(self.main))]

    def _steps(self, context: Context, what: Any) -> Steps[Any]:
        if isinstance(what, Append):
            return append_batch(context, LOG, what.batch)
        if isinstance(what, Together):
            return append_batches(context, LOG, what.batches, what.looks)
        if isinstance(what, AskPlaced):
            return survey(context, "b", "history/", "s", Asked((), tuple(name for name, _ in what.before)))
        return super()._steps(context, what)

    def advance(self, job: Job, faults: bool = True) -> None:
        try:
            super().advance(job, faults)
        except Malformed as error:
            self.running.remove(job)
            if not (isinstance(job.what, (Append, Together)) and _batches(job.what)[0].writer == CARELESS):
                raise Violation(f"{job.what}: {error}") from error

    def _give_back(self, job: Job) -> None:
        super()._give_back(job)
        if isinstance(job.what, (Append, Together)):
            self.todo += map(Append, _batches(job.what))

    def _perform(self, request: Request, who: Any) -> None:
        before = self.main
        super()._perform(request, who)
        if isinstance(request, Put) and self.last_reply is not None and request.if_match is None:
            batch = join_batches(_batches(who)) if isinstance(who, (Append, Together)) else None
            # What has waited for its writer's earlier lines, it may also place when it appends after an end.
            is_other = batch is None or (batch.position is not None) != ("hs-position" in request.meta)
            self.owners[request.key] = self._owner_of(request) if is_other else batch
        if isinstance(request, Delete):
            self.joined -= {*request.keys}
        if len(self.main) > len(before):
            self._attribute(before)

    def _finish(self, job: Job, result: Any) -> None:
        if isinstance(job.what, AskPlaced):
            self._check_placed(job.what, result.logs)
            return
        if not isinstance(job.what, (Append, Together)):
            if isinstance(job.what, Save) and self.mixes_saves:
                self.answered.append((job.what, result))
                return
            super()._finish(job, result)
            return
        self.story.append(("DONE", job.what, result))
        verdicts = [result] if isinstance(job.what, Append) else result
        for batch, verdict in zip(_batches(job.what), verdicts, strict=True):
            self.answered.append((Append(batch), verdict))
            if batch.writer != CARELESS:
                self._check_append(batch, verdict)

    # -- the story of one run

    def _look_in(self) -> Any:
        found = super()._look_in()
        if self.rng.random() < 0.2:
            return AskPlaced(tuple(self.placed.items()))
        return "compact" if isinstance(found, Read) and found.stray else found

    def run(self) -> None:
        with small_limits(self.rng, APPEND_LIMITS):
            self._run()

    def _run(self) -> None:
        try:
            self._storm()
            self._settle()
            while self.late and self.rng.random() < 0.8:
                self._land()
            for _ in range(self.rng.choice([0, 1, 3])):
                self.store.now += self.rng.choice([0, 3, 20 * 400])
                again = [what for what, _ in self.answered if isinstance(what, Append)]
                if again:
                    self.todo.append(self.rng.choice(again))
                    self._settle()
                if self.rng.random() < 0.5:
                    self._compact_all()
            self._compact_all()
            self._check_all()
        except Violation as violation:
            violation.add_note("\n".join(["The last requests:", *map(str, self.story[-60:])]))
            raise


def _batches(what: Append | Together) -> tuple[Batch, ...]:
    return (what.batch,) if isinstance(what, Append) else what.batches


__all__ = ["Append", "AppendSimulation"]
