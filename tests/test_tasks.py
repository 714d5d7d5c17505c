"""The five tasks, sent by a stock Celery client to a real worker on real servers."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.result import AsyncResult

from forked_process import ForkedWorker
from history_sink.protocol.chain import START, Junction, walk
from history_sink.protocol.contract import LIST_SESSIONS, STATUS
from history_sink.protocol.lines import encode_line
from history_sink.protocol.upload import Upload
from stack.minio import MinioServer
from stack.processes import wait_until
from stack.redis import RedisServer
from stack.stack import environment as variables
from stack.worker import Worker

CANARY = "canary-7d1f9a"
UPLOAD, RESOLVE = "history_sink.upload_history", "history_sink.resolve_pointer"


class Client:
    """A program without the library."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        url = environment["CODETETHER_HISTORY_BROKER_URL"]
        self.app = Celery("client", broker=url, backend=url, set_as_current=False)

    def send(self, task: str, *args: Any, queue: str = "history.read", **options: Any) -> AsyncResult[Any]:
        result: AsyncResult[Any] = self.app.send_task(task, args, queue=queue, **options)
        return result

    def call(self, task: str, *args: Any, **options: Any) -> Any:
        return self.send(task, *args, **options).get(timeout=20)

    def upload(self, session: str, messages: object) -> AsyncResult[Any]:
        """The plain form."""
        return self.send(UPLOAD, session, messages, queue="history.upload")

    def save(self, session: str, lines: Sequence[bytes], start: Junction = START, **fields: Any) -> AsyncResult[Any]:
        """The library's form."""
        payload = {**Upload(None, start, tuple(lines)).encode(), **fields}
        return self.send(UPLOAD, session, None, kwargs=payload, queue="history.upload", serializer="msgpack")


@pytest.fixture(scope="module")
def client(environment: Mapping[str, str], worker: Worker) -> Client:
    del worker  # only that it is there
    return Client(environment)


def message(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text}]}


def stored(minio_server: MinioServer, bucket: str, key: str) -> bytes:
    return minio_server.client().get_object(Bucket=bucket, Key=key)["Body"].read()


def test_a_plain_client_leaves_exactly_its_history(client: Client, minio_server: MinioServer, bucket: str) -> None:
    messages = [message("żółw 🐢"), {"role": "tool", "content": [], "n": [1.0, 10**30, None]}]
    outcome = client.upload("plain", messages).get(timeout=20)
    assert outcome == {
        "outcome": "stored",
        "session": "plain",
        "branch": None,
        "messages": 2,
        "bytes": outcome["bytes"],
        "key": "history/plain/history.jsonl",
        "attempts": 1,
        "parted": None,
    }
    lines = [json.dumps(each, ensure_ascii=False, separators=(",", ":")) + "\n" for each in messages]
    assert stored(minio_server, bucket, outcome["key"]) == "".join(lines).encode()


def test_a_history_that_grows_and_is_changed_is_stored_as_if_each_were_the_first(
    client: Client, minio_server: MinioServer, bucket: str
) -> None:
    messages: list[Any] = [{"n": number, "float": 0.1, "text": "żółw \ud83d"} for number in range(30)]
    outcomes, stored_bytes = [], b""
    for given in (messages[:10], messages[:20], messages[:20], messages[:5], messages, [*messages[:3], {"x": 1}]):
        outcome = client.upload("grown", given).get(timeout=20)
        outcomes.append((outcome["outcome"], outcome["messages"]))
        lines = "".join(encode_line(each).data.decode() for each in given).encode()
        assert outcome["bytes"] == len(lines)
        stored_bytes = max(stored_bytes, lines, key=len)
        assert stored(minio_server, bucket, "history/grown/history.jsonl") == stored_bytes
    assert outcomes == [
        *[("stored", 10), ("stored", 20), ("duplicate", 20), ("duplicate", 5), ("stored", 30), ("diverged", 4)]
    ]
    assert outcome["parted"] == {
        "messages": 3,
        "offset": len(b"".join(encode_line(each).data for each in messages[:3])),
    }


