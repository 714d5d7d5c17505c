"""The adversary against whole producers that append: real sessions on one log, a broker that fails, and workers.

Each message is said once only, so what is on the logs tells whose it is, whether it is there twice, and in which order.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

from history_sink.client import flush, inquirer, under_way
from history_sink.client.session import Session
from history_sink.errors import Unavailable
from history_sink.ledger import counted_upload, stream
from history_sink.protocol.batch import Batch
from history_sink.protocol.chain import split_lines
from history_sink.protocol.contract import APPEND_VERSION, STATUS, UPLOAD
from history_sink.protocol.lines import encode_line
from history_sink.protocol.outcome import Outcome
from history_sink.protocol.upload import Upload
from history_sink.transport.results import Answer
from history_sink_worker.archive.compaction import compact
from history_sink_worker.archive.context import Context
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.save import append
from history_sink_worker.archive.stream import append_batch
from history_sink_worker.archive.survey import Asked, survey
from history_sink_worker.store import Request, Steps

from .append_jobs import APPEND_LIMITS
from .deletion_jobs import Hints
from .jobs import Limits, small_limits
from .model_store import WRITES, ModelStore
from .oracle import Violation, main_line, tails
from .queue import NEVER, Message, Queue

T_SECONDS = 7200.0
PREFIX, SESSION = "history/", "s"
MAIN = Log(PREFIX, SESSION)
TROUBLES = ["", "", "", "", "", "", "away", "its answer is lost", "late", "lost"]

_SMALL: Limits = [(counted_upload, "SAVE_BYTES", [1, 30, 10**9]), (stream, "SAVE_BYTES", [1, 30, 10**9])]


class Broker:
    """As much of a broker as a session needs."""

    clock_ahead_seconds, has_answers = None, True

    def __init__(self, world: "Sequels") -> None:
        self._world = world

    def check(self) -> None:
        pass

    def send(
        self, task: str, args: Sequence[Any], kwargs: dict[str, Any], described: str, expires_seconds: float = NEVER
    ) -> str:
        world = self._world
        trouble = world.rng.choice(TROUBLES) if world.has_troubles and task == UPLOAD else ""
        message = world.queue.make(task, args, kwargs, world.store.now + expires_seconds)
        world.tell(f"publishes {_describe(message)}", trouble)
        if trouble == "late":
            world.queue.late.append(message)
        elif trouble not in ("away", "lost"):
            world.queue.waiting.append(message)
        if trouble not in ("", "lost"):
            raise Unavailable(trouble)
        return message.name

    def take(self, task_id: str, timeout_seconds: float) -> Any:
        world, until = self._world, self._world.store.now + timeout_seconds
        while task_id not in world.queue.answers:
            if world.store.now > until or not world.pass_time():
                world.store.now = max(world.store.now, until)
                raise Unavailable("no worker answered")
        return world.queue.answers.pop(task_id).value

    def watch(self, task_ids: Sequence[str], timeout_seconds: float) -> dict[str, Answer]:
        world, until = self._world, self._world.store.now + timeout_seconds
        while not all(task_id in world.queue.answers for task_id in task_ids):
            if world.store.now > until or not world.pass_time():
                world.store.now = max(world.store.now, until)
                break
        return self.look(task_ids)

    def look(self, task_ids: Sequence[str]) -> dict[str, Answer]:
        answers = self._world.queue.answers
        return {task_id: answers[task_id] for task_id in task_ids if task_id in answers}


class Agent:
    """One process: what it has said, in order."""

    def __init__(self, world: "Sequels", name: str, saves: bool) -> None:
        self.name, self.saves, self._world = name, saves, world
        self.said: list[dict[str, str]] = []
        self._numbers = count(1)
        self.session = Session(SESSION, Broker(world))  # type: ignore[arg-type]  # as much of a broker as it needs

    def speak(self) -> list[dict[str, str]]:
        new = [{"t": f"{self.name}{next(self._numbers)}"} for _ in range(self._world.rng.choice([1, 1, 2]))]
        self.said += new
        return new

    def act(self) -> None:
        rng, tell = self._world.rng, self._world.tell
        if self._world.has_restarts and rng.random() < 0.15:
            self.restart()
            return
        luck = rng.random()
        if luck < 0.1:
            self.flush(rng.choice([0.1, 5.0]))
        elif luck < 0.4 and self.saves:
            if self._world.has_undos and rng.random() < 0.3:
                del self.said[rng.randint(0, len(self.said)) :]
            if rng.random() < 0.8:
                self.speak()
            self.save()
        else:
            new = self.speak()
            tell(f"{self.name} appends {[each['t'] for each in new]}")
            self.session.append(new, "replace")

    def save(self) -> None:
        self._world.tell(f"{self.name} saves {[each['t'] for each in self.said]}")
        self.session.save([*self.said], "replace")

    def restart(self) -> None:
        """As a process does that ends in order; the next one may know the list that there is by now."""
        if self.flush(30.0):
            self._world.tell(f"{self.name} is started anew")
            self.session = Session(SESSION, Broker(self._world))  # type: ignore[arg-type]  # as above
            if self._world.has_saves and self.said:
                self.save()

    def flush(self, timeout_seconds: float) -> bool:
        is_held = bool(flush.flush(self.session, timeout_seconds))
        self._world.tell(f"{self.name} has flushed", str(is_held))
        if is_held:
            self._world.check_held(self)
        return is_held

    @property
    def lines(self) -> list[bytes]:
        return [encode_line(message).data for message in self.said]


class Job:
    """A task in a worker's hands."""

    def __init__(self, message: Message, steps: Steps[Any]) -> None:
        self.message, self.steps, self.reply = message, steps, None


