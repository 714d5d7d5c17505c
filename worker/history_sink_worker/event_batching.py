"""How often a worker publishes what Flower is to see.

Celery publishes with each turn of its event loop: a request to the broker or two for each task, and a quarter of the
worker's CPU time.
"""

from typing import Any

from celery import bootsteps

INTERVAL_SECONDS = 0.25
MOST_HELD = 1000
"""So many events are published at once, however soon that is."""


class EventPace(bootsteps.StartStopStep):
    """Publishes the events of tasks together, four times a second."""

    requires = ("celery.worker.consumer.events:Events",)
    _timer: Any = None

    def start(self, consumer: Any) -> None:
        """Called again after each loss of the broker, with a dispatcher that is new."""
        dispatcher = consumer.event_dispatcher
        dispatcher.on_send_buffered, dispatcher.buffer_limit = None, MOST_HELD
        self._timer = consumer.timer.call_repeatedly(INTERVAL_SECONDS, dispatcher.flush)

    def stop(self, consumer: Any) -> None:
        """What is held is published: at a warm shutdown the last tasks' ends."""
        if self._timer is not None:
            consumer.timer.cancel(self._timer)
            self._timer = None
        if consumer.event_dispatcher is not None:  # it was never connected
            consumer.event_dispatcher.flush()