def test_what_this_worker_knows_of_a_history_is_not_decoded_nor_looked_for_again(
    client: Client, worker: Worker
) -> None:
    messages = [{"n": number} for number in range(30)]

    def ask_requests(*args: Any, **kwargs: Any) -> int:
        sent = client.send(UPLOAD, *args, kwargs=kwargs, queue="history.upload")
        assert sent.get(timeout=20)["outcome"] == "duplicate"

        def find_end() -> list[str]:
            return [line for line in worker.process.log().splitlines() if sent.id in line and "task ended" in line]

        wait_until(lambda: bool(find_end()), timeout_seconds=10, what="its end to be told")
        return int(json.loads(find_end()[0])["store_requests"])

    client.upload("known", messages).get(timeout=20)
    assert ask_requests("known", messages) < ask_requests(session_id="known", messages=messages)


@pytest.mark.parametrize("at", [0, 2])
def test_a_bad_message_of_a_history_that_grew_is_named_by_its_place_in_all_of_it(client: Client, at: int) -> None:
    good: list[Any] = [{"n": number} for number in range(at)]
    if good:
        client.upload(f"bad-{at}", good).get(timeout=20)
    with pytest.raises(Exception, match=rf"messages\[{at + 1}\]"):
        client.upload(f"bad-{at}", [*good, {"n": at}, 7]).get(timeout=20)


@pytest.mark.parametrize("kind", ["uuid", "bytes", "nothing that kombu knows"])
def test_what_looks_like_a_type_of_kombus_is_archived_as_it_is(
    client: Client, minio_server: MinioServer, bucket: str, kind: str
) -> None:
    odd = {"__type__": kind, "__value__": {"hex": "00000000000000000000000000000000"}}
    session = f"typed-{kind[:4]}"
    assert client.upload(session, [odd]).get(timeout=20)["outcome"] == "stored"
    assert json.loads(stored(minio_server, bucket, f"history/{session}/history.jsonl")) == odd


def test_the_librarys_saves_make_one_log_and_a_repeated_one_changes_nothing(
    client: Client, minio_server: MinioServer, bucket: str
) -> None:
    lines = [b'{"n":%d}\n' % n for n in range(6)]
    junctions = [START, *walk(START, lines)]
    first = client.save("saves", lines[:4]).get(timeout=20)
    second = client.save("saves", lines[4:], junctions[4]).get(timeout=20)
    again = client.save("saves", lines[4:], junctions[4]).get(timeout=20)
    assert [each["outcome"] for each in (first, second, again)] == ["stored", "stored", "duplicate"]
    handle = {"bucket": bucket, "key": "history/saves/history.jsonl", "byte_range": None}
    assert client.call(RESOLVE, handle) == b"".join(lines)


def test_saves_of_one_log_that_arrive_together_make_one_log(
    client: Client, minio_server: MinioServer, bucket: str
) -> None:
    lines = [b'{"n":%d}\n' % n for n in range(40)]
    junctions = [START, *walk(START, lines)]
    results = [client.save("crowd", [line], start) for line, start in zip(lines, junctions, strict=False)]
    outcomes = [result.get(timeout=30)["outcome"] for result in results]
    assert set(outcomes) <= {"stored", "pending", "duplicate"}
    handle = {"bucket": bucket, "key": "history/crowd/history.jsonl", "byte_range": None}
    assert client.call(RESOLVE, handle) == b"".join(lines)


@pytest.mark.parametrize(
    ("args", "kwargs", "reason"),
    [
        (("bad", [{"a": 1}, f"{CANARY}\n{CANARY}"]), {}, r"messages\[1\]: a line with a line break inside"),
        (("bad", {"role": CANARY}), {}, "messages is the whole history as a list"),
        (("bad", [{}], CANARY), {}, "not the arguments of history_sink.upload_history"),
        ((CANARY + " is no id", [{}]), {}, "a session id is 1 to 200 of"),
        (("bad",), {}, "neither messages nor a payload"),
        (("bad", None), {"v": 1, "lines": CANARY}, "first_message is an integer"),
    ],
)
def test_what_can_never_succeed_is_refused_with_a_reason_and_without_content(
    client: Client, args: tuple[Any, ...], kwargs: dict[str, Any], reason: str
) -> None:
    result = client.send(UPLOAD, *args, kwargs=kwargs, queue="history.upload")
    with pytest.raises(Exception, match=reason) as caught:
        result.get(timeout=20)
    assert type(caught.value).__name__ == "Refused"
    assert CANARY not in f"{caught.value} {result.traceback}"


