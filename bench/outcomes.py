"""When tasks have left their results in Redis, as any client of Celery's sees it."""

import time
from collections.abc import Sequence

import redis

from stack.processes import NotReady, wait_until


class Results:
    """Tells when tasks have left their results, as Celery's Redis backend announces them."""

    def __init__(self, client: redis.Redis) -> None:
        self._announced = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        self._announced.psubscribe("celery-task-meta-*")
        self._announced.get_message(timeout=5)
        self._seen: dict[str, float] = {}

    def wait(self, task_ids: Sequence[str], timeout_seconds: float = 300) -> list[float]:
        """When each was announced, by `time.perf_counter`. Raises `NotReady` for one that is not in time."""
        deadline = time.perf_counter() + timeout_seconds
        while any(task_id not in self._seen for task_id in task_ids):
            message = self._announced.get_message(timeout=1)
            if message is not None:
                self._seen[message["channel"].decode().removeprefix("celery-task-meta-")] = time.perf_counter()
            elif time.perf_counter() > deadline:
                raise NotReady(f"no result of some of {len(task_ids)} tasks within {timeout_seconds:g} s")
        return [self._seen.pop(task_id) for task_id in task_ids]


def wait_for_results(client: redis.Redis, task_ids: Sequence[str], timeout_seconds: float = 300) -> float:
    """Return when each task has left its result, with the time by `time.perf_counter`. Raises `NotReady`."""
    keys = [f"celery-task-meta-{task_id}" for task_id in task_ids]
    done = 0

    def is_done() -> bool:
        nonlocal done
        while done < len(keys):  # mostly in order: the first that is missing is looked for again
            found = client.exists(*keys[done : done + 200])
            if found < len(keys[done : done + 200]):
                return False
            done += 200
        return True

    wait_until(is_done, timeout_seconds=timeout_seconds, what=f"{len(keys)} results")
    return time.perf_counter()
