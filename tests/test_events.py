"""What Flower is told: every event of every task, in few messages."""

import base64
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from celery import Celery

from forked_process import ForkedWorker
from stack.processes import wait_until
from stack.redis import RedisServer

TASKS = 100


def events_in(message: dict[str, Any]) -> list[dict[str, Any]]:
    """What kombu has published on a channel of its own."""
    body = json.loads(base64.b64decode(json.loads(message["data"])["body"]))
    return body if isinstance(body, list) else [body]


def test_each_task_is_announced_whole_up_to_the_last_in_few_messages(
    environment: Mapping[str, str], redis_server: RedisServer, tmp_path: Path
) -> None:
    url = environment["CODETETHER_HISTORY_BROKER_URL"]
    client = Celery("client", broker=url, backend=url, set_as_current=False)
    worker = ForkedWorker(environment, log_path=tmp_path / "worker.log")
    worker.start()
    try:
        with redis_server.client(url) as redis, redis.pubsub() as listener:
            listener.psubscribe("*celeryev/task*")
            for number in range(TASKS):
                client.send_task("history_sink.status", (f"s{number}",), queue="history.read")
            wait_until(lambda: worker.process.log().count("task ended") == TASKS, timeout_seconds=60, what="all")
            worker.stop()
            received = list(iter(lambda: listener.get_message(timeout=1), None))
    finally:
        worker.stop()
    messages = [message for message in received if message["type"] == "pmessage"]
    heard = Counter(event["type"] for message in messages for event in events_in(message))
    assert heard == {"task-received": TASKS, "task-started": TASKS, "task-succeeded": TASKS}
    assert len(messages) < TASKS