def test_a_question_that_is_refused_is_no_dead_letter(client: Client, minio_server: MinioServer, bucket: str) -> None:
    asked = [client.send(task, wrong, queue="history.read") for task, wrong in ((STATUS, "no id"), (LIST_SESSIONS, 7))]
    for result in asked:
        with pytest.raises(Exception, match="a session id is"):
            result.get(timeout=20)
    time.sleep(1)
    found = minio_server.client().list_objects_v2(Bucket=bucket, Prefix="history/.dead/").get("Contents", [])
    assert not [each["Key"] for each in found for result in asked if each["Key"].endswith(result.id)]


def test_a_payload_of_a_later_version_waits_for_a_worker_that_knows_it(client: Client) -> None:
    result = client.save("later", [b"{}\n"], v=3)
    wait_until(lambda: result.state == "RETRY", timeout_seconds=10, what="a retry")
    assert "payload version 3; this worker knows 2" in str(result.result)
    node = client.app.control.inspect(timeout=2)
    wait_until(lambda: "later" in str(node.scheduled()), timeout_seconds=10, what="the task to wait")


def test_a_pointer_is_answered_by_bytes_or_by_a_fault(client: Client, bucket: str) -> None:
    client.upload("read", [{"n": 1}, {"n": 2}]).get(timeout=20)
    handle = {"bucket": bucket, "key": "history/read/history.jsonl", "byte_range": [8, 100]}
    assert client.call(RESOLVE, handle) == b'{"n":2}\n'
    assert client.call(RESOLVE, {**handle, "byte_range": [16, 17]}) == {"kind": "no_match"}
    assert client.call(RESOLVE, {**handle, "bucket": "foreign"})["kind"] == "denied"
    assert client.call(RESOLVE, 5)["kind"] == "backend_error"
    assert client.call(RESOLVE)["kind"] == "backend_error"


def test_status_and_list_say_how_far_the_store_is(client: Client, bucket: str) -> None:
    lines = [b'{"n":1}\n', b'{"n":2}\n']
    junctions = list(walk(START, lines))
    client.save("far", lines).get(timeout=20)
    asked = [[point.offset, point.chain.hex()[:16]] for point in junctions]
    answer = client.call("history_sink.status", "far", asked)
    assert (answer["bucket"], answer["prefix"], answer["session"]) == (bucket, "history/", "far")
    assert [(log["messages"], log["bytes"], log["common"]) for log in answer["logs"]] == [(2, 16, 16)]
    assert client.call("history_sink.status", "unknown")["logs"] == []
    names = [each["session"] for each in client.call("history_sink.list_sessions", "fa", 1)["sessions"]]
    assert names == ["far"]


def test_a_header_says_what_of_a_list_is_wanted(client: Client) -> None:
    client.save("listed", [b'{"n":1}\n']).get(timeout=20)

    def ask(listed: object) -> Any:
        return client.send("history_sink.list_sessions", headers={"x-listed": listed}).get(timeout=20)

    assert ask({"prefix": "liste", "fields": []})["sessions"] == [{"session": "listed", "problem": None}]
    later = ask({"prefix": "liste", "fields": ["messages", "of a later version"], "of a later version": 1})
    assert later["sessions"] == [{"session": "listed", "problem": None, "messages": 1}]
    assert set(ask({"prefix": "liste"})["sessions"][0]) > {"bytes", "chain", "last_write"}
    for wrong in (5, {"prefix": "a/b"}, {"fields": "messages"}, {"fields": [1]}):
        with pytest.raises(Exception, match=r"a session id is|fields is a list|is an object"):
            ask(wrong)


