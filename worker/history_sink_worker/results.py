"""A result backend that is never in the way.

Where Celery 5.7 cannot store a result (Redis full, or away), the error escapes its tracer: the message is neither
acknowledged nor rejected, and its place in the pool is lost until the worker is started again. A result only tells
of what is done. So a result that cannot be stored is logged, and the task has ended all the same.

A Redis is told of a success at once: Celery asks before whether there is one already, which a first delivery cannot
have, and wraps two commands into a transaction, which nobody needs. What else is to be told then goes along.
"""

from collections.abc import Callable
from typing import Any

from celery import states
from celery.backends.redis import RedisBackend
from redis.exceptions import ResponseError

from history_sink_worker import log

Add = Callable[[Any], int]
"""Adds commands to a pipeline, and tells how many."""

_log = log.get("history_sink_worker")
_MARKS = ("mark_as_done", "mark_as_retry", "mark_as_failure", "mark_as_revoked")
_SMALL_CHARACTERS = 1024 * 1024


class Results:
    """Stands before any of Celery's result backends."""

    def __init__(self, backend: Any, tell: Callable[[Callable[[Add], bool]], bool] | None = None) -> None:
        """`tell` runs what it is given with what else is to be told, and returns its answer."""
        self._backend = backend
        self._tell = tell or (lambda send: send(lambda _: 0))

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._backend, name)
        return _Forgiving(found) if name in _MARKS else found

    def mark_as_done(
        self, task_id: str, result: Any, request: Any = None, store_result: bool = True, state: str = states.SUCCESS
    ) -> None:
        """As Celery's, but that it does not raise."""

        def send(add: Add) -> bool:
            return store_result and self._is_alone(request) and self._store(task_id, result, request, add)

        def mark(task_id: str) -> None:
            if not self._tell(send):
                self._backend.mark_as_done(task_id, result, request, store_result, state)

        _Forgiving(mark)(task_id)

    def _is_alone(self, request: Any) -> bool:
        """Whether nobody can have stored a result of this task, and it belongs to no chord."""
        if not isinstance(self._backend, RedisBackend) or request is None or request.chord or request.ignore_result:
            return False
        return not request.retries and not (request.delivery_info or {}).get("redelivered")

    def _store(self, task_id: str, result: Any, request: Any, add: Add) -> bool:
        """Store it, and what `add` adds, in one round trip. False: nothing was done, since it is large."""
        backend: Any = self._backend
        kept = backend.encode_result(result, states.SUCCESS)
        meta = backend._get_result_meta(kept, states.SUCCESS, None, request)
        value = backend.encode({**meta, "task_id": task_id})
        if len(value) > _SMALL_CHARACTERS or not backend.expires:
            return False
        backend.ensure(self._send, (backend.get_key_for_task(task_id), value, add))
        return True

    def _send(self, key: str | bytes, value: str, add: Add) -> None:
        with self._backend.client.pipeline(transaction=False) as pipe:
            others = add(pipe)
            pipe.set(key, value, ex=self._backend.expires)
            pipe.publish(key, value)
            stored = pipe.execute(raise_on_error=False)[others]
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
