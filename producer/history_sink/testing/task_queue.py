"""A queue in memory whose tasks are done as they come, unless a test wants trouble."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, NamedTuple, TypeAlias

from history_sink.errors import Malformed, Unavailable
from history_sink.protocol.contract import RECALL, RESOLVE, UPLOAD
from history_sink.protocol.pointer import Fault
from history_sink.testing.line_log import Early
from history_sink.transport.results import Answer

KEPT_ANSWERS = 10_000
"""Beyond this the oldest are forgotten: nobody fetches those of uploads."""

AS_TOLD = "as the test has it"

Do: TypeAlias = Callable[[str, tuple[Any, ...], dict[str, Any]], Any]
"""Does a task. Raises `Malformed` for one that a worker refuses."""


class Task(NamedTuple):
    """One task that waits."""

    id: str
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong now. `fault` is what each pointer is answered with."""

    is_broker_away: bool = False
    are_workers_away: bool = False
    is_store_away: bool = False
    loses_uploads: bool = False
    fault: Fault | None = None


class TaskQueue:
    """Safe for threads."""

    def __init__(self, do: Do) -> None:
        self._do = do
        self._lock = threading.RLock()
        self._trouble = Trouble()
        self._tasks: deque[Task] = deque()
        self._answers: dict[str, Answer] = {}
        self._ids = map(str, count(1))

    @contextmanager
    def having(self, **trouble: Any) -> Iterator[None]:
        """With this `Trouble` while the block runs. What has waited is done at its end."""
        before = self._trouble
        self._trouble = replace(before, **trouble)
        try:
            yield
        finally:
            self._trouble = before
            with self._lock:
                self._work()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """While the block runs, no task is done."""
        with self._lock:
            yield

    def send(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """Queue a task and return its id. Raises `Unavailable`."""
        self._check_broker()
        with self._lock:
            task = Task(next(self._ids), name, tuple(args), dict(kwargs))
            self._tasks.append(task)
            self._work()
            return task.id

    def look(self, task_ids: Sequence[str]) -> dict[str, Answer]:
        """The answers that are there. Raises `Unavailable`."""
        self._check_broker()
        with self._lock:
            return {each: self._answers[each] for each in task_ids if each in self._answers}

    def take(self, task_id: str) -> Answer | None:
        """The answer, if it is there, which is kept no longer. Raises `Unavailable`."""
        self._check_broker()
        with self._lock:
            return self._answers.pop(task_id, None)

    def _check_broker(self) -> None:
        if self._trouble.is_broker_away:
            raise Unavailable(f"the broker is away: {AS_TOLD}")

    def _work(self) -> None:
        """Do what can be done now."""
        if self._trouble.are_workers_away:
            return
        is_done = True
        while is_done:  # what comes early is tried again when something else is done
            tasks, self._tasks, is_done = self._tasks, deque(), False
            for task in tasks:
                if task.name == RECALL or (task.name == UPLOAD and self._trouble.loses_uploads):
                    continue  # there is no search worker, and the question expires
                answer = self._answer(task)
                if answer is None:
                    self._tasks.append(task)
                else:
                    self._answers[task.id], is_done = answer, True
        while len(self._answers) > KEPT_ANSWERS:
            del self._answers[next(iter(self._answers))]

    def _answer(self, task: Task) -> Answer | None:
        """None: it is to be tried again, as a worker does until the store, or what comes before it, is there."""
        if task.name == RESOLVE and self._trouble.fault:
            return Answer(self._trouble.fault.encode())
        if self._trouble.is_store_away and task.name == UPLOAD:
            return None
        if self._trouble.is_store_away:
            fault = Fault("backend_error", f"the store is away: {AS_TOLD}")
            return Answer(fault.encode()) if task.name == RESOLVE else Answer(failure="Away")
        try:
            return Answer(self._do(task.name, task.args, task.kwargs))
        except Early:
            return None
        except Malformed:
            return Answer(failure="Refused")
