"""What each kind of move does to the world. One that nothing is there for does nothing."""

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

from history_sink.protocol.contract import RESOLVE, UPLOAD
from history_sink_worker.archive.names import Log

from .agents import BAD, LETTERS, Agent, lines_of
from .promises import PREFIX, SESSION
from .story import NUMBERS, Move
from .telling import describe_message
from .workers import BUCKET, T_SECONDS, Job

if TYPE_CHECKING:
    from .world import World

WAITS_SECONDS = [1.0, 3.0, 60.0, T_SECONDS / 2, T_SECONDS, 3 * T_SECONDS]


# Agents. One that is in a call does nothing else.


def _agent(world: "World", move: Move) -> Agent | None:
    agent = world.agents[move.which % len(world.agents)]
    return None if agent.is_busy else agent


def speak(world: "World", move: Move) -> None:
    if agent := _agent(world, move):
        for number in range(1 + move.more % 3):
            agent.say(move.how + number * move.more)


def undo(world: "World", move: Move) -> None:
    if agent := _agent(world, move):
        del agent.history[move.how % (len(agent.history) + 1) :]


def redo(world: "World", move: Move) -> None:
    """Go back, or over, to what some agent has once saved."""
    if agent := _agent(world, move):
        past = world.agents[move.how % len(world.agents)].past
        agent.history = copy.deepcopy(past[move.more % len(past)])


def edit(world: "World", move: Move) -> None:
    if (agent := _agent(world, move)) and agent.history:
        at, letter = move.how % len(agent.history), LETTERS[move.more % len(LETTERS)]
        if agent.history[at] is BAD:
            agent.history[at] = {"t": letter}
        else:
            agent.history[at]["t"] = letter


def mumble(world: "World", move: Move) -> None:
    if agent := _agent(world, move):
        agent.history.append(BAD)


def restart(world: "World", move: Move) -> None:
    if agent := _agent(world, move):
        agent.start(has_answers=move.how % 5 != 4)
        world.tell(f"{agent.name} is started anew", "" if agent.broker.has_answers else "with no result store")


def save(world: "World", move: Move) -> None:
    if agent := _agent(world, move):
        with world.patience(move.more % 12), agent.in_trouble(move.how):
            agent.save()


def flush(world: "World", move: Move) -> None:
    if agent := _agent(world, move):
        with world.patience(move.more), agent.in_trouble(move.how):
            agent.flush([0.1, 5.0, 30.0][move.which % 3])


def whole(world: "World", move: Move) -> None:
    """A client without the library uploads an agent's whole history."""
    if lines := lines_of(world.agents[move.which % len(world.agents)].history):
        message = world.queue.make(UPLOAD, (SESSION, lines), {})
        world.tell(f"a client uploads {describe_message(message)}")
        world.books.given.add(lines)
        world.publish(message)


# Queue and workers


def _job(world: "World", move: Move) -> Job | None:
    return world.jobs[move.which % len(world.jobs)] if world.jobs else None


def take(world: "World", move: Move) -> None:
    worker, waiting = world.workers[move.how % len(world.workers)], world.queue.waiting
    if waiting:
        message = waiting.pop(move.which % len(waiting))
        is_over = message.expires_at < world.store.now
        world.tell(f"{worker.name} takes {describe_message(message)}", "expired" if is_over else "")
        if not is_over:
            worker.begin(message)


def work(world: "World", move: Move) -> None:
    if job := _job(world, move):
        for _ in range(1 + move.how % 8):
            if job in world.jobs:
                job.worker.step(job)


def fail(world: "World", move: Move) -> None:
    if job := _job(world, move):
        job.worker.fail(job, move.how % 6)


def crash(world: "World", move: Move) -> None:
    world.workers[move.which % len(world.workers)].crash()


def redeliver(world: "World", move: Move) -> None:
    if job := _job(world, move):
        world.tell(f"{describe_message(job.message)} is in the queue a second time")
        world.queue.waiting.append(job.message)


def land(world: "World", move: Move) -> None:
    if world.lingering:
        world.perform(world.lingering.pop(move.which % len(world.lingering)), "a request of old")


def arrive(world: "World", move: Move) -> None:
    if late := world.queue.late:
        message = late.pop(move.which % len(late))
        world.tell(f"{describe_message(message)} arrives in the queue after all")
        world.publish(message)


def compact(world: "World", move: Move) -> None:
    if branches := world.books.branches():
        world.ask_to_compact(branches[move.which % len(branches)], everything=move.how % 3 > 0)


def read(world: "World", move: Move) -> None:
    if branches := world.books.branches():
        key = Log(PREFIX, SESSION, branches[move.which % len(branches)]).base
        handle = {"bucket": BUCKET, "key": key, "byte_range": [move.how, move.how + 1 + move.more]}
        world.publish(world.queue.make(RESOLVE, (handle,), {}))


# Clocks and Redis


def wait(world: "World", move: Move) -> None:
    seconds = WAITS_SECONDS[move.which % len(WAITS_SECONDS)]
    world.store.now += seconds
    world.tell(f"{seconds:g} s go by")


def skew(world: "World", move: Move) -> None:
    worker = world.workers[move.which % len(world.workers)]
    worker.skew_seconds = T_SECONDS / 8 * (move.how / NUMBERS - 0.5)
    world.tell(f"the clock of {worker.name} goes wrong by {worker.skew_seconds:g} s")


def hint(world: "World", move: Move) -> None:
    world.tell(world.hints.spoil(move.which % 3))


def forget(world: "World", move: Move) -> None:
    names = [*world.queue.answers]
    for name in names if move.which % 3 else names[:1]:
        del world.queue.answers[name]
    world.tell("answers are lost", " ".join(names))


def empty(world: "World", move: Move) -> None:
    world.books.was_emptied = True
    world.queue.waiting.clear()
    world.queue.answers.clear()
    world.hints.kept.clear()
    world.tell("Redis is emptied")


_AGENTS = (speak, undo, redo, edit, mumble, restart, save, flush, whole)
_WORKERS = (take, work, fail, crash, redeliver, land, arrive, compact, read)
_REST = (wait, skew, hint, forget, empty)
MOVES: dict[str, Callable[["World", Move], None]] = {act.__name__: act for act in (*_AGENTS, *_WORKERS, *_REST)}
