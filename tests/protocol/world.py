"""The world between agents and the store, which does what the moves of a story say, and tells it in a line each.

While a producer waits for an answer, or between two tasks that it sends, the next moves of the story happen: as many
as the call's own move allows. When all moves are made, the world is quiet: late things arrive, all work is done, each
agent flushes, all is compacted; and then the promises must hold.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

from history_sink.client import flush, inquirer, under_way
from history_sink.ledger import counted_upload, question
from history_sink.ledger import known_logs as known
from history_sink.protocol.contract import COMPACT, UPLOAD
from history_sink_worker.archive import plan
from history_sink_worker.store import Delete, Reply, Request

from .agents import LETTERS, Agent, uploads_of
from .jobs import Limits, small_limits
from .model_store import WRITES, ModelStore
from .moves import MOVES, arrive, land
from .oracle import Violation
from .promises import Books, upload_of
from .queue import Message, MovedHints, Queue
from .story import Move, Story
from .telling import describe_message, describe_reply, describe_request
from .workers import T_SECONDS, Job, Worker

SMALL: Limits = [
    (counted_upload, "SAVE_BYTES", [1, 22, 10**9]),
    (known, "KEPT_LOGS", [1, 8]),
    (question, "DENSE_JUNCTIONS", [1, 2, 1024]),
    (under_way, "LOOKED_AT", [1, 64]),
    (plan, "FOLD_EXTENTS", [1, 3, 64]),
    (plan, "FOLD_EXTENTS_LONG", [1, 640]),
    (plan, "IDLE_SHARE", [0.1, 1.0]),
    (plan, "ASK_EVERY_EXTENTS", [1, 16]),
]

MOST_REQUESTS = 30_000
"""In one story; most need some hundred."""


class World:
    """One session from its agents to the store. It is the producers' clock, too."""

    def __init__(self, story: Story) -> None:
        self.store = ModelStore(request_seconds=0.01)
        self.queue, self.hints, self.books = Queue(), MovedHints(), Books()
        self.jobs: list[Job] = []
        self.done: list[Job] = []
        self.lingering: list[Request] = []  # writes that nobody waits for any more
        self.told: list[str] = []
        self.workers = [Worker(self, name) for name in ("w1", "w2", "w3")]
        self.agents = [Agent(self, name) for name in ("Ann", "Bob", "Cid")[: story.agents]]
        self._is_quiet = False
        self._moves = iter(story.moves)
        self._patience = [0]  # how many moves may happen in the call that is being made, innermost last
        self._limits_seed = story.limits
        rng = random.Random(story.limits)
        self.store.equal_etags = rng.random() < 0.5
        if rng.random() < 0.3:
            self.store.page = lambda: rng.choice([1, 2, 3, 1000])

    # What agents, workers and moves need

    def tell(self, what: str, answer: str = "") -> None:
        self.told.append("  " * (len(self._patience) - 1) + (f"{what}: {answer}" if answer else what))

    def perform(self, request: Request, who: str) -> Reply:
        if sum(self.store.counts.values()) > MOST_REQUESTS:
            raise Violation("it does not come to rest")
        reply = self.store.perform(request)
        if not self._is_quiet:
            self.tell(f"{who} {describe_request(request)}", describe_reply(request, reply))
        if isinstance(request, WRITES):
            keys = request.keys if isinstance(request, Delete) else (request.key,)
            self.books.check_write(self.store.objects, keys)
        return reply

    def publish(self, message: Message) -> None:
        self.queue.waiting.append(message)
        if message.task == UPLOAD:
            self.books.accept(upload_of(message))

    def ask_to_compact(self, branch: str | None, everything: bool) -> None:
        self.publish(self.queue.make(COMPACT, ({"idle": True, "everything": everything},), {"branch": branch}))

    @contextmanager
    def patience(self, moves: int) -> Iterator[None]:
        """So many moves at most are made while the call in the block waits."""
        self._patience.append(moves)
        try:
            yield
        finally:
            self._patience.pop()

    def pass_time(self) -> bool:
        """While somebody waits; False when nothing more will happen meanwhile."""
        if self._is_quiet:
            return self._work_on()
        if not self._patience[-1]:
            return False
        self._patience[-1] -= 1
        return self._make_next_move()

    def monotonic(self) -> float:
        """With `sleep`, as much of the module `time` as producers use."""
        return self.store.now

    def sleep(self, seconds: float) -> None:
        self.store.now += seconds
        self.pass_time()

    # From the first move to the last promise

    def play(self) -> None:
        """Raises `Violation`, or whatever the code under test raises."""
        clocks: Limits = [(each, "time", [self]) for each in (inquirer, flush, under_way)]
        with small_limits(random.Random(self._limits_seed), [*SMALL, *clocks]):
            while self._make_next_move():
                pass
            self._come_to_rest()
            for agent in self.agents:
                self._flush_for_good(agent)
            self._compact_all()
            self.books.check_end(self.store.objects)
            self._check_flat_cost(self.agents[0])

    def _make_next_move(self) -> bool:
        move = next(self._moves, None)
        if move is None:
            return False
        MOVES[move.kind](self, move)
        return True

    def _come_to_rest(self) -> None:
        self._is_quiet, self.hints.refused = True, 0
        self.tell("From here on all goes well")
        while self.queue.late:
            arrive(self, Move("arrive"))
        self._do_all_work()
        while self.lingering:
            land(self, Move("land"))
        self._do_all_work()

    def _do_all_work(self) -> None:
        while self._work_on():
            pass

    def _work_on(self) -> bool:
        """One task to its end."""
        if not self.jobs and not self.queue.waiting:
            return False
        job = self.jobs[0] if self.jobs else self.workers[0].begin(self.queue.waiting.pop(0))
        while job in self.jobs:
            job.worker.step(job)
        return True

    def _flush_for_good(self, agent: Agent) -> None:
        if agent.broker.has_answers and not agent.flush(60.0) and agent.is_sound:
            raise Violation(f"{agent.name} flushes while all goes well, and it is not True")
        self._do_all_work()

    def _compact_all(self) -> None:
        for _ in range(80):
            before = dict(self.store.objects)
            self.store.now += 2 * T_SECONDS
            for branch in self.books.branches():
                self.ask_to_compact(branch, everything=True)
            self._do_all_work()
            if self.store.objects == before:
                return
        raise Violation("compaction does not come to rest")

    def _check_flat_cost(self, agent: Agent) -> None:
        """One enqueue with the new line and one PUT, when this agent alone has saved and flushed."""
        agent.start(has_answers=True)
        agent.history = [*filter(None, agent.history), {"t": "what nobody has said"}]
        agent.save()
        self._flush_for_good(agent)
        for letter in LETTERS:
            agent.history.append({"t": letter})
            agent.save()
            sent, done = [*self.queue.waiting], len(self.done)
            self._do_all_work()
            if [upload.lines for upload in uploads_of(sent)] != [agent.given_lines[-1:]]:
                raise Violation(f"one new line is not one enqueue: {[*map(describe_message, sent)]}")
            if self.done[done].counts != {"Put": 1}:
                raise Violation(f"a save is not one PUT: {dict(self.done[done].counts)}")
