"""What the library pushes to Redis: the messages that Celery and kombu would push, with fewer questions."""

import json
import random
import time
import tracemalloc
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from typing import Any

import msgpack  # type: ignore[import-untyped]
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from history_sink import HistorySink, ProducerSettings
from history_sink.protocol.contract import CLOCKS_DIFFER_SECONDS, READ_QUEUE, STATUS, UPLOAD, UPLOAD_QUEUE
from history_sink.transport import task_message
from history_sink.transport.broker import Broker
from history_sink.transport.link import make_app
from history_sink.transport.redis_sender import _push
from history_sink.transport.task_message import TaskMessage, Written, write_message
from plain_store import messages
from stack.redis import RedisServer

SAVES = 20
PAYLOAD = {"v": 1, "branch": None, "chain": "0" * 64, "offset": 0, "lines": b"\x00\xff{}\n", "size_bytes": 5}
_SAYS_NOTHING: tuple[object, ...] = (None, {}, [None, None])


def pop(client: redis.Redis, queue: str) -> dict[str, Any]:
    """The one message of a queue, its body read, without what says nothing."""
    assert client.llen(queue) == 1
    message = json.loads(client.lpop(queue))  # type: ignore[arg-type]  # the types for redis know no kind of client
    message["packed"] = b64decode(message["body"], validate=True)
    message["body"] = msgpack.unpackb(message["packed"])
    message["headers"] = {name: value for name, value in message["headers"].items() if value not in _SAYS_NOTHING}
    return dict(message)


def as_sent_once(message: dict[str, Any], task_id: str) -> dict[str, Any]:
    """Without what differs from message to message."""
    headers, properties = message["headers"], message["properties"]
    assert headers.pop("x-sent-at") > 0
    assert headers.pop("id") == headers.pop("root_id") == properties.pop("correlation_id") == task_id
    assert properties.pop("delivery_tag")
    return message


@pytest.mark.parametrize(("task", "queue"), [(UPLOAD, UPLOAD_QUEUE), (STATUS, READ_QUEUE)])
@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 3_000_000])
def test_a_message_is_the_one_that_celery_and_kombu_would_push(
    redis_server: RedisServer, task: str, queue: str, size: int
) -> None:
    url = redis_server.new_database()
    client, broker, app = redis_server.client(url), Broker(ProducerSettings(url)), make_app(0.5)
    payload = {**PAYLOAD, "lines": random.Random(size).randbytes(size), "rules": "r"}
    task_id = broker.send(task, ("s", None), payload, "{shown}")
    own = as_sent_once(pop(client, queue), task_id)
    broker.close()
    app.conf.broker_url = url  # type: ignore[misc]  # the types for Celery take it for fixed
    with app.connection_for_write() as connection, app.amqp.Producer(connection) as producer:
        sent = app.send_task(
            task,
            ("s", None),
            payload,
            queue=queue,
            producer=producer,
            argsrepr="('s', None)",
            kwargsrepr="{shown}",
            ignore_result=True,
            headers={"ignore_result": False, "x-sent-at": 1.0},
        )
    theirs = as_sent_once(pop(client, queue), str(sent.id))
    for needless in ("argsrepr", "kwargsrepr", "reply_to"):  # copies of headers, and where an RPC backend would answer
        theirs["properties"].pop(needless, None)
    assert own == theirs


@given(st.lists(st.binary(max_size=40), max_size=6), st.integers(1, 5))
def test_a_body_in_parts_is_the_same_base64(body: list[bytes], step: int) -> None:
    written = Written(b'{"body": "', body, b'"}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task_message, "_STEP_BYTES", 3 * step)
        parts = [*written.parts()]
    assert b"".join(parts) == b'{"body": "' + b64encode(b"".join(body)) + b'"}'
    assert max(map(len, parts[1:-1]), default=0) <= 4 * step
    assert written.size_bytes == sum(map(len, parts))


def test_a_long_body_is_not_copied_on_its_way() -> None:
    now, lines = datetime.now(UTC), b"x" * 4_000_000
    message = TaskMessage(UPLOAD, ("s", None), {**PAYLOAD, "lines": lines}, UPLOAD_QUEUE)
    write_message(message, "id", "origin", now)  # what is imported then is no matter of the body
    tracemalloc.start()
    pushed = sum(map(len, _push(b"q", write_message(message, "id", "origin", now))))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pushed > len(lines) * 4 / 3
    assert peak < len(lines) / 4


def test_a_question_ends_when_celery_says_that_it_does(redis_server: RedisServer) -> None:
    url = redis_server.new_database()
    broker = Broker(ProducerSettings(url))
    before = time.time()
    broker.send(STATUS, ("s",), {}, expires_seconds=7.0)
    expires = datetime.fromisoformat(pop(redis_server.client(url), READ_QUEUE)["headers"]["expires"]).timestamp()
    assert before - 1 <= expires - CLOCKS_DIFFER_SECONDS - 7.0 <= time.time() + 1
    broker.close()


@pytest.mark.parametrize("is_append", [False, True])
def test_a_save_is_one_command_and_one_round_trip(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch, is_append: bool
) -> None:
    monkeypatch.setattr("history_sink.client.under_way.LOOK_SECONDS", 3600.0)
    url = own_redis.new_database()
    client = own_redis.client(url)
    with HistorySink(broker_url=url) as sink:
        history = messages("a")
        sink.save("s", history)
        before = counts(client)
        for number in range(SAVES):
            history += messages(str(number))
            receipt = sink.append("s", history[-1]) if is_append else sink.save("s", history)
            assert receipt.messages == 1
        commands, reads = (after - each for after, each in zip(counts(client), before, strict=True))
    assert (commands, reads) == (SAVES + 1, SAVES + 1)  # to ask for the counts is one


def counts(client: redis.Redis) -> tuple[int, int]:
    """Commands that the server has run, and how often a client's commands came in."""
    told: Any = client.info("stats")
    return told["total_commands_processed"], told["total_reads_processed"]
