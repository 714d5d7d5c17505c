"""A real worker, started as an operator would."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from stack.processes import Process

RUN = ("history_sink_worker.cli.main", "run")
CELERY = ("celery", "-A", "history_sink_worker", "worker")
"""Two ways to start one, behind `python -m`."""


class Worker:
    """`history-sink-worker run`; can be killed, paused and started again."""

    process_type: type[Process] = Process

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        log_path: Path,
        name: str = "worker",
        pool: str = "threads",
        concurrency: int = 4,
        queues: Sequence[str] = (),
        arguments: Sequence[str] = (),
        way: Sequence[str] = RUN,
    ) -> None:
        """`environment` is laid over ours; without `queues` it takes all three.

        `arguments` go to Celery as they are.
        """
        self.node = f"{name}@local"
        command = [sys.executable, "-m", *way]
        command += ["-P", pool, "-c", str(concurrency), "-n", self.node, "--loglevel", "INFO"]
        command += ["-Q", ",".join(queues)] if queues else []
        self.process = self.process_type(
            f"worker {self.node}",
            [*command, *arguments],
            log_path=log_path,
            environment={**os.environ, **environment},
        )

    def start(self) -> None:
        """Start it; when this returns, it consumes."""
        # Its log, and not `inspect ping`: that would leave keys of its own in Redis.
        self.process.start(self._says_ready)

    def stop(self) -> None:
        """A warm shutdown, as a supervisor asks for it."""
        self.process.stop()

    def _says_ready(self) -> bool:
        return re.search(rf"{re.escape(self.node)} ready", self.process.log()) is not None
