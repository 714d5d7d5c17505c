"""A message whose task killed the prefork child that ran it.

Celery puts the message back into the queue (task_reject_on_worker_lost), and the next child takes it, for ever. The
worker itself survives, so no claim is ever abandoned. So the message is marked, and our transport counts the marks over
all workers. With another broker each worker counts for itself.
"""

from typing import Any

from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery.worker import state

MOST_TIMES = 10
_MOST_COUNTED = 1000
_MARK = "has_lost_its_child"
_counts: dict[str, int] = {}  # by task id, the longest untouched first


def mark_if_lost(message: Any, exc_info: Any) -> None:
    """For ``Request.on_failure``, before Celery's own: note on `message` that its task took the child with it."""
    error = getattr(exc_info.exception, "exc", exc_info.exception)
    # In a cold shutdown it is Celery that kills the children.
    if isinstance(error, (WorkerLostError, TimeLimitExceeded, SystemExit)) and not state.should_terminate:
        setattr(message, _MARK, True)


def is_marked(message: Any) -> bool:
    """Whether `mark_if_lost` has marked it."""
    return getattr(message, _MARK, False)


def count_here(message: Any, task_id: str) -> int:
    """How often this worker has marked the message of this task by now; 0 where the transport counts."""
    if not is_marked(message) or hasattr(message.channel, "claims"):
        return 0
    _counts[task_id] = _counts.pop(task_id, 0) + 1
    if len(_counts) > _MOST_COUNTED:
        del _counts[next(iter(_counts))]
    return _counts[task_id]
