"""A real producer, a real queue, a real worker, a real MinIO: what goes in comes back, whatever the history does."""

import copy
import json
import time
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from history_sink import Fault, HistorySink, Status
from history_sink.protocol.lines import encode_line
from stack.minio import MinioServer
from stack.redis import RedisServer
from stack.stack import producer_environment
from stack.worker import Worker

pytestmark = pytest.mark.usefixtures("worker")

TRANSCRIPT = Path(__file__).parent.parent / "stack" / "demo" / "transcript.jsonl"
OTHERS = Path(__file__).parent.parent.parent / "shared" / "transcripts"
_names = count(1)


@pytest.fixture
def sink(environment: Mapping[str, str]) -> Iterator[HistorySink]:
    with HistorySink.from_env(producer_environment(environment)) as sink:
        yield sink


@pytest.fixture
def another(environment: Mapping[str, str]) -> Iterator[HistorySink]:
    """The same author on another machine."""
    with HistorySink.from_env(producer_environment(environment)) as sink:
        yield sink


@pytest.fixture
def session() -> str:
    return f"session-{next(_names)}"


def talk(length: int, label: str = "m") -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": [{"type": "text", "text": f"{label} {number} «naïve» 日本 😀"}]}
        for number in range(length)
    ]


def body(messages: list[Any]) -> bytes:
    return b"".join(encode_line(message).data for message in messages)


def read(sink: HistorySink, session: str, branch: str | None = None) -> bytes | Fault:
    key = f"history/{session}/branches/{branch}/history.jsonl" if branch else f"history/{session}/history.jsonl"
    return sink.resolve(type(sink.pointer(session))(sink.pointer(session).bucket, key))


def branches(status: Status) -> list[str | None]:
    return [log.branch for log in status.logs]


def transcript_lines(path: Path) -> list[bytes]:
    """Split at 0x0A alone; a last line without a newline is whole."""
    return [line for line in path.read_bytes().split(b"\n") if line]


TRANSCRIPTS = [TRANSCRIPT, *sorted(OTHERS.glob("*.jsonl"))]


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
@pytest.mark.parametrize("step", [1, 7, 10**6], ids=["one by one", "in sevens", "at once"])
def test_a_transcript_comes_back_byte_for_byte(sink: HistorySink, session: str, path: Path, step: int) -> None:
    lines = transcript_lines(path)
    for end in range(step, len(lines) + step, step):
        assert sink.save(session, lines[:end]).state == "enqueued"
    assert sink.flush(session, 60)
    whole = b"".join(line + b"\n" for line in lines)
    assert b"".join(sink.read(session)) == whole
    status = sink.status(session)
    assert (len(status.logs), status.strays, status.pending) == (1, (), 0)
    assert sink.resolve(sink.pointer(session, messages=(3, 5))) == b"".join(line + b"\n" for line in lines[3:5])


@pytest.mark.each_store
def test_an_undo_leaves_the_old_line_whole_and_goes_on_in_a_branch(sink: HistorySink, session: str) -> None:
    old = talk(10)
    new = [*old[:6], *talk(3, "other")]
    sink.save(session, old)
    assert sink.flush(session)
    assert sink.save(session, new[:6]).state == "unchanged"
    receipt = sink.save(session, new)
    assert receipt.branch is not None
    assert sink.flush(session)
    assert read(sink, session) == body(old)
    assert read(sink, session, receipt.branch) == body(new)
    assert sink.pointer(session).key.endswith(f"{receipt.branch}/history.jsonl")
    assert sink.status(session).strays == ()


def test_after_an_undo_a_save_is_one_put_again(
    sink: HistorySink, session: str, minio_server: MinioServer, bucket: str
) -> None:
    history = [*talk(5), *talk(1, "other")]
    sink.save(session, talk(10))
    receipt = sink.save(session, history)
    assert sink.flush(session)
    for number in range(5):
        history.append(talk(1, f"more {number}")[0])
        assert sink.save(session, history).messages == 1
        assert sink.flush(session)
    listed = minio_server.client().list_objects_v2(Bucket=bucket, Prefix=f"history/{session}/branches/")["Contents"]
    assert len(listed) == 6
    assert read(sink, session, receipt.branch) == body(history)


def test_an_edit_in_place_is_seen(sink: HistorySink, session: str) -> None:
    history = talk(8)
    sink.save(session, history)
    before = copy.deepcopy(history)
    history[5]["content"][0]["text"] = "edited"
    receipt = sink.save(session, history)
    assert receipt.branch is not None
    assert sink.flush(session)
    assert read(sink, session) == body(before)
    assert read(sink, session, receipt.branch) == body(history)


def test_a_redo_finds_its_way_back(sink: HistorySink, session: str) -> None:
    old, new = talk(8), [*talk(4), *talk(2, "other")]
    sink.save(session, old)
    branch = sink.save(session, new).branch
    assert branch
    receipt = sink.save(session, [*old, *talk(1, "redone")])
    assert (receipt.branch, receipt.messages) == (None, 1)
    assert sink.flush(session)
    assert read(sink, session) == body([*old, *talk(1, "redone")])
    assert read(sink, session, branch) == body(new)
    assert len(sink.status(session).logs) == 2


def test_another_machine_sends_only_what_the_store_lacks(sink: HistorySink, another: HistorySink, session: str) -> None:
    history = talk(20)
    sink.save(session, history[:15])
    assert sink.flush(session)
    receipt = another.save(session, history)
    assert (receipt.state, receipt.messages, receipt.branch) == ("enqueued", 5, None)
    assert another.flush(session)
    assert read(sink, session) == body(history)


