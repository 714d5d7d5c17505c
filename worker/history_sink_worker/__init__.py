"""history-sink's worker: a Celery service that archives what producers send, and reads it back.

`app` is the Celery app: ``celery -A history_sink_worker …`` finds it here.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from history_sink_worker.application import app as app

__all__ = ["app"]


def __getattr__(name: str) -> Any:
    # Made when first asked for: the archive's core is imported without Celery, and without an environment.
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from history_sink_worker import extra

    extra.require()  # Celery and Flower ask for it, and would show a traceback
    from history_sink_worker.application import app

    return app
