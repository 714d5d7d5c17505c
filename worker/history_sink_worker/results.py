"""A result backend that is never in the way.

Where Celery 5.7 cannot store a result (Redis full, or away), the error escapes its tracer: the message is neither
acknowledged nor rejected, and its place in the pool is lost until the worker is started again. A result only tells
of what is done. So a result that cannot be stored is logged, and the task has ended all the same.

A Redis is told of a success at once: Celery asks before whether there is one already, which a first delivery cannot
have, and wraps two commands into a transaction, which nobody needs. What else is to be told then goes along. Where
results are beside the queue, nobody waits for it: Redis is told of all that has ended meanwhile at once.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from celery import states
from celery.backends.redis import RedisBackend
from redis.exceptions import ResponseError

from history_sink_worker import log

Add = Callable[[Any], int]
"""Adds commands to a pipeline, and tells how many."""


class Taken(Protocol):
    """What goes along with a result."""

    def add(self, pipeline: Any) -> int: ...

    def end(self, is_told: bool) -> None: ...

    def put(self) -> None: ...


End = Callable[[Add, Callable[[Sequence[Any]], None]], None]
"""Has these commands sent soon, and then, with what they are answered, something called."""

_log = log.get("history_sink_worker")
_MARKS = ("mark_as_done", "mark_as_retry", "mark_as_failure", "mark_as_revoked")
_SMALL_CHARACTERS = 1024 * 1024


class Results:
    """Stands before any of Celery's result backends."""

    def __init__(
        self,
        backend: Any,
        take: Callable[[], Taken] | None = None,
        end: End | None = None,
        keep_seconds: int | None = None,
    ) -> None:
        """What `take` returns goes along with a success. `end`: what is small is not waited for.

        `keep_seconds`: how long a success is kept, where that is not as long as others.
        """
        self._backend, self._take, self._end, self._keep_seconds = backend, take, end, keep_seconds

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._backend, name)
        return _Forgiving(found) if name in _MARKS else found

    def mark_as_done(
        self, task_id: str, result: Any, request: Any = None, store_result: bool = True, state: str = states.SUCCESS
    ) -> None:
        """As Celery's, but that it does not raise."""

        def mark(task_id: str) -> None:
            taken = self._take() if self._take else None
            if not (store_result and self._is_alone(request) and self._store(task_id, result, request, taken)):
                if taken is not None:
                    taken.put()
                self._backend.mark_as_done(task_id, result, request, store_result, state)
                if self._keep_seconds is not None and hasattr(self._backend, "expire"):
                    self._backend.expire(self._backend.get_key_for_task(task_id), self._keep_seconds)

        _Forgiving(mark)(task_id)

    def _is_alone(self, request: Any) -> bool:
        """Whether nobody can have stored a result of this task, and it belongs to no chord."""
        if not isinstance(self._backend, RedisBackend) or request is None or request.chord or request.ignore_result:
            return False
        return not request.retries and not (request.delivery_info or {}).get("redelivered")

    def _store(self, task_id: str, result: Any, request: Any, taken: Taken | None) -> bool:
        """Store it, and tell what was taken, in one round trip. False: nothing was done, since it is large."""
        backend: Any = self._backend
        kept = backend.encode_result(result, states.SUCCESS)
        meta = backend._get_result_meta(kept, states.SUCCESS, None, request)
        value = backend.encode({**meta, "task_id": task_id})
        if len(value) > _SMALL_CHARACTERS or not backend.expires:
            return False
        key, keep_seconds = backend.get_key_for_task(task_id), self._keep_seconds or backend.expires

        def add(pipe: Any) -> int:
            others = taken.add(pipe) if taken else 0
            pipe.execute_command("SET", key, value, "EX", keep_seconds)  # quicker than redis-py's methods
            pipe.execute_command("PUBLISH", key, value)
            return others + 2

        if self._end is not None:
            self._end(add, partial(_Forgiving(_tell_end), task_id, taken))
            return True
        try:
            replies = backend.ensure(self._send, (add,))
        except Exception:
            if taken is not None:
                taken.end(is_told=False)
            raise
        _tell_end(task_id, taken, replies)
        return True

    def _send(self, add: Add) -> Sequence[Any]:
        with self._backend.client.pipeline(transaction=False) as pipe:
            add(pipe)
            replies: list[Any] = pipe.execute(raise_on_error=False)
        return replies


def _tell_end(_: str, taken: Taken | None, replies: Sequence[Any]) -> None:
    """Raises what Redis has answered to the result, if that is an error."""
    stored = replies[-2]
    if taken is not None:
        taken.end(is_told=not isinstance(stored, ResponseError))
    if isinstance(stored, ResponseError):
        raise stored


class _Forgiving:
    def __init__(self, mark: Any) -> None:
        self._mark = mark

    def __call__(self, task_id: str, *args: Any, **options: Any) -> Any:
        try:
            return self._mark(task_id, *args, **options)
        except Exception as error:  # noqa: BLE001  # each backend has errors of its own
            _log.warning("result not stored", id=task_id, error=type(error).__name__)
            return None
