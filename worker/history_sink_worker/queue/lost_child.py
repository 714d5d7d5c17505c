"""A message whose task killed the prefork child that ran it.

Celery puts it back into the queue (task_reject_on_worker_lost), where the next child takes it, for ever: the worker
itself survives, so no claim is ever abandoned. Marked, the transport counts it. Any broker's message can be marked.
"""

from typing import Any

from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery.worker import state

_MARK = "has_lost_its_child"


def mark_if_lost(message: Any, exc_info: Any) -> None:
    """For ``Request.on_failure``, before Celery's own: note on `message` that its task took the child with it."""
    error = getattr(exc_info.exception, "exc", exc_info.exception)
    # In a cold shutdown it is Celery that kills the children.
    if isinstance(error, (WorkerLostError, TimeLimitExceeded, SystemExit)) and not state.should_terminate:
        setattr(message, _MARK, True)


def is_marked(message: Any) -> bool:
    """Whether `mark_if_lost` has marked it."""
    return getattr(message, _MARK, False)
