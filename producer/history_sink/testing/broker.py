"""The queue in memory, seen from a sink."""

from collections.abc import Mapping, Sequence
from typing import Any

from history_sink.errors import NoAnswer, WorkerFailed
from history_sink.protocol.contract import LISTED
from history_sink.settings import ProducerSettings
from history_sink.testing.task_queue import TaskQueue
from history_sink.transport.broker import Broker
from history_sink.transport.results import Answer


class MemoryBroker(Broker):
    """Nothing waits: what is not answered when it is asked for counts as not answered in time."""

    def __init__(self, settings: ProducerSettings, queue: TaskQueue) -> None:
        super().__init__(settings)
        self._queue = queue

    def send(
        self,
        task: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        described: str = "{}",
        expires_seconds: float | None = None,
        headers: Mapping[str, Any] | None = None,
    ) -> str:
        """Queue a task and return its id. Raises `Unavailable`."""
        with self.fork_gate:
            return self._queue.send(task, args, {**kwargs, **(headers or {}).get(LISTED, {})})

    def look(self, task_ids: Sequence[str]) -> dict[str, Answer]:
        """The answers of some tasks, as far as they are there. Raises `Unavailable`."""
        return self._queue.look(task_ids)

    def watch(self, task_ids: Sequence[str], timeout_seconds: float) -> dict[str, Answer]:
        """As `look`: nothing waits."""
        return self.look(task_ids)

    def take(self, task_id: str, timeout_seconds: float) -> Any:
        """A task's result, which is removed. Raises `Unavailable`, also for a task that failed."""
        answer = self._queue.take(task_id)
        if answer is None:
            raise NoAnswer(f"no worker answered within {round(timeout_seconds, 2):g} s")
        if answer.failure is not None:
            raise WorkerFailed(answer.complaint)
        return answer.value
