"""A Celery app for test_transport_worker.py: tasks that leave a trace in Redis, on either transport."""

import os
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import redis
from celery import Celery, Task
from celery.worker.request import Request as CeleryRequest

from history_sink_worker.redis_transport.lost_child import mark_if_lost
from history_sink_worker.redis_transport.renewal import Renewal
from history_sink_worker.redis_transport.transport import install

if TYPE_CHECKING:
    _Task = Task[..., Any]
else:
    _Task = Task  # before Celery 5.7 it takes no types when it runs

BROKER_URL = os.environ["BROKER_URL"]
if "STOCK" not in os.environ:
    install()
trace = redis.Redis.from_url(BROKER_URL)


class Request(CeleryRequest):
    """As the worker's: counts the children that a message has killed."""

    def on_failure(self, exc_info, *args, **kwargs):  # type: ignore[no-untyped-def] # passed on as it is
        mark_if_lost(self.message, exc_info)
        return super().on_failure(exc_info, *args, **kwargs)


class Traced(_Task):
    """A task whose child's death counts."""

    Request = f"{__name__}:Request"


app = Celery("transport_app", broker=BROKER_URL, task_cls=Traced)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={
        "visibility_timeout": 2,
        "max_abandoned": 2,
        "socket_timeout": 3,
        "socket_connect_timeout": 1,
    },
)
app.steps["consumer"].add(Renewal)


@app.task(name="run")
def run(number: int, nap_seconds: float = 0) -> None:
    """Say when it began and, at its end, that it has run; waits for a Redis that is away."""
    began = time.time()
    persist(lambda: trace.hset("began", str(number), str(began)))
    time.sleep(nap_seconds)
    persist(lambda: trace.hincrby("ran", str(number)))


def persist(write: Callable[[], object]) -> None:
    """Celery would acknowledge a task that raises."""
    for _ in range(200):
        try:
            write()
            return
        except redis.RedisError:
            time.sleep(0.1)


@app.task(name="kill")
def kill() -> None:
    """Kill the process that runs it."""
    trace.incr("kills")
    os.kill(os.getpid(), signal.SIGKILL)
