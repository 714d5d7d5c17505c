"""Commands whose arguments are packed once are the bytes that redis-py would send."""

import json

from redis.connection import Connection

from history_sink_worker.redis_transport.packed import QueueArguments, join, pack

QUEUES = ["history.ann.upload", "history.bob.read", "ä"]


def name(queue: str, priority: int) -> str:
    return f"prefix.{queue}\x06\x16{priority}" if priority else f"prefix.{queue}"


def test_a_command_is_what_redis_py_packs() -> None:
    arguments = ["EVAL", "return 1", 2, "key", b"\x00\xff", "ä", ""]
    packed = b"".join(Connection()._command_packer.pack(*arguments))  # type: ignore[no-untyped-call]
    assert b"".join(join([pack(each) for each in arguments])) == packed  # type: ignore[arg-type]  # a list of three types


def test_lists_are_named_by_priority_and_then_in_the_order_of_their_queues() -> None:
    made = QueueArguments(name, [0, 3])
    for queues in (QUEUES, QUEUES[::-1], QUEUES[1:]):
        assert made.lists(queues) == [pack(name(queue, priority)) for priority in (0, 3) for queue in queues]
        said = [pack("" if queue == "history.bob.read" else json.dumps(queue)) for queue in queues]
        assert made.records(queues, {"history.bob.read"}) == said * 2
    assert made.records(QUEUES, ())[1] == pack('"history.bob.read"')
