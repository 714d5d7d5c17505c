"""The thread that renews claims while the event loop does not run. No servers."""

import threading
from types import SimpleNamespace

from history_sink_worker.redis_transport.renewal import Renewal
from stack.processes import wait_until


def count_threads() -> int:
    return sum(thread.name == "renewal" for thread in threading.enumerate())


def test_one_thread_renews_however_often_a_reconnect_fails() -> None:
    before, consumer = count_threads(), SimpleNamespace()
    step = Renewal(consumer)
    step.start(consumer)
    for _ in range(5):  # Celery stops every step each time, the ones that it had not come to start as well
        step.stop(consumer)
        assert count_threads() == before + 1
    step.start(consumer)
    wait_until(lambda: count_threads() == before, timeout_seconds=5, what="the thread to end")