def test_another_machine_with_an_older_history_changes_nothing_and_can_go_on(
    sink: HistorySink, another: HistorySink, session: str
) -> None:
    history = talk(20)
    sink.save(session, history)
    assert sink.flush(session)
    assert another.save(session, history[:12]).state == "unchanged"
    assert another.flush(session)
    other = [*history[:12], *talk(2, "other")]
    receipt = another.save(session, other)
    assert receipt.branch is not None
    assert another.flush(session)
    assert read(sink, session) == body(history)
    assert read(sink, session, receipt.branch) == body(other)


def test_another_machine_with_a_different_history_opens_a_branch_and_a_third_finds_it(
    sink: HistorySink, another: HistorySink, session: str, environment: Mapping[str, str]
) -> None:
    sink.save(session, talk(10))
    assert sink.flush(session)
    other = [*talk(4), *talk(4, "other")]
    receipt = another.save(session, other)
    assert receipt.branch is not None
    assert another.flush(session)
    with HistorySink.from_env(producer_environment(environment)) as third:
        again = third.save(session, [*other, *talk(1, "more")])
        assert (again.branch, again.messages) == (receipt.branch, 1)
        assert third.flush(session)
    status = sink.status(session)
    assert branches(status) == [None, receipt.branch]
    assert status.strays == ()
    assert read(sink, session) == body(talk(10))


def test_two_writers_that_do_not_know_of_each_other_both_stay_whole(
    sink: HistorySink, another: HistorySink, session: str
) -> None:
    shared = talk(4)
    sink.save(session, shared)
    assert sink.flush(session)
    assert another.save(session, shared).state == "unchanged"
    one, two = [*shared, *talk(3, "one")], [*shared, *talk(3, "two")]
    sink.save(session, one)
    another.save(session, two)
    assert sink.flush(session)
    assert another.flush(session)
    found = {read(sink, session, branch) for branch in branches(sink.status(session))}
    assert {body(one), body(two)} <= found


def test_without_a_worker_everything_is_sent_and_all_is_well_when_one_comes(
    sink: HistorySink, another: HistorySink, session: str, worker: Worker
) -> None:
    history = talk(30)
    sink.save(session, history[:20])
    assert sink.flush(session)
    worker.stop()
    try:
        began = time.monotonic()
        receipt = another.save(session, history)
        assert time.monotonic() - began < 1.5
        assert (receipt.state, receipt.messages) == ("enqueued", 30)
        began = time.monotonic()
        assert another.save(session, [*history, *talk(1, "more")]).messages == 1
        assert time.monotonic() - began < 0.5
        assert not another.flush(session, 0.5)
    finally:
        worker.start()
    assert another.flush(session)
    status = another.status(session)
    assert (branches(status), status.strays) == ([None], ())
    assert read(another, session) == body([*history, *talk(1, "more")])


def test_what_redis_has_lost_is_sent_again_by_a_flush(
    sink: HistorySink, session: str, worker: Worker, redis_server: RedisServer
) -> None:
    history = talk(30)
    for end in (10, 20):
        sink.save(session, history[:end])
    assert sink.flush(session)
    worker.stop()
    try:
        for end in (25, 30):
            assert sink.save(session, history[:end]).messages == 5
        with redis_server.client() as client:
            client.flushall()
    finally:
        worker.start()
    assert read(sink, session) == body(history[:20])
    assert sink.flush(session)
    assert read(sink, session) == body(history)
    assert sink.status(session).strays == ()


def test_an_unknowing_writer_with_a_parted_history_and_no_worker_loses_nothing(
    sink: HistorySink, another: HistorySink, session: str, worker: Worker
) -> None:
    sink.save(session, talk(10))
    assert sink.flush(session)
    other = [*talk(4), *talk(4, "other")]
    worker.stop()
    try:
        assert another.save(session, other).state == "enqueued"
    finally:
        worker.start()
    assert another.flush(session)
    assert read(sink, session) == body(talk(10))
    assert read(another, session, another.status(session).logs[-1].branch) == body(other)


def test_a_plain_client_leaves_exactly_its_history(
    environment: Mapping[str, str], session: str, minio_server: MinioServer, bucket: str
) -> None:
    url = environment["CODETETHER_HISTORY_BROKER_URL"]
    app = Celery("stock", broker=url, backend=url)
    history = [*talk(5), {"__type__": "uuid", "__value__": "not a hook"}, {"anything": [1, 2.5, None, True]}]
    for end in (3, 7):
        task = app.send_task("history_sink.upload_history", args=[session, history[:end]], queue="history.upload")
        outcome = task.get(timeout=30)
        assert (outcome["outcome"], outcome["messages"]) == ("stored", end)
        held = minio_server.client().get_object(Bucket=bucket, Key=f"history/{session}/history.jsonl")["Body"].read()
        assert held == body(history[:end])
    assert [json.loads(line) for line in held.splitlines()] == history


def test_a_plain_client_can_resolve_a_pointer(sink: HistorySink, environment: Mapping[str, str], session: str) -> None:
    sink.save(session, talk(3))
    assert sink.flush(session)
    url = environment["CODETETHER_HISTORY_BROKER_URL"]
    app = Celery("stock", broker=url, backend=url)

    def resolve(**changes: Any) -> Any:
        handle = {**sink.pointer(session).encode(), **changes}
        return app.send_task("history_sink.resolve_pointer", args=[handle], queue="history.read").get(timeout=30)

    assert resolve() == body(talk(3))
    assert resolve(byte_range=[5, 5]) == {"kind": "no_match"}
    assert resolve(bucket="another")["kind"] == "denied"
    assert resolve(key=7)["kind"] == "backend_error"
