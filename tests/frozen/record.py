"""Writes what this version's clients leave in Redis: `python -m tests.frozen.record 1` makes `wire-1.json`.

Run once, when a wire version is first released; then the file stays as it is. Messages of that version may wait in
somebody's queue, and every later worker must understand them.
"""

import json
import sys
import tempfile
from pathlib import Path

from celery import Celery
from redis import Redis

from history_sink import HistorySink
from stack.redis import RedisServer

QUEUES = ("history.upload", "history.maintenance")
MESSAGES = [
    {"role": "user", "content": [{"type": "text", "text": f"frozen {n} «naïve» 日本 {'.' * n * 90}"}]} for n in range(4)
]


def record(url: str) -> list[dict[str, str]]:
    """Each client's messages, as the queue holds them."""
    with HistorySink.from_env({"CODETETHER_HISTORY_BROKER_URL": url}) as sink:
        for message in MESSAGES:  # the first starts the log, the others continue it; the longer ones are packed
            sink.append("frozen-library", message)
        sink.save("frozen-undo", MESSAGES)
        sink.save("frozen-undo", MESSAGES[:2])
        sink.save("frozen-undo", [*MESSAGES[:2], MESSAGES[3]])
    plain = Celery(broker=url, set_as_current=False)
    plain.send_task("history_sink.upload_history", ("frozen-plain", MESSAGES), queue=QUEUES[0])
    plain.send_task("history_sink.compact", ("frozen-library",), {"everything": True}, queue=QUEUES[1])
    with Redis.from_url(url) as redis:
        return [
            {"queue": queue, "record": anonymise(item)}
            for queue in QUEUES
            for item in reversed(redis.lrange(queue, 0, -1))
        ]


def anonymise(item: bytes) -> str:
    """Without the name of the machine that sent it."""
    envelope = json.loads(item)
    envelope["headers"]["origin"] = "producer@example"
    return json.dumps(envelope)


def main() -> None:
    """Start a Redis of its own, fill it, write the file."""
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        server.start()
        try:
            records = record(server.url(0))
        finally:
            server.stop()
    path = Path(__file__).parent / f"wire-{sys.argv[1]}.json"
    path.write_text(json.dumps({"messages": MESSAGES, "records": records}, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
