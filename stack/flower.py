"""A real Flower, started as an operator would."""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from stack.processes import Process, free_port

SETTINGS = {"FLOWER_TASKS_COLUMNS": "name,args,kwargs,state,retries,runtime,result,received"}
"""What one looks for in the list of tasks; by default Flower hides arguments, results and retries."""


class Flower:
    """`celery -A history_sink_worker flower` on loopback, its API open to whoever reaches that."""

    def __init__(self, environment: Mapping[str, str], *, log_path: Path, port: int | None = None) -> None:
        """`environment` is laid over ours."""
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "celery", "-A", "history_sink_worker", "flower"]
        command += ["--address=127.0.0.1", f"--port={self.port}"]
        self.process = Process(
            "Flower",
            command,
            log_path=log_path,
            environment={**os.environ, **SETTINGS, "FLOWER_UNAUTHENTICATED_API": "true", **environment},
        )

    def start(self) -> None:
        """Start it; when this returns, it serves pages."""
        self.process.start(self.is_healthy)

    def stop(self) -> None:
        """End it."""
        self.process.stop(timeout_seconds=5)

    def is_healthy(self) -> bool:
        """Whether /healthcheck answers 200."""
        try:
            with urllib.request.urlopen(f"{self.url}/healthcheck", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