class Sequels:
    """`saves`: some of the agents save lists between their appends."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        self.store = ModelStore(request_seconds=0.001)
        self.store.equal_etags = rng.random() < 0.5
        self.queue, self.hints = Queue(), Hints(rng)
        self.workers = [Context(self.hints, self._clock, T_SECONDS) for _ in range(2)]
        self.jobs: list[Job] = []
        self.late: list[Request] = []
        self.story: list[str] = []
        self.has_troubles = True
        self._troubles = rng.choice([0.0, 0.01, 0.03])
        self.has_saves = rng.random() < 0.6
        self.has_undos = self.has_saves and rng.random() < 0.4
        self.agents = [
            Agent(self, name, self.has_saves and rng.random() < 0.7) for name in "ABC"[: rng.choice([1, 1, 2, 3])]
        ]
        # What a process leaves behind that waits on a log it has parted from may be placed in the days of the next one.
        self.has_restarts = seed % 3 == 0 and not self.has_undos and not (self.has_saves and len(self.agents) > 1)

    def tell(self, what: str, answer: str = "") -> None:
        self.story.append(f"{what}: {answer}" if answer else what)

    def _clock(self) -> float:
        return self.store.now + self.rng.uniform(-T_SECONDS / 8, T_SECONDS / 8)

    def monotonic(self) -> float:
        """With `sleep`, as much of the module `time` as producers use."""
        return self.store.now

    def sleep(self, seconds: float) -> None:
        self.store.now += seconds
        self.pass_time()

    def token_hex(self, size_bytes: int) -> str:
        """As much of the module `secrets` as they use."""
        return f"{self.rng.getrandbits(8 * size_bytes):0{2 * size_bytes}x}"

    # Workers

    def pass_time(self) -> bool:
        """While somebody waits: some requests; False when there is nothing to do."""
        done = sum(self._work() for _ in range(self.rng.randint(1, 12)))
        return bool(done)

    def _work(self) -> bool:
        queue = self.queue.waiting
        if queue and (not self.jobs or (len(self.jobs) < 4 and self.rng.random() < 0.3)):
            first = self.rng.random() < 0.7 or not self.has_troubles
            self._begin(queue.pop(0 if first else self.rng.randrange(len(queue))))
        elif self.jobs:
            self._step(self.rng.choice(self.jobs))
        else:
            return False
        return True

    def _begin(self, message: Message) -> None:
        if message.expires_at < self.store.now:
            return
        if self.has_troubles and message.task == UPLOAD and self.rng.random() < 0.1:
            self.queue.waiting.append(message)  # it will be delivered once more
        self.jobs.append(Job(message, self._steps(self.rng.choice(self.workers), message)))

    def _steps(self, context: Context, message: Message) -> Steps[Any]:
        kwargs = message.kwargs
        if message.task == STATUS:
            asked = tuple((offset, chain) for offset, chain in kwargs["junctions"])
            return survey(context, "b", PREFIX, SESSION, Asked(asked, tuple(kwargs.get("writers", ()))))
        log = Log(PREFIX, SESSION, kwargs.get("branch"))
        if message.task != UPLOAD:
            return compact(context, log, everything=True)
        if kwargs["v"] == APPEND_VERSION:
            return append_batch(context, log, Batch.decode(kwargs))
        return append(context, log, Upload.decode(kwargs))

    def _step(self, job: Job) -> None:
        try:
            request = job.steps.send(job.reply)
        except StopIteration as end:
            self.jobs.remove(job)
            self._finish(job.message, end.value)
            return
        luck = self.rng.random() if self.has_troubles else 1
        if luck < self._troubles:
            if luck < self._troubles / 3 and isinstance(request, WRITES):
                self.late.append(request)
            elif luck < self._troubles * 2 / 3:
                self._perform(request)
            self.tell(f"{job.message.name} is given back, at {type(request).__name__}")
            job.steps.close()
            self.jobs.remove(job)
            self.queue.waiting.append(job.message)
            return
        job.reply = self._perform(request)

    def _perform(self, request: Request) -> Any:
        return self.store.perform(request)

    def _finish(self, message: Message, result: Any) -> None:
        if message.task == STATUS:
            self.queue.answers[message.name] = Answer(result.encode())
        elif message.task == UPLOAD:
            self.tell(f"{message.name} is {result.outcome}")
            branch = message.kwargs.get("branch")
            said = result.messages, result.size_bytes, result.key
            outcome = Outcome(result.outcome, SESSION, branch, *said, 1, result.parted, end=result.end)
            if not self.has_troubles or self.rng.random() < 0.95:
                self.queue.answers[message.name] = Answer(outcome.encode())
        elif result.again_in_seconds == 0:
            self._ask_to_compact(message.kwargs["branch"])

    def _ask_to_compact(self, branch: str | None) -> None:
        if not any(each.task == "compact" and each.kwargs["branch"] == branch for each in self.queue.waiting):
            self.queue.waiting.append(self.queue.make("compact", (), {"branch": branch}))

    # What must be

    def logs(self) -> dict[str | None, list[bytes]]:
        """The lines of each log's main line, by branch."""
        roots = {key.partition("/branches/")[2].partition("/")[0] or None for key in self.store.objects}
        order = sorted(roots, key=str)
        return {root: split_lines(main_line(self.store.objects, Log(PREFIX, SESSION, root))) for root in order}

    def check_held(self, agent: Agent) -> None:
        logs = self.logs()
        # What follows a branch that was lost and then undone stays on that branch.
        asked = [*logs.values()] if self.has_undos else [logs.get(agent.session.branch, [])]
        if agent.lines and not any([each for each in lines if each in agent.lines] == agent.lines for lines in asked):
            raise Violation(f"{agent.name} has flushed, but {agent.session.branch or 'the log'} has {asked}")

    def check_end(self) -> None:
        logs = self.logs()
        for branch, lines in logs.items():
            if len({*lines}) != len(lines):
                raise Violation(f"twice on {branch or 'the log'}: {lines}")
        if self.has_undos or (self.has_saves and len(self.agents) > 1):
            return
        given = sorted(line for agent in self.agents for line in agent.lines)
        if sorted(logs.get(None, [])) != given or len(logs) > 1:
            raise Violation(f"not all on one log: {logs}")
        waiting = [key for key in self.store.objects if "/waits-" in key]
        if waiting or tails(self.store.objects, MAIN):
            raise Violation(f"left beside the log: {sorted(self.store.objects)}")

    # The story of one run

    @contextmanager
    def _quick(self) -> Iterator[None]:
        clocks: Limits = [(each, "time", [self]) for each in (inquirer, flush, under_way)]
        clocks.append((stream, "secrets", [self]))
        with small_limits(self.rng, [*clocks, *APPEND_LIMITS, *_SMALL]):
            yield

    def run(self) -> None:
        with self._quick():
            try:
                self._storm()
                self._come_to_rest()
                self.check_end()
            except Violation as violation:
                violation.add_note("\n".join(["What happened last:", *self.story[-80:]]))
                raise

    def _storm(self) -> None:
        rng = self.rng
        for _ in range(rng.choice([10, 30, 80])):
            luck = rng.random()
            if luck < 0.35:
                rng.choice(self.agents).act()
            elif luck < 0.85:
                self.pass_time()
            elif luck < 0.9:
                self.store.now += rng.choice([3.0, 60.0, T_SECONDS / 2, 3 * T_SECONDS])
            elif luck < 0.95:
                self._ask_to_compact(rng.choice([*self.logs(), None]))
            elif self.late:
                self._perform(self.late.pop(rng.randrange(len(self.late))))
            elif self.queue.late:
                self.queue.waiting.append(self.queue.late.pop(0))

    def _come_to_rest(self) -> None:
        self.has_troubles = False
        self.tell("From here on all goes well")
        self.queue.waiting += self.queue.late
        for request in self.late:
            self._perform(request)
        self._do_all_work()
        for agent in self.agents:
            if not agent.flush(120.0) and agent.said:
                raise Violation(f"{agent.name} flushes while all goes well, and it is not True")
        self._do_all_work()
        for _ in range(8):
            self.store.now += 2 * T_SECONDS
            for branch in self.logs():
                self._ask_to_compact(branch)
            self._do_all_work()

    def _do_all_work(self) -> None:
        for _ in range(30_000):
            if not self._work():
                return
        raise Violation("it does not come to rest")


def _describe(message: Message) -> str:
    if message.task != UPLOAD:
        return f"{message.name} status"
    kwargs = message.kwargs
    if kwargs["v"] != APPEND_VERSION:
        upload = Upload.decode(kwargs)
        lines = [line[6:-3].decode() for line in upload.lines]
        return f"{message.name} save {lines} at {upload.start.messages} of {upload.branch}"
    batch = Batch.decode(kwargs)
    lines = [line[6:-3].decode() for line in batch.lines]
    anchor = f"{batch.anchor.place.messages}{' first' * batch.anchor.is_first}" if batch.anchor else None
    return f"{message.name} append {lines} of {batch.writer[:4]} at {batch.position} of {batch.branch}, anchor {anchor}"
