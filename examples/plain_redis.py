"""A client without this library and without Celery, as any language can be one: one LPUSH of one JSON text.

python examples/plain_redis.py my-session messages.json    # a JSON array: the whole history of the session
"""

import base64
import json
import os
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import redis

QUEUE = "history.upload"


def make_message(task_id: str, session: str, messages: list[Any]) -> str:
    """Celery's message, as a Redis list holds it."""
    body = json.dumps([[session, messages], {}, {}])
    delivery = {"delivery_tag": str(uuid.uuid4()), "delivery_info": {"exchange": "", "routing_key": QUEUE}}
    message = {
        "body": base64.b64encode(body.encode()).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": "history_sink.upload_history", "id": task_id},
        "properties": {"correlation_id": task_id, "body_encoding": "base64", **delivery},
    }
    return json.dumps(message)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    client = redis.Redis.from_url(os.environ["CODETETHER_HISTORY_BROKER_URL"])
    task_id = str(uuid.uuid4())
    client.lpush(QUEUE, make_message(task_id, sys.argv[1], json.loads(Path(sys.argv[2]).read_text())))
    while not (record := client.get(f"celery-task-meta-{task_id}")):  # who need not know does not wait
        time.sleep(0.1)
    print(json.loads(record))
