"""A seeded adversary beside whom an operator deletes a session: saves to it go on, some of them for ever.

One `Deletions` is three sessions whose names begin alike, one of which is deleted while workers save, branch, compact
and read; they are killed, their requests land up to T late, hints are missing or rolled back, and clocks disagree.
"""

import itertools
import random
from typing import Any

from history_sink.protocol.batch import Anchor, Batch
from history_sink.protocol.chain import START, shorten, walk
from history_sink.protocol.pointer import Fault
from history_sink_worker.archive import plan, tombstone
from history_sink_worker.archive.context import Context
from history_sink_worker.archive.erasure import compact_or_sweep, entomb, second_sweep_seconds, sweep_beside
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.piece import whole_piece
from history_sink_worker.archive.reader import read
from history_sink_worker.archive.save import append, upload_whole
from history_sink_worker.archive.sessions import list_sessions
from history_sink_worker.archive.stream import append_batch
from history_sink_worker.archive.survey import Asked, survey
from history_sink_worker.archive.tombstone import is_tombstone
from history_sink_worker.archive.verdict import Verdict
from history_sink_worker.store import Begin, Blob, Put, Request, Steps, StoreError
from logbook import upload_of

from .deletion_jobs import GONE, OTHERS, PREFIX, Append, Ask, Hints, Job, Save, draw_history, draw_saves
from .jobs import small_limits
from .model_store import WRITES, ModelStore
from .oracle import Violation, junctions, main_line

T = 40_000
"""Folds in parts of a byte, between the requests of others, take less than a quarter of it."""
LEARNT_SECONDS = T / 2 + T / 4
"""So long after the tombstone no hint from before it proves anything, by whatever two clocks."""
MAIN = Log(PREFIX, GONE)


