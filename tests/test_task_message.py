"""What the library pushes to Redis: the messages that Celery and kombu would push, with fewer questions."""

import json
import time
from base64 import b64decode
from datetime import datetime
from typing import Any

import msgpack  # type: ignore[import-untyped]
import pytest
import redis

from history_sink import HistorySink, ProducerSettings
from history_sink.protocol.contract import CLOCKS_DIFFER_SECONDS, READ_QUEUE, STATUS, UPLOAD, UPLOAD_QUEUE
from history_sink.transport.broker import Broker
from history_sink.transport.link import make_app
from plain_store import messages
from stack.redis import RedisServer

SAVES = 20
PAYLOAD = {"v": 1, "branch": None, "chain": "0" * 64, "offset": 0, "lines": b"\x00\xff{}\n", "size_bytes": 5}
_SAYS_NOTHING: tuple[object, ...] = (None, {}, [None, None])


def pop(client: redis.Redis, queue: str) -> dict[str, Any]:
    """The one message of a queue, its body read, without what says nothing."""
    assert client.llen(queue) == 1
    message = json.loads(client.lpop(queue))  # type: ignore[arg-type]  # the types for redis know no kind of client
    message["body"] = msgpack.unpackb(b64decode(message["body"]))
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
def test_a_message_is_the_one_that_celery_and_kombu_would_push(
    redis_server: RedisServer, task: str, queue: str
) -> None:
    url = redis_server.new_database()
    client, broker, app = redis_server.client(url), Broker(ProducerSettings(url)), make_app(0.5)
    task_id = broker.send(task, ("s", None), PAYLOAD, "{shown}")
    own = as_sent_once(pop(client, queue), task_id)
    broker.close()
    app.conf.broker_url = url  # type: ignore[misc]  # the types for Celery take it for fixed
    with app.connection_for_write() as connection, app.amqp.Producer(connection) as producer:
        sent = app.send_task(
            task,
            ("s", None),
            PAYLOAD,
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
