"""A task that takes the process that runs it down with it, as one that eats all memory does, for test_rabbitmq.py."""

import os
import signal

from history_sink_worker.application import app
from history_sink_worker.intake import request
from history_sink_worker.task import RetryingTask

vars(request)["MOST_TIMES"] = 3  # Celery notices a lost child every five seconds


@app.task(base=RetryingTask, name="deadly")
def deadly(session_id: str) -> None:
    """`kill -9`."""
    os.kill(os.getpid(), signal.SIGKILL)