class Deletions:
    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        self.store = ModelStore()
        self.store.equal_etags = rng.random() < 0.5
        if rng.random() < 0.3:
            self.store.page = lambda: rng.choice([1, 3, 1000])
        self.hints = Hints(rng)
        self.workers = [Context(self.hints, self.clock, T) for _ in range(3)]
        if rng.random() < 0.2:
            self.store.perform(Put(MAIN.base, b"", {}))  # the older sink's
        self.histories = {session: draw_history(rng) for session in (GONE, *OTHERS)}
        saves = {name: draw_saves(rng, name, history) for name, history in self.histories.items()}
        self.saved = {name: max(save.end for save in saves[name]) for name in OTHERS}
        self.todo: list[Any] = [*itertools.chain(*saves.values())]
        if rng.random() < 0.3:
            rng.shuffle(self.todo)
        self.running: list[Job] = []
        self.asleep: Job | None = None
        self.late: list[tuple[float, Request]] = []
        self.due: dict[Log, float] = {}
        self.appended: dict[tuple[Log, str], int] = {}
        self.deleted_at: float | None = None
        self.story: list[tuple[Any, ...]] = []
        self.faults = rng.choice([0.0, 0.02])

    def clock(self) -> float:
        return self.store.now + self.rng.randint(-T // 8, T // 8)

    # -- running

    def start(self, what: Any) -> None:
        steps = self._steps(self.rng.choice(self.workers), what)
        self.running.append(Job(what, steps, self.store.now, self.deleted_at is not None))

    def _steps(self, context: Context, what: Any) -> Steps[Any]:
        match what:
            case Save(whole=True):
                return upload_whole(context, what.log, whole_piece(what.history[: what.end]))
            case Save():
                return append(context, what.log, upload_of(what.history, what.first, what.end))
            case Append():
                return append_batch(context, what.log, what.batch)
            case Log():
                return compact_or_sweep(context, what, everything=True)
            case Ask(key=""):
                return list_sessions(context, PREFIX, "", 10)
            case Ask(key=key) if "/" not in key:
                return survey(context, "b", PREFIX, key, Asked())
            case Ask():
                handle = {"bucket": "b", "key": what.key, "byte_range": what.byte_range}
                return read(context, "b", PREFIX, handle, 10**6)
        return _delete(context)

    def advance(self, job: Job, faults: float = 0.0) -> None:
        try:
            request = job.steps.send(job.reply)
        except StopIteration as end:
            self._end(job)
            self.story.append(("DONE", job.what, end.value))
            self._finish(job, end.value)
            return
        except StoreError as error:
            self._end(job)
            if not isinstance(job.what, Ask):  # else what it read went away again and again, or is foreign
                raise Violation(f"{job.what}: {error}") from error
            return
        luck = self.rng.random()
        if luck < faults:
            if luck < faults / 2 and isinstance(request, WRITES):
                self.late.append((self.store.now, request))
            self._kill(job)
            return
        job.reply = self._perform(request)
        if isinstance(request, Begin):
            job.uploads.add(job.reply)
        if luck < 2 * faults:
            self._kill(job)

    def _perform(self, request: Request) -> Any:
        reply = self.store.perform(request)
        self.story.append((request, reply))
        has_tombstone = is_tombstone(self.base.info.meta) if self.base else False
        if has_tombstone and self.deleted_at is None:
            self.deleted_at = self.store.now
        if self.deleted_at is not None and not has_tombstone:
            raise Violation("the tombstone is gone")
        return reply

    @property
    def base(self) -> Blob | None:
        return self.store.objects.get(MAIN.base)

    def _end(self, job: Job) -> None:
        self.running.remove(job)
        if job.uploads & self.store.uploads.keys():
            raise Violation(f"{job.what} has left an upload that is neither completed nor aborted")

    def _kill(self, job: Job) -> None:
        self.story.append(("KILLED", job.what))
        job.steps.close()
        self.running.remove(job)
        if not isinstance(job.what, Ask):
            self.todo.append(job.what)

    def _finish(self, job: Job, result: Any) -> None:
        second = self.store.now + second_sweep_seconds(self.workers[0])
        match job.what:
            case Save() | Append():
                self._check_verdict(job, result)
                if result.outcome == "deleted":
                    self.todo.insert(0, job.what.log)
                    self.due[job.what.log] = second
            case Log():
                if result.again_in_seconds is not None:
                    self.due[job.what] = self.store.now + result.again_in_seconds
            case Ask():
                self._check_answer(job, result)
            case _:
                self.due[MAIN] = second

    # -- the promises

    def _check_verdict(self, job: Job, verdict: Verdict) -> None:
        is_gone = job.what.log.session == GONE and self.deleted_at is not None
        if verdict.outcome == "deleted" and not is_gone:
            raise Violation(f"deleted, but it was not: {job.what}")
        if is_gone and verdict.outcome != "deleted" and job.began_at > (self.deleted_at or 0) + LEARNT_SECONDS:
            raise Violation(f"{verdict.outcome} long after the deletion: {job.what}")

    def _check_answer(self, job: Job, result: Any) -> None:
        key = job.what.key
        if isinstance(result, bytes) and b"deleted" in result:
            raise Violation(f"a tombstone is no content: {job.what} {result!r}")
        if key == "":
            is_shown = any(summary.session == GONE for summary in result.sessions)
        elif "/" not in key:
            is_shown = bool(result.logs or result.strays or result.pending)
        else:
            is_shown = key.startswith(MAIN.root) and result != Fault("no_match")
        if is_shown and job.after_deletion:
            raise Violation(f"readable after its deletion: {job.what} {result}")

    def _check_end(self) -> None:
        left = [key for key in self.store.objects if key.startswith(MAIN.root) and key != MAIN.base]
        if left:
            raise Violation(f"left beside the tombstone: {left}")
        for session, end in self.saved.items():
            if main_line(self.store.objects, Log(PREFIX, session)) != b"".join(self.histories[session][:end]):
                raise Violation(f"{session} is not what was saved to it")

    # -- the story of one run

    def run(self) -> None:
        try:
            with small_limits(self.rng):
                plan.TOMBSTONE_BYTES = tombstone.TOMBSTONE_BYTES  # type: ignore[attr-defined]  # put back by small_limits
                self._storm()
                self._sweep_again()
                self._check_end()
        except Violation as violation:
            violation.add_note("\n".join(["The last requests:", *map(str, self.story[-60:])]))
            raise

    def _storm(self) -> None:
        rng, begins_at = self.rng, self.rng.randint(20, 400)
        ends_at, is_begun = begins_at + rng.randint(50, 1200), False
        while self.todo or self.running or not is_begun:
            self._land(0.005)
            if not is_begun and (self.store.now >= begins_at or not (self.todo or self.running)):
                self.start("delete")
                is_begun = True
            if self.store.now < ends_at:
                self._stir()
            if self.todo and len(self.running) < 5:
                self.start(self.todo.pop(0))
            elif awake := [job for job in self.running if job is not self.asleep] or self.running:
                self.advance(rng.choice(awake), self.faults if self.store.now < ends_at else 0)

    def _stir(self) -> None:
        """What happens beside the saves that there are."""
        rng, luck = self.rng, self.rng.random()
        if luck < 0.004:
            self.store.now += rng.choice([T // 4, T])
        elif luck < 0.04:
            self.asleep = rng.choice([None, *self.running])
        elif luck < 0.06:
            self.start(Log(PREFIX, rng.choice([GONE, *OTHERS])))
        elif luck < 0.16:
            self._ask()
        elif luck < 0.26:
            self._go_on()
        elif luck < 0.29:
            self._append()
        elif luck < 0.30:
            self.todo += draw_saves(rng, GONE, self.histories[GONE])[:3]

    def _ask(self) -> None:
        keys = [key for key in self.store.objects if key.endswith("/history.jsonl") or "~" in key]
        mine = [key for key in keys if key.startswith(MAIN.root)] or [MAIN.base]
        key = self.rng.choice([*keys, *mine, *mine, GONE, ""])
        self.start(Ask(key, self.rng.choice([None, (0, 30), (43, 52)])))

    def _append(self) -> None:
        """Lines more of one of two writers to the session that is deleted, or one of its branches; or after an end."""
        rng = self.rng
        branches = {key.partition("/branches/")[2].partition("/")[0] or None for key in self.hints.kept}
        log = Log(PREFIX, GONE, rng.choice([None, *sorted(filter(None, branches))]))
        ends = [START, *walk(START, self.histories[GONE][: rng.randint(1, 12)])]
        if rng.random() < 0.2:
            self.todo.append(Append(log, Batch(log.branch, "alone", None, (_draw_line(rng),), after=ends[-1])))
            return
        writer, found = rng.choice(("u", "v")), []
        for _ in range(rng.choice([1, 1, 2])):
            line, position = _draw_line(rng), self.appended.get((log, writer), 0)
            self.appended[log, writer] = position + len(line)
            anchor = Anchor(ends[-1], is_first=True) if rng.random() < 0.1 else None
            found.append(Append(log, Batch(log.branch, writer, position, (line,), anchor)))
        self.todo += found if rng.random() < 0.7 else reversed(found)  # what is early waits in the store

    def _go_on(self) -> None:
        """A writer in the steady state, that goes on where the hint says that the log ends."""
        hint, history = self.hints.get(MAIN.root), self.histories[GONE]
        ends = {(offset, shorten(chain)): count for count, (offset, chain) in enumerate(junctions(history[:-1]))}
        count = ends.get((hint.offset, hint.chain16)) if hint else None
        if count is not None and not any(
            isinstance(job.what, Save) and job.what.first == count for job in self.running
        ):
            self.todo.insert(0, Save(MAIN, history, count, count + 1))

    def _land(self, share: float) -> None:
        """Requests of the dead: each lands within T, or never."""
        self.late = [(at, request) for at, request in self.late if self.store.now - at < T]
        if self.late and self.rng.random() < share:
            self._perform(self.late.pop(self.rng.randrange(len(self.late)))[1])

    def _sweep_again(self) -> None:
        """What is due is done when it is due; all that is late lands before or behind it."""
        while self.due:
            log, due_at = min(self.due.items(), key=lambda item: item[1])
            while self.store.now < due_at:
                self._land(0.3)
                self.store.now += T / 10
            del self.due[log]
            self.start(log)
            while self.running:
                self.advance(self.rng.choice(self.running))
        while self.late:
            self._land(1)


def _draw_line(rng: random.Random) -> bytes:
    return bytes(rng.choices(b"xyz", k=rng.randint(1, 8))) + b"\n"


def _delete(context: Context) -> Steps[None]:
    yield from entomb(context, PREFIX, GONE)
    yield from sweep_beside(context, PREFIX, GONE)
