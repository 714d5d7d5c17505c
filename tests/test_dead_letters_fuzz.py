"""Anything at all on the queues of a worker: it lives, and each is done, or one dead letter with its reason."""

import base64
import itertools
import json
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from kombu.serialization import dumps

from history_sink_worker.archive.names import DEAD, PROBE, parse_key
from office import READS, STATUS, UPLOAD, UPLOADS, Office
from stack.minio import MinioServer
from stack.processes import wait_until
from stack.redis import RedisServer


def to_json(value: object) -> bytes:
    return json.dumps(value).encode()


def msgpack(kwargs: dict[str, Any]) -> bytes:
    """The library's form of an upload; what msgpack cannot carry, as text."""
    rest = {name: value for name, value in kwargs.items() if name != "messages"}
    try:
        body: Any = dumps([["s", kwargs.get("messages")], rest, None], "msgpack")[2]
    except Exception:  # noqa: BLE001  # integers beyond 64 bits, lone surrogates, …
        return msgpack({name: value if isinstance(value, bytes) else ascii(value) for name, value in kwargs.items()})
    return bytes(body)


GOOD = to_json([["s", [{"n": 1}]], {}, None])
numbers = itertools.count(1)
TASKS = [UPLOAD, STATUS, "history_sink.resolve_pointer", "history_sink.list_sessions", "history_sink.compact"]
PAYLOAD = {"v": 1, "branch": None, "first_message": 0, "offset": 0, "chain": "0" * 64, "encoding": "none"}
LINES = b'{"n":1}\n{"n":2}\n'
JSON = "application/json"

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=6), inner, max_size=2),
    max_leaves=4,
)
deep = st.integers(100, 900).map(lambda depth: json.loads("[" * depth + "]" * depth))


def some_of(known: dict[str, Any], most: int = 2) -> st.SearchStrategy[dict[str, Any]]:
    """A few of these names with anything, or with what is well-formed and wrong."""
    pairs = [
        st.tuples(st.just(name), values | deep | (st.sampled_from(given) if given else values))
        for name, given in known.items()
    ]
    return st.lists(st.one_of(pairs), min_size=1, max_size=most).map(dict)


payloads = some_of(
    {
        "v": [0, -1, True, "1"],
        "branch": ["000000000000-" + "0" * 16, "../x"],
        "first_message": [2**64],
        "offset": [1, 10**12],
        "chain": ["f" * 64, "0" * 63],
        "encoding": ["zlib", "gzip"],
        "size_bytes": [2**40, 1],
        "lines": [zlib.compress(LINES), LINES[:-1], b"\n", b"", b"{}", b"\xff\n"],
        "messages": [[{}], [5], [{"__type__": "uuid", "__value__": "x"}]],
        "more": [],
    }
).map(lambda odd: msgpack({**PAYLOAD, "size_bytes": len(LINES), "lines": LINES, **odd}))
headers = some_of(
    {
        "retries": [-1, 2**40],
        "timelimit": [[0.001, None], [1, "x"], [None, None]],
        "eta": ["0001-01-01", "9999-12-31T23:59:59-23:59", "2020-01-01T00:00:00Z"],
        "expires": ["2020-01-01T00:00:00+00:00", "0001-01-01T00:00:00+10:00"],
        "compression": ["zlib", "bzip2"],
        "stamped_headers": [["a"]],
        "ignore_result": [],
        **{
            name: [] for name in ("argsrepr", "kwargsrepr", "shadow", "root_id", "parent_id", "group", "stamps", "lang")
        },
        **{
            name: [] for name in ("origin", "x-abandoned", "x-first-tried", "x-replayed", "redelivered", "args", "task")
        },
    },
    most=4,
)
properties = some_of(
    {
        **{name: [] for name in ("correlation_id", "reply_to", "priority", "delivery_mode")},
        "delivery_info": [{"routing_key": "unacked"}, {"exchange": 5}, {"redelivered": True}],
        "body_encoding": ["rot13", None],
    }
)
bodies = st.one_of(
    st.binary(max_size=60),
    values.map(to_json),
    deep.map(to_json),
    st.lists(values, min_size=3, max_size=3).map(to_json),
    st.tuples(st.lists(values, max_size=3), st.dictionaries(st.text(max_size=5), values, max_size=2), values).map(
        to_json
    ),
    st.sampled_from([[5], {"x": 5}, None]).map(
        lambda odd: to_json([["s", [{}]], {}, {"callbacks": odd, "chain": odd, "chord": odd}])
    ),
    some_of({"task": TASKS, "id": ["x"], "args": [[]], "kwargs": [{}], "retries": [], "eta": [], "utc": []}, 7).map(
        to_json
    ),
)
messages = st.one_of(
    st.fixed_dictionaries({"packed": payloads}),
    st.fixed_dictionaries({"headers": headers}),
    st.fixed_dictionaries({"properties": properties}),
    st.fixed_dictionaries({"body": bodies, "task": st.sampled_from(TASKS)}),
    st.fixed_dictionaries(
        {"body": bodies, "headers": headers, "properties": properties, "task": st.sampled_from(TASKS)}
    ),
    st.fixed_dictionaries({"content-type": values | st.just("application/x-msgpack"), "content-encoding": values}),
)


