"""Messages that clients of an earlier version left in the queue are understood by this version's workers."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from history_sink import HistorySink
from history_sink.protocol.lines import encode_line
from stack.stack import producer_environment
from stack.worker import Worker

FROZEN = sorted((Path(__file__).parent / "frozen").glob("wire-*.json"))


def wait_for_logs(sink: HistorySink, session: str, size_bytes: list[int]) -> list[str]:
    """The keys of a session's logs, once they have these sizes."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        status = sink.status(session)
        assert not hasattr(status, "kind"), status
        if [log.bytes for log in status.logs] == size_bytes:
            return [log.key for log in status.logs]
        time.sleep(0.1)
    raise AssertionError(f"{session}: {status}")


def test_there_is_something_frozen() -> None:
    assert FROZEN


@pytest.mark.parametrize("path", FROZEN, ids=lambda path: path.stem)
def test_what_an_earlier_version_queued_is_stored(path: Path, environment: Mapping[str, str], worker: Worker) -> None:
    frozen = json.loads(path.read_text())
    messages: list[Any] = frozen["messages"]
    undone = frozen.get("undone", "frozen-undo")
    edited = [*messages[:2], messages[3]]
    whole, other = (b"".join(encode_line(message).data for message in history) for history in (messages, edited))
    with (
        Redis.from_url(environment["CODETETHER_HISTORY_BROKER_URL"]) as redis,
        HistorySink.from_env(producer_environment(environment)) as sink,
    ):
        for item in frozen["records"]:
            redis.lpush(item["queue"], item["record"])
        for session in frozen.get("sessions", ["frozen-library", "frozen-plain"]):
            assert wait_for_logs(sink, session, [len(whole)]) == [f"history/{session}/history.jsonl"]
            assert b"".join(sink.read(session)) == whole
        main, branch = wait_for_logs(sink, undone, [len(whole), len(other)])
        assert main == sink.pointer(undone).key
        assert b"".join(sink.read(undone)) == whole
        pointer = sink.pointer(undone)
        assert sink.resolve(type(pointer)(pointer.bucket, branch)) == other
        for item in frozen["records"]:
            result = redis.get(f"celery-task-meta-{json.loads(item['record'])['headers']['id']}")
            assert json.loads(result or "{}").get("status") == "SUCCESS"
