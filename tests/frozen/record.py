"""Writes what this version's clients leave in Redis: `python -m tests.frozen.record 2` made `wire-2.json`.

Run once, when a wire version is first released; then the file stays as it is. Messages of that version may wait in
somebody's queue, and every later worker must understand them.
"""

import json
import sys
import tempfile
from functools import partial
from pathlib import Path

from celery import Celery
from redis import Redis

from history_sink import HistorySink
from history_sink.protocol.lines import encode_line
from stack.redis import RedisServer

QUEUES = ("history.upload", "history.maintenance")
SESSIONS = ("frozen-2-library", "frozen-2-plain", "frozen-2-appended", "frozen-2-positions")
"""Each has all `MESSAGES` at the end; `UNDONE` has a branch besides."""
UNDONE = "frozen-2-undo"
MESSAGES = [
    {"role": "user", "content": [{"type": "text", "text": f"frozen {n} «naïve» 日本 {'.' * n * 90}"}]} for n in range(4)
]


def record(url: str) -> list[dict[str, str]]:
    """Each client's messages, as the queue holds them."""
    with HistorySink.from_env({"CODETETHER_HISTORY_BROKER_URL": url}) as sink:
        for message in MESSAGES:  # the first starts the log, the others continue it; the longer ones are packed
            sink.append(SESSIONS[0], message)
        sink.save(UNDONE, MESSAGES)
        sink.save(UNDONE, MESSAGES[:2])
        sink.save(UNDONE, [*MESSAGES[:2], MESSAGES[3]])
    plain = Celery(broker=url, set_as_current=False)
    plain.send_task("history_sink.upload_history", (SESSIONS[1], MESSAGES), queue=QUEUES[0])
    append_plainly(plain)
    plain.send_task("history_sink.compact", (SESSIONS[0],), {"everything": True}, queue=QUEUES[1])
    with Redis.from_url(url) as redis:
        return [
            {"queue": queue, "record": anonymise(item)}
            for queue in QUEUES
            for item in reversed(redis.lrange(queue, 0, -1))
        ]


def append_plainly(plain: Celery) -> None:
    """As a client of any language does: all at once, and one by one as a writer, the last before the first."""
    send = partial(plain.send_task, "history_sink.upload_history", queue=QUEUES[0])
    send(args=(SESSIONS[2], MESSAGES), kwargs={"append": True})
    sizes = [len(encode_line(message).data) for message in MESSAGES]
    for at in reversed(range(len(MESSAGES))):
        told = {"append": True, "writer": "a-writer", "position": sum(sizes[:at])}
        send(args=(SESSIONS[3], [MESSAGES[at]]), kwargs=told)


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
    frozen = {"sessions": SESSIONS, "undone": UNDONE, "messages": MESSAGES, "records": records}
    path.write_text(json.dumps(frozen, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