@pytest.fixture(scope="module")
def office(
    minio_server: MinioServer, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Office]:
    office = Office(minio_server, redis_server.new_database(), tmp_path_factory.mktemp("office"), "threads")
    office.worker.start()
    yield office
    office.worker.process.kill()


def put(office: Office, odd: dict[str, Any]) -> str:
    """As kombu's Redis transport would; the message's id."""
    task_id = f"fuzz-{next(numbers)}"
    body = odd.get("packed", odd.get("body", GOOD))
    envelope = {
        "body": base64.b64encode(body).decode(),
        "headers": {"task": odd.get("task", UPLOAD), **odd.get("headers", {}), "id": task_id},
        "content-type": odd.get("content-type", "application/x-msgpack" if "packed" in odd else JSON),
        "content-encoding": odd.get("content-encoding", "binary" if "packed" in odd else "utf-8"),
        "properties": {
            "body_encoding": "base64",
            "delivery_tag": "t",
            "delivery_info": {},
            **odd.get("properties", {}),
        },
    }
    office.redis.lpush(UPLOADS, json.dumps(envelope))
    return task_id


def is_in_hand(office: Office, task_id: str) -> bool:
    together = office.redis.pipeline()  # at one instant: it may be on its way from one to the other
    for name in (UPLOADS, f"{UPLOADS}.dead", "unacked.dead"):
        together.lrange(name, 0, -1)
    together.hvals("unacked")
    mark = f'"{task_id}"'.encode()
    return any(mark in each for each in itertools.chain(*together.execute()))


def state_of(office: Office, task_id: str) -> tuple[str, str]:
    """Its state, and the name of its error."""
    stored = office.redis.get(f"celery-task-meta-{task_id}")
    meta: Any = json.loads(stored) if stored else {"status": "PENDING", "result": None}
    error = meta["result"].get("exc_type", "") if isinstance(meta["result"], dict) else ""
    return meta["status"], error


def is_question(odd: dict[str, Any]) -> bool:
    return odd.get("headers", {}).get("task", odd.get("task", UPLOAD)) in TASKS[1:4]


@settings(max_examples=200, suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink])
@given(messages)
def test_a_worker_lives_through_any_message(office: Office, odd: dict[str, Any]) -> None:
    task_id = put(office, odd)
    wait_until(lambda: not is_in_hand(office, task_id), timeout_seconds=10, what="the end of it")
    assert office.worker.process.is_running
    if odd.get("headers", {}).get("ignore_result"):
        return  # nobody is told how it ended
    letters = [key for key in office.letter_keys() if key.endswith(f"Z-{task_id}")]
    state, error = state_of(office, task_id)
    # A question that is refused is lost to nobody.
    assert len(letters) == (error == "Refused") or (not letters and error == "Refused" and is_question(odd)), error
    assert state in ("SUCCESS", "REVOKED") or error in ("Refused", "Unexpected"), (state, error)


def test_any_bytes_in_the_place_of_a_message_become_a_letter(office: Office) -> None:
    before = len(office.letter_keys())
    records = [b"", b"\xff", b"{}", b"[" * 5000, b"null", b'{"body": 5}', b'{"properties": 5, "headers": []}']
    for number, record in enumerate(records):
        office.redis.lpush((UPLOADS, READS)[number % 2], record)
        # Each alone in its step: what the next step may take is judged by the largest of the last one.
        wait_until(lambda: not any(map(office.redis.llen, (UPLOADS, READS))), timeout_seconds=10, what="the next step")
    wait_until(lambda: len(office.letter_keys()) == before + len(records), timeout_seconds=20, what="all letters")
    assert {letter.body for letter in office.letters("unknown").values()} >= set(records)
    assert all(letter.reason for letter in office.letters().values())


def test_nothing_wrong_has_reached_the_store(office: Office) -> None:
    page = office.store.list_objects_v2(Bucket=office.bucket)
    # A probe's object is there for as long as a slow store keeps the worker in doubt.
    no_sessions = (f"history/{DEAD}", f"history/{PROBE}")
    keys = [entry["Key"] for entry in page["Contents"] if not entry["Key"].startswith(no_sessions)]
    assert [key for key in keys if not parse_key("history/", key)] == []
    assert office.worker.process.is_running
