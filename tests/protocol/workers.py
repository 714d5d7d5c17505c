"""Workers: what a task does, request by request, and every way in which a request can go wrong.

A request and its answer are two steps, so that anything may happen before the one and between the two.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from history_sink.protocol.contract import COMPACT, RESOLVE, STATUS, UPLOAD
from history_sink.protocol.outcome import Outcome
from history_sink.protocol.pointer import Fault
from history_sink.protocol.upload import Upload
from history_sink.transport.results import Answer
from history_sink_worker.archive.compaction import compact
from history_sink_worker.archive.context import Context
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.piece import whole_piece
from history_sink_worker.archive.reader import fault_of, read
from history_sink_worker.archive.save import append, upload_whole
from history_sink_worker.archive.survey import Asked, survey
from history_sink_worker.archive.verdict import Verdict
from history_sink_worker.store import Away, Complete, Copy, Delete, Denied, Put, Reply, Request, Steps, StoreError

from .model_store import WRITES
from .promises import PREFIX, SESSION, Begun
from .queue import Message
from .telling import describe_request, describe_result

if TYPE_CHECKING:
    from .world import World

BUCKET = "b"
T_SECONDS = 7200.0
CAP_BYTES = 10**6


@dataclass(eq=False)
class Job:
    """A task in a worker's hands. Either `request` is to be made, or its `reply` is on its way back."""

    message: Message
    worker: "Worker"
    steps: Steps[Any]
    begun: Begun
    request: Request | None = None
    reply: Reply = None
    counts: Counter[str] = field(default_factory=Counter)


class Worker:
    """A process with a clock of its own."""

    def __init__(self, world: "World", name: str) -> None:
        self.name, self._world = name, world
        self.skew_seconds = 0.0
        self.start()

    def start(self) -> None:
        """Anew: nothing is known that the store or Redis does not tell."""
        world = self._world
        self.context = Context(world.hints, lambda: world.store.now + self.skew_seconds, T_SECONDS)

    def begin(self, message: Message) -> Job:
        """Take a message and come to its first request."""
        job = Job(message, self, self._steps(message), self._world.books.begin(self._world.store.objects))
        self._world.jobs.append(job)
        self._go_on(job)
        return job

    def _steps(self, message: Message) -> Steps[Any]:
        context = self.context
        if message.task == STATUS:
            asked = [(offset, chain) for offset, chain in message.kwargs["junctions"]]
            return survey(context, BUCKET, PREFIX, SESSION, Asked(tuple(asked)))
        if message.task == RESOLVE:
            return read(context, BUCKET, PREFIX, message.args[0], CAP_BYTES)
        log = Log(PREFIX, SESSION, message.kwargs.get("branch"))
        if message.task == COMPACT:
            return compact(context, log, **message.args[0])
        if message.args[1] is not None:
            return upload_whole(context, log, whole_piece(message.args[1]))
        return append(context, log, Upload.decode(message.kwargs))

    def step(self, job: Job) -> None:
        """Make the request, or take the reply."""
        if job.request is None:
            self._go_on(job)
            return
        request, job.request = job.request, None
        job.reply = self._world.perform(request, self._who(job))
        job.counts[type(request).__name__] += 1

    def _go_on(self, job: Job) -> None:
        try:
            job.request = job.steps.send(job.reply)
        except StopIteration as end:
            self._world.jobs.remove(job)
            self._finish(job, end.value)
        except StoreError as error:
            self._give_up(job, error)

    def fail(self, job: Job, how: int) -> None:
        """The request is not answered, or not as it should be."""
        request, world = job.request, self._world
        if request is None:
            world.tell(self._who(job), "the answer is lost, or cut off")
            self._give_up(job, Away("no answer"))
            return
        job.request = None
        if how == 0 and isinstance(request, (Put, Copy, Complete)):
            world.tell(f"{self._who(job)} {describe_request(request)}", "409")
            job.reply = None
            return
        if how == 1 and isinstance(request, WRITES):
            world.lingering.append(request)
            world.tell(f"{self._who(job)} {describe_request(request)}", "no answer; it lingers")
        elif how == 2 and isinstance(request, Delete):
            world.perform(Delete(request.keys[:1]), f"{self._who(job)}, then cut off")
        else:
            world.tell(f"{self._who(job)} {describe_request(request)}", "403" if how == 3 else "503")
        self._give_up(job, Denied("403") if how == 3 else Away("503"))

    def crash(self) -> None:
        """Its messages are in the queue again. A write that is on its way may land later."""
        world = self._world
        world.tell(f"{self.name} is killed")
        for job in [job for job in world.jobs if job.worker is self]:
            if isinstance(job.request, WRITES):
                world.lingering.append(job.request)
            job.steps.close()
            world.jobs.remove(job)
            self._give_back(job.message)
        self.start()

    def _give_back(self, message: Message) -> None:
        """It was not acknowledged: it is in the queue again."""
        self._world.queue.waiting.append(message)

    def _give_up(self, job: Job, error: StoreError) -> None:
        """Who waits for an answer is told; all else waits in the queue."""
        world, message = self._world, job.message
        job.steps.close()
        world.jobs.remove(job)
        if message.task == STATUS:
            world.queue.answers[message.name] = Answer(failure=type(error).__name__)
        elif message.task == RESOLVE:
            assert isinstance(fault_of(error), Fault)
        else:
            self._give_back(message)
        if not isinstance(error, (Away, Denied)):
            raise error
        world.tell(self._who(job), type(error).__name__.lower())

    def _finish(self, job: Job, result: Any) -> None:
        world, message = self._world, job.message
        world.tell(f"{self._who(job)} is done", describe_result(result))
        world.done.append(job)
        world.books.check_answer(world.store.objects, message, job.begun, result)
        if message.task == STATUS:
            world.queue.answers[message.name] = Answer(result.encode())
        if message.task == UPLOAD:
            world.queue.answers[message.name] = Answer(_outcome(message, result).encode())
            if result.fold_due:
                world.publish(world.queue.make(COMPACT, ({},), {"branch": message.kwargs.get("branch")}))

    def _who(self, job: Job) -> str:
        return f"{self.name} {job.message.name}"


def _outcome(message: Message, verdict: Verdict) -> Outcome:
    branch = message.kwargs.get("branch")
    end = verdict.messages, verdict.size_bytes, verdict.key
    return Outcome(verdict.outcome, SESSION, branch, *end, 1, verdict.parted)
