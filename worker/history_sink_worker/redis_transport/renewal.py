"""Renews claims while Celery's event loop, which renews them otherwise, does not run.

When a worker is told to end, its event loop ends first, and the worker waits for its tasks. Without renewal another
worker would take their messages after the visibility timeout, and do them once more.
"""

import threading
from typing import Any

from celery import bootsteps

from history_sink_worker.redis_transport.registry import renew_all


class Renewal(bootsteps.StartStopStep):
    """From each stop of the consumer, a lost connection's too, until its next start or the end of the process."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._ending = threading.Event()
        self._ending.set()

    def start(self, consumer: Any) -> None:
        """The event loop is about to run."""
        self._ending.set()

    def stop(self, consumer: Any) -> None:
        """The event loop runs no more. Celery calls this again and again for a consumer that it could not start."""
        if not self._ending.is_set():
            return
        self._ending = threading.Event()
        threading.Thread(target=_renew, args=(self._ending,), name="renewal", daemon=True).start()


def _renew(ending: threading.Event) -> None:
    while not ending.wait(renew_all()):
        pass