def test_a_tasks_end_is_one_line_in_the_log(client: Client, worker: Worker) -> None:
    sent = client.save("logged", [b'{"n":1}\n'])
    sent.get(timeout=20)
    wait_until(lambda: sent.id in worker.process.log(), timeout_seconds=5, what="the line")
    (line,) = [line for line in worker.process.log().splitlines() if sent.id in line]
    said = json.loads(line)
    assert said.pop("seconds") < 20
    assert said.pop("timestamp").endswith("Z")
    assert [request[:14] for request in said.pop("store")] == ["PutObject 200 "]
    assert said == {
        "level": "info",
        "event": "task ended",
        "store_requests": 1,
        "task": UPLOAD,
        "id": sent.id,
        "session": "logged",
        "branch": None,
        "messages": 1,
        "bytes": 8,
        "first_message": 0,
        "offset": 0,
        "outcome": "stored",
        "key": "history/logged/history.jsonl",
        "attempts": 1,
    }


def test_each_of_the_saves_that_went_together_leads_to_their_request(client: Client, worker: Worker) -> None:
    lines = [b'{"n":%d}\n' % n for n in range(100)]
    starts = [START, *walk(START, lines)]
    worker.process.pause()  # until all are there: it may be faster than this process
    try:
        sent = [client.save("together", [line], at) for line, at in zip(lines, starts, strict=False)]
    finally:
        worker.process.resume()
    for each in sent:
        each.get(timeout=30)
    ids = {each.id for each in sent}

    def ends() -> list[dict[str, Any]]:
        said = [json.loads(line) for line in worker.process.log().splitlines() if '"task ended"' in line]
        return [line for line in said if line["id"] in ids]

    wait_until(lambda: len(ends()) == len(sent), timeout_seconds=10, what="all the lines")
    requests = [tuple(end.get("store", ())) for end in ends()]
    assert all(requests)
    assert len(set(requests)) < len(requests)  # some did go together


def test_a_compaction_that_is_asked_for_all_folds_all(client: Client) -> None:
    lines = [b'{"n":%d}\n' % n for n in range(4)]
    junctions = [START, *walk(START, lines)]
    for line, start in zip(lines, junctions, strict=False):
        client.save("folded", [line], start).get(timeout=20)
    done = client.call("history_sink.compact", "folded", None, False, True, queue="history.maintenance")
    assert done["folded_bytes"] == 24
    assert client.call("history_sink.status", "folded")["logs"][0]["base_bytes"] == 32


def test_redis_keeps_no_content_of_an_upload_and_an_answer_not_for_long(
    client: Client, environment: Mapping[str, str], redis_server: RedisServer, bucket: str
) -> None:
    client.upload("kept", [message(CANARY)]).get(timeout=20)
    handle = {"bucket": bucket, "key": "history/kept/history.jsonl", "byte_range": None}
    answer = client.send(RESOLVE, handle)
    assert CANARY.encode() in answer.get(timeout=20)
    with redis_server.client(environment["CODETETHER_HISTORY_BROKER_URL"]) as redis:
        key = f"celery-task-meta-{answer.id}"
        wait_until(lambda: 0 < redis.ttl(key) <= 300, timeout_seconds=5, what="the answer to expire soon")
        answer.forget()
        dump = b"".join(redis.dump(key) or b"" for key in redis.scan_iter())
    assert CANARY.encode() not in dump


PARTS: list[Any] = [["no", [{}]], {}, {}]
HEADERS = {"task": UPLOAD, "id": "odd"}


