"""What is said of a task never holds content, whatever is on the queue."""

import base64
import json
from typing import Any

import pytest
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st
from kombu.utils.json import dumps

from history_sink.protocol.chain import START
from history_sink.protocol.contract import COMPACT, LIST_SESSIONS, RESOLVE, STATUS, UPLOAD
from history_sink.protocol.upload import Upload
from history_sink_worker.intake.description import describe, describe_result
from history_sink_worker.intake.privacy import Bytes, Content, decode_json
from history_sink_worker.task import Task
from history_sink_worker.task_errors import Refused

CANARY = "a canary, 7f"
ANYTHING = st.recursive(
    st.sampled_from([CANARY, CANARY.encode(), None, 5, 2.5, True, "", b""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([CANARY, "key"]), inner, max_size=3),
    max_leaves=8,
)
NAMES = ["session_id", "messages", "branch", "handle", "junctions", "after", "v", "lines", "encoding", "offset"]
NAMED = st.dictionaries(st.sampled_from([*NAMES, CANARY]), ANYTHING, max_size=4)


@given(
    task=st.sampled_from([UPLOAD, RESOLVE, STATUS, LIST_SESSIONS, COMPACT, "celery.map"]),
    args=ANYTHING | st.lists(ANYTHING, max_size=4),
    kwargs=ANYTHING | NAMED,
)
def test_a_description_never_fails_and_never_quotes(task: str, args: object, kwargs: object) -> None:
    assert CANARY not in repr(describe(task, args, kwargs))


@pytest.mark.parametrize(("lines", "counted"), [(2, {"messages": 2}), (100, {})], ids=["plain", "packed"])
def test_a_description_of_an_upload_names_session_and_sizes(lines: int, counted: dict[str, int]) -> None:
    """What is packed is not unpacked for it: that would keep the worker's event loop."""
    payload = Upload("000000000012-0123456789abcdef", START, (b'{"n":1}\n',) * lines).encode()
    assert describe(UPLOAD, ("s", None), payload) == {
        "session": "s",
        "branch": "000000000012-0123456789abcdef",
        **counted,
        "bytes": lines * 8,
        "first_message": 0,
        "offset": 0,
    }


def test_an_answer_is_described_by_its_size() -> None:
    answer = Bytes(CANARY.encode())
    assert describe_result(answer) == {"outcome": "done", "bytes": len(CANARY)}
    assert repr(answer) == "<12 bytes>"


def test_json_is_decoded_as_it_is() -> None:
    odd = [{"__type__": "uuid", "__value__": {"hex": "0"}}, {"__type__": "no such type", "__value__": CANARY}]
    assert decode_json(json.dumps(odd)) == odd
    assert decode_json(memoryview(json.dumps({"args": odd}).encode())) == {"args": odd}


@pytest.mark.parametrize(
    "sent",
    [
        {"__type__": "bytes", "__value__": "żółw"},
        {"__type__": "base64", "__value__": base64.b64encode("żółw".encode()).decode()},
    ],
)
def test_a_stored_answer_is_bytes_that_nothing_prints(sent: dict[str, str]) -> None:
    stored = {"status": "SUCCESS", "result": sent, "task_id": "7", "traceback": None}
    answer = decode_json(json.dumps(stored))["result"]
    assert isinstance(answer, Content)
    assert answer == "żółw".encode()
    assert repr(answer) == "<7 bytes>"


def test_a_packed_answer_is_read_in_a_workers_process_too() -> None:
    packed = {"encoding": "zlib", "size_bytes": 9, "body": b"\xff\x00"}
    stored = json.loads(dumps({"status": "SUCCESS", "result": packed, "task_id": "7", "traceback": None}))
    assert decode_json(json.dumps(stored))["result"] == packed


def failing_with(error: Exception) -> Any:
    app = Celery("test", task_cls=Task, set_as_current=False)

    @app.task(name="failing")
    def fail() -> None:
        raise error

    return fail.apply()


@pytest.mark.parametrize(
    "error", [KeyError(CANARY), ValueError(CANARY), UnicodeDecodeError("utf-8", b"a", 0, 1, CANARY)]
)
def test_an_error_that_nobody_expected_is_told_by_kind_and_place(error: Exception) -> None:
    ended = failing_with(error)
    assert repr(ended.result).startswith(f"Unexpected: {type(error).__name__} at test_privacy.py:")
    assert CANARY not in f"{ended.result!r} {ended.traceback}"


def test_what_a_refusal_was_made_from_does_not_travel_along() -> None:
    refusal = Refused("a reason")
    refusal.__context__ = KeyError(CANARY)
    ended = failing_with(refusal)
    assert repr(ended.result) == "Refused: a reason"
    assert CANARY not in ended.traceback
