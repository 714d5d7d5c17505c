"""A task that today's workers do not know, for test_dead_letters_trouble.py."""

from typing import Any

from history_sink_worker.application import app
from history_sink_worker.task import RetryingTask
from history_sink_worker.tasks import upload_history


@app.task(base=RetryingTask, name="history_sink.upload_v9")
def upload_v9(session_id: str, messages: list[Any]) -> Any:
    """As `upload_history`, by a name of a later version."""
    return upload_history.run(session_id, messages)