@pytest.mark.parametrize(
    ("body", "content_type", "headers"),
    [
        (b"{not json", "application/json", HEADERS),
        (b"\xc1", "application/x-msgpack", HEADERS),
        (b"[", "application/x-yaml", HEADERS),
        (b"5", "application/json", HEADERS),
        (b"[1, 2, 3]", "application/json", HEADERS),
        (b'[["no"], [1], {}]', "application/json", HEADERS),
        (b'{"a": 1}', "application/json", HEADERS),
        (b'{"task": 1, "id": [], "args": 1, "kwargs": 1}', "application/json", {}),
        (json.dumps(PARTS).encode(), "application/json", {"task": UPLOAD}),
        (json.dumps(PARTS).encode(), "application/json", {**HEADERS, "task": 5}),
        (json.dumps(PARTS).encode(), "application/json", {**HEADERS, "task": "no.such.task"}),
        (json.dumps(PARTS).encode(), "application/json", {**HEADERS, "eta": CANARY}),
        (json.dumps(PARTS).encode(), "application/json", {**HEADERS, "timelimit": 5}),
        (json.dumps(PARTS).encode(), "application/json", {**HEADERS, "retries": CANARY}),
    ],
)
def test_a_message_that_is_no_task_is_refused_and_the_worker_goes_on(
    client: Client, worker: Worker, body: bytes, content_type: str, headers: dict[str, Any]
) -> None:
    before = worker.process.log().count("message buried")
    with client.app.connection_for_write() as connection:
        connection.Producer(routing_key="history.upload").publish(
            body, content_type=content_type, content_encoding="utf-8", headers=headers
        )
    wait_until(lambda: worker.process.log().count("message buried") > before, timeout_seconds=10, what="a refusal")
    assert client.upload("goes-on", [{}]).get(timeout=20)["outcome"] in ("stored", "duplicate")
    assert worker.process.is_running
    assert "Unrecoverable" not in worker.process.log()


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_result_that_cannot_be_stored_holds_nothing_up(
    own_minio: MinioServer, own_redis: RedisServer, tmp_path: Path, pool: str
) -> None:
    environment = variables(own_minio, own_redis.url(), own_minio.create_bucket())
    worker = ForkedWorker(environment, log_path=tmp_path / "worker.log", pool=pool, concurrency=2)
    worker.start()
    try:
        client = Client(environment)
        own_minio.process.pause()
        sent = [client.upload(f"s{number}", [{}]) for number in range(6)]
        with own_redis.client() as redis:
            redis.config_set("maxmemory", 1)
            own_minio.process.resume()
            ended = '"outcome": "stored"'
            wait_until(lambda: worker.process.log().count(ended) >= 6, timeout_seconds=30, what="six uploads")
            wait_until(lambda: redis.hlen("unacked") == 0, timeout_seconds=10, what="their acknowledgement")
            redis.config_set("maxmemory", 0)
        assert client.upload("next", [{}]).get(timeout=20)["outcome"] == "stored"
        assert "result not stored" in worker.process.log()
        assert {result.state for result in sent} == {"PENDING"}
    finally:
        worker.process.kill()


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_an_upload_waits_out_an_outage_of_the_store_whatever_the_broker_does(
    own_minio: MinioServer, own_redis: RedisServer, tmp_path: Path, pool: str
) -> None:
    environment = variables(own_minio, own_redis.url(), own_minio.create_bucket())
    worker = ForkedWorker(environment, log_path=tmp_path / "worker.log", pool=pool, concurrency=2)
    worker.start()
    try:
        client = Client(environment)
        own_minio.stop()
        worker.process.pause()
        result = client.upload("waits", [{"__type__": "uuid", "__value__": 2**70}])
        with own_redis.client() as redis:
            redis.config_set("maxmemory", 1)  # from now on it refuses what is sent, retries too
            worker.process.resume()
            wait_until(lambda: "broker did not take" in worker.process.log(), timeout_seconds=40, what="a refusal")
            redis.config_set("maxmemory", 0)
        # Whether it is tried again now, or waits in the queue: a try that took more than two seconds has shut the gate.
        wait_until(
            lambda: result.state == "RETRY" or "uploads wait" in worker.process.log(),
            timeout_seconds=20,
            what="a retry",
        )
        is_retried = result.state == "RETRY"
        handle = {"bucket": "b", "key": "history/waits/history.jsonl", "byte_range": None}
        own_minio.start()
        outcome = result.get(timeout=60)
        assert outcome["outcome"] == "stored"
        assert outcome["attempts"] > 1 or not is_retried
        assert client.call(RESOLVE, {**handle, "bucket": environment["CODETETHER_HISTORY_S3_BUCKET"]}) == (
            b'{"__type__":"uuid","__value__":1180591620717411303424}\n'
        )
    finally:
        worker.process.kill()
