"""What is on the stage: servers, workers, Flower, the producer, and the history that it saves."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from time import monotonic

from history_sink import HistorySink
from history_sink.protocol.contract import SEARCH_QUEUE
from stack.demo import DemoFailed
from stack.demo.flower_view import find_succeeded, list_tasks
from stack.demo.screen import Screen
from stack.demo.transcript import name_session
from stack.flower import Flower
from stack.page import serve_page
from stack.processes import wait_until
from stack.stack import Stack, producer_environment
from stack.worker import Worker

BUCKET = "history"

VISIBILITY_SECONDS = 3
"""After so long without a sign of a worker, another takes over its messages. A minute by default."""


@dataclass
class Scene:
    """All parts, running. `worker` is the one that runs now; `page` is a page's address, and the token that lets in."""

    stack: Stack
    environment: dict[str, str]
    worker: Worker
    flower: Flower
    sink: HistorySink
    page: tuple[str, str]
    session: str
    lines: list[bytes]
    screen: Screen

    def claim(self, holds: bool, what: str) -> None:
        """Raise DemoFailed, with what the worker says, if it does not hold."""
        if not holds:
            raise DemoFailed(f"this does not hold: {what}\nThe worker's log ends:\n{self.worker.process.log_tail()}")

    def start_next_worker(self) -> None:
        """In place of the one that was killed."""
        self.worker = self.stack.worker(self.environment, name="worker-2")


@contextmanager
def open_scene(name: str, lines: list[bytes], screen: Screen) -> Iterator[Scene]:
    """Start everything; end everything behind the block, whatever happens in it."""
    screen.step("Start MinIO, Redis, workers and Flower")
    began = monotonic()
    with Stack() as stack:
        environment = {
            **stack.environment(stack.minio.create_bucket(BUCKET)),
            "CODETETHER_HISTORY_VISIBILITY_TIMEOUT_SECONDS": str(VISIBILITY_SECONDS),
        }
        flower = stack.flower(environment)
        worker = stack.worker(environment, name="worker-1")
        index = {"CODETETHER_HISTORY_SEARCH_DIR": str(stack.directory / "search")}
        stack.worker({**environment, **index}, name="search", queues=[SEARCH_QUEUE])
        with closing(HistorySink.from_env(producer_environment(environment))) as sink, serve_page(sink) as page:
            _wait_for_flower(flower, sink)
            screen.text(f"ready after {monotonic() - began:.1f} s; Flower is at {flower.url}")
            yield Scene(stack, environment, worker, flower, sink, page, name_session(name), lines, screen)


def _wait_for_flower(flower: Flower, sink: HistorySink) -> None:
    """It begins to listen some time after it has begun to serve pages, and never hears of what was before."""

    def listens() -> bool:
        sink.list_sessions()
        return bool(find_succeeded(list_tasks(flower)))

    wait_until(listens, timeout_seconds=20, what="Flower to see a task")
