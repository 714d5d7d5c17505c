"""A result backend that is never in the way.

Where Celery 5.7 cannot store a result (Redis full, or away), the error escapes its tracer: the message is neither
acknowledged nor rejected, and its place in the pool is lost until the worker is started again. A result only tells
of what is done. So a result that cannot be stored is logged, and the task has ended all the same.
"""

from typing import Any

from history_sink_worker import log

_log = log.get("history_sink_worker")
_MARKS = ("mark_as_done", "mark_as_retry", "mark_as_failure", "mark_as_revoked")


class Results:
    """Stands before any of Celery's result backends."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._backend, name)
        return _Forgiving(found) if name in _MARKS else found


class _Forgiving:
    def __init__(self, mark: Any) -> None:
        self._mark = mark

    def __call__(self, task_id: str, *args: Any, **options: Any) -> Any:
        try:
            return self._mark(task_id, *args, **options)
        except Exception as error:  # noqa: BLE001  # each backend has errors of its own
            _log.warning("result not stored", id=task_id, error=type(error).__name__)
            return None
