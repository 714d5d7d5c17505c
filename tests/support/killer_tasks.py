"""Tasks for test_killers.py: one kills the process that runs it, one goes on until it is told to end."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from history_sink_worker.application import app
from history_sink_worker.task import RetryingTask


@app.task(base=RetryingTask, name="kill")
def kill(session_id: str, messages: list[Any]) -> None:
    """As poison does."""
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(base=RetryingTask, name="linger")
def linger(directory: str) -> None:
    """Leave a file for each time that this has begun; end when there is a file `end`."""
    Path(directory, str(time.time_ns())).touch()
    deadline = time.monotonic() + 100
    while not Path(directory, "end").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
