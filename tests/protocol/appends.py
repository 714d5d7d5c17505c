"""The adversary against appends: streams of several writers, cut, resent, reordered, redelivered after days.

Whose bytes the main line has is worked out from who created which object, and not from what the objects say.
"""

import itertools
from dataclasses import dataclass
from typing import Any

from history_sink.protocol.batch import Anchor, Batch
from history_sink.protocol.chain import ORIGIN, START, shorten, split_lines, walk
from history_sink_worker.archive.context import Context
from history_sink_worker.archive.stream import append_batch
from history_sink_worker.archive.verdict import Verdict
from history_sink_worker.store import Put, Request, Steps

from .jobs import Job, Read, Save
from .oracle import LOG, Violation, chain_of, tails
from .scheduler import Simulation

_LETTERS = "ab"


@dataclass(frozen=True)
class Append:
    """One batch on its way to the log."""

    batch: Batch


class AppendSimulation(Simulation):
    """One log with several appenders, and perhaps a history that one of them has saved before it appends."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, size=0.4, forks=0)
        self.store.objects.clear()
        self.main = b""
        rng = self.rng
        self.history = tuple(self.histories[0]) if rng.random() < 0.6 else ()
        self.mixes_saves = bool(self.history) and rng.random() < 0.4
        self.streams: dict[str, tuple[bytes, ...]] = {}
        self.placed: dict[str, int] = {}
        self.owners: dict[str, Batch | None] = {}
        self.todo = [*self._draw_saves(), *self._draw_appends()]

    # -- what is to be done

    def _draw_saves(self) -> list[Any]:
        """Pieces of the history, in order; all of it is done before the appends begin, unless they are mixed."""
        if not self.history:
            return []
        cuts = sorted({0, len(self.history), self.rng.randint(0, len(self.history))})
        return [Save(self.history, a, b) for a, b in itertools.pairwise(cuts)]

    def _draw_appends(self) -> list[Any]:
        rng, queues = self.rng, []
        for name in "uvwx"[: rng.randint(1, 4)]:
            lines = tuple(
                (rng.choice(_LETTERS) * rng.choice([1, 1, 2]) + "\n").encode() for _ in range(rng.randint(1, 6))
            )
            self.streams[name], self.placed[name] = lines, 0
            queues.append(self._cut(name, lines, anchored=self.mixes_saves and name == "u"))
        for number in range(rng.choice([0, 0, 2, 4])):
            queues.append([("lone", f"lone{number}")])
        found = []
        while queues := [queue for queue in queues if queue]:
            found.append(rng.choice(queues).pop(0))
        for at in range(len(found)):  # some are overtaken
            if rng.random() < 0.15:
                other = rng.randrange(len(found))
                found[at], found[other] = found[other], found[at]
        return found

    def _draw_line(self) -> bytes:
        return (self.rng.choice(_LETTERS) * self.rng.choice([1, 1, 2]) + "\n").encode()

    def _cut(self, name: str, lines: tuple[bytes, ...], anchored: bool) -> list[Any]:
        rng = self.rng
        cuts = sorted({0, len(lines)} | {rng.randint(0, len(lines)) for _ in range(rng.randint(0, 4))})
        spans = list(itertools.pairwise(cuts))
        for _ in range(0 if anchored else rng.choice([0, 0, 1, 2])):  # a flush sends again, in another cut
            first = rng.randint(0, len(lines) - 1)
            spans.append((first, rng.randint(first + 1, len(lines))))
        return [self._batch(name, lines, first, end, anchored) for first, end in spans]

    def _batch(self, name: str, lines: tuple[bytes, ...], first: int, end: int, anchored: bool) -> Append:
        position = len(b"".join(lines[:first]))
        anchor = None
        if anchored:
            own = [*self.history, *lines[:first]]
            anchor = Anchor([START, *walk(START, own)][-1], is_first=first == 0)
        fence = None
        if first == 0 and not anchored and self.rng.random() < 0.5 and not self.mixes_saves:
            fence = [START, *walk(START, self.history)][-1]
        return Append(Batch(None, name, position, lines[first:end], anchor, fence))

    # -- running

    def start(self, what: Any) -> None:
        if isinstance(what, tuple):
            what = self._draw_lone(what[1])
        is_waiting = isinstance(what, Append) and not self.mixes_saves and self._is_saving()
        if is_waiting:
            self.todo.append(what)
            return
        super().start(what)

    def _is_saving(self) -> bool:
        jobs = [job.what for job in self.running]
        return any(isinstance(each, Save) for each in [*self.todo, *jobs])

    def _draw_lone(self, name: str) -> Append:
        """`append(after=…)`: where the log ends now, or ended before."""
        ends = [START, *walk(START, split_lines(self.main))]
        after = ends[-1] if self.rng.random() < 0.7 else self.rng.choice(ends)
        return Append(Batch(None, name, None, (self._draw_line(),), after=after))

    def _steps(self, context: Context, what: Any) -> Steps[Any]:
        if isinstance(what, Append):
            return append_batch(context, LOG, what.batch)
        return super()._steps(context, what)

    def _kill(self, job: Job, where: Any) -> None:
        super()._kill(job, where)
        if isinstance(job.what, Append):
            self.todo.append(job.what)

    def _perform(self, request: Request, who: Any) -> None:
        before = self.main
        super()._perform(request, who)
        if isinstance(request, Put) and self.last_reply is not None and request.if_match is None:
            self.owners[request.key] = who.batch if isinstance(who, Append) else self._owner_of(request, who)
        if len(self.main) > len(before):
            self._attribute(before)

    def _owner_of(self, request: Put, who: Any) -> Batch | None:
        """A sweep that places an append's lines once more, and what lands late, name them by the object's own words."""
        name = request.meta.get("hs-writer")
        if name is None:
            return None
        position = int(request.meta["hs-position"]) if "hs-position" in request.meta else None
        after = None if position is not None else START
        return Batch(None, name, position, tuple(split_lines(request.body)), after=after)

    def _attribute(self, before: bytes) -> None:
        """Whose the new bytes of the main line are: each writer's must go on where it stood."""
        chain, at = chain_of(split_lines(before)), len(before)
        extents = {
            (name.start, name.before): (name, held) for name, held in tails(self.store.objects) if name.kind == "extent"
        }
        if at == 0 and LOG.base in self.store.objects:
            held = self.store.objects[LOG.base].body
            self._take(LOG.base, held)
            at, chain = len(held), chain_of(split_lines(held))
        while found := extents.get((at, shorten(chain))):
            name, held = found
            self._take(LOG.key(name), held)
            at, chain = at + len(held), chain_of(split_lines(held), chain)

    def _take(self, key: str, held: bytes) -> None:
        batch = self.owners.get(key)
        if batch is None:
            return
        if batch.position is None:
            if self.placed.get(batch.writer):
                raise Violation(f"{batch.writer} is on the log twice")
            self.placed[batch.writer] = len(held)
            return
        stream, at = b"".join(self.streams[batch.writer]), self.placed[batch.writer]
        if stream[at : at + len(held)] != held:
            raise Violation(f"{held!r} of {batch.writer} is not what follows its byte {at}: {stream!r}")
        self.placed[batch.writer] = at + len(held)

    def _finish(self, job: Job, result: Any) -> None:
        if not isinstance(job.what, Append):
            if isinstance(job.what, Save) and self.mixes_saves:
                self.answered.append((job.what, result))
                return
            super()._finish(job, result)
            return
        self.story.append(("DONE", job.what, result))
        self.answered.append((job.what, result))
        self._check_append(job.what.batch, result)

    # -- the promises

    def _check_append(self, batch: Batch, verdict: Verdict) -> None:
        is_there = verdict.outcome in ("stored", "duplicate")
        if batch.position is None:
            self._check_lone(batch, verdict)
        elif is_there and self.placed[batch.writer] < batch.position + batch.size_bytes:
            raise Violation(f"{verdict.outcome}, but not on the log: {batch} {self.placed}")
        elif not is_there and verdict.outcome != "pending" and not (verdict.outcome == "diverged" and batch.anchor):
            raise Violation(f"{verdict.outcome} of an append: {batch}")
        if is_there and batch.anchor and not self.main.startswith(b"".join(self.history)):
            raise Violation(f"before what its writer had saved: {batch} {self.main!r}")
        end = verdict.end
        if end and (end.bytes, bytes.fromhex(end.chain)) not in self._junctions():
            raise Violation(f"{end} is no place of {self.main!r}")
        if is_there and end and not self.main[: end.bytes].endswith(batch.lines[-1]):
            raise Violation(f"{end} is not behind {batch.lines}")

    def _check_lone(self, batch: Batch, verdict: Verdict) -> None:
        assert batch.after is not None
        is_told, at = verdict.outcome in ("stored", "duplicate"), batch.after.offset
        if self.placed.get(batch.writer) and not is_told:
            raise Violation(f"{verdict.outcome}, but it is on the log: {batch}")
        # What the base has taken in long ago is nobody's: the same line there is taken for its own.
        if is_told and not self.main[at:].startswith(batch.lines[0]):
            raise Violation(f"{batch} is not where it was to go: {self.main!r}")
        if verdict.outcome == "stored" and not self.placed.get(batch.writer):
            raise Violation(f"stored, but it is another's: {batch}")

    def _junctions(self) -> set[tuple[int, bytes]]:
        return {(0, ORIGIN), *((each.offset, each.chain) for each in walk(START, split_lines(self.main)))}

    def _check_all(self) -> None:
        for name, lines in self.streams.items():
            may_part = self.mixes_saves and name == "u"  # with the saves that it follows
            if self.placed[name] != len(b"".join(lines)) and not may_part:
                raise Violation(f"{name} is not whole: {self.placed} {self.main!r}")
            if may_part:
                self._check_parted(name, lines)
        if not self.mixes_saves and (beside := tails(self.store.objects)):
            raise Violation(f"left beside the log: {beside}")
        for name, held in self.store.objects.items():
            if "/waits-" in name and not self.mixes_saves:
                raise Violation(f"waits for ever: {name}")
            if "/appends/" in name and int(held.body) > len(b"".join(self.streams[name.rpartition("/")[2]])):
                raise Violation(f"{name} says too much: {held.body!r}")

    def _check_parted(self, name: str, lines: tuple[bytes, ...]) -> None:
        """A stream that has parted is whole: on the main line, or on strays behind those of the history before it."""
        whole = chain_of([*self.history, *lines])
        ends = {tail.after for tail, _ in tails(self.store.objects) if tail.kind == "stray"}
        if shorten(whole) not in ends and self.placed[name] != len(b"".join(lines)):
            raise Violation(f"{name} has parted, and its end is nowhere: {self.placed}")

    # -- the story of one run

    def _look_in(self) -> Any:
        found = super()._look_in()
        return "compact" if isinstance(found, Read) and found.stray else found

    def _run(self) -> None:
        try:
            self._storm()
            self._settle()
            while self.late and self.rng.random() < 0.8:
                self._land()
            for _ in range(self.rng.choice([0, 1, 3])):
                self.store.now += self.rng.choice([0, 3, 20 * 400])
                again = [
                    what for what, _ in self.answered if isinstance(what, Append) and what.batch.position is not None
                ]
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


__all__ = ["Append", "AppendSimulation"]
