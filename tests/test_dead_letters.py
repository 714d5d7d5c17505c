"""What can never succeed ends as one dead letter with all that it was, on real servers, with threads and prefork."""

import base64
import json
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgpack  # type: ignore[import-untyped]
import pytest
from celery.result import AsyncResult

from history_sink.protocol.chain import START
from history_sink.protocol.upload import Upload
from office import READS, STATUS, UPLOAD, UPLOADS, Office
from stack.flower import Flower
from stack.minio import MinioServer
from stack.processes import wait_until
from stack.redis import RedisServer

CANARY = "canary-c41e77"
MESSAGE = {"role": "user", "content": f"a word of {CANARY}"}


@pytest.fixture(scope="module", params=["threads", "prefork"])
def office(
    request: pytest.FixtureRequest,
    minio_server: MinioServer,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Office]:
    office = Office(minio_server, redis_server.new_database(), tmp_path_factory.mktemp("office"), request.param)
    office.worker.start()
    yield office
    assert CANARY not in office.worker.process.log()
    office.worker.process.kill()


def test_a_poisonous_payload_is_buried_whole_and_comes_back_when_it_is_replayed(office: Office) -> None:
    sent = office.send(UPLOAD, "poison", [MESSAGE, f"{CANARY},\nbut no line"], priority=3)
    letter = office.letter(sent.id)
    assert (
        office.reason(sent)
        == "Refused: messages[1]: a line with a line break inside: give each line as a message of its own"
    )
    assert json.loads(letter.body)[0] == ["poison", [MESSAGE, f"{CANARY},\nbut no line"]]
    assert (letter.task, letter.session, letter.attempts) == (UPLOAD, "poison", 1)
    assert (letter.reason, letter.queue) == (
        "messages[1]: a line with a line break inside: give each line as a message of its own",
        UPLOADS,
    )
    assert (letter.content_type, letter.content_encoding) == ("application/json", "utf-8")
    assert letter.headers["id"] == sent.id
    assert letter.first <= letter.last

    (name,) = office.letters(sent.id)
    assert "sent again" in office.command("replay", name)
    again = office.letter(sent.id, but=name)
    assert again.body == letter.body
    assert again.headers == {**letter.headers, "x-replayed": name}
    assert again.properties["priority"] == 3
    assert "there is no such letter" in office.command("replay", name, status=1)
    assert len(office.letters(sent.id)) == 1


def test_the_librarys_payload_is_kept_byte_for_byte(office: Office) -> None:
    payload = {**Upload(None, START, (b'{"n":1}\n' * 90,)).encode(), "chain": "no chain"}
    sent = office.send(UPLOAD, "binary", None, kwargs=payload, serializer="msgpack")
    letter = office.letter(sent.id)
    assert letter.content_type == "application/x-msgpack"
    assert letter.reason == "chain is 64 hex digits"
    assert msgpack.unpackb(letter.body)[1] == payload


def test_what_is_no_task_is_buried(office: Office) -> None:
    cases: dict[str, tuple[bytes, dict[str, Any], str, str]] = {
        "no-task": (
            b"[[],{},{}]",
            {"task": "history_sink.uplaod"},
            "application/json",
            "its task is unknown: history_sink.up",
        ),
        "pickle": (b"\x80", {"task": UPLOAD}, "application/x-python-serialize", "its body cannot be decoded: Conten"),
        "broken": (b"\xc1", {"task": UPLOAD}, "application/x-msgpack", "its body cannot be decoded: Deco"),
        "packed": (b"\x78", {"task": UPLOAD, "compression": "zlib"}, "application/json", "its body is compressed"),
        "shape": (b"{}", {"task": UPLOAD}, "application/json", "its body is no"),
        "late": (b"[[],{},{}]", {"task": UPLOAD, "eta": "9999-12-31T23:59:59-12:00"}, "application/json", "it cannot"),
        "list": (b"[[],{},{}]", {"task": UPLOAD, "shadow": [5]}, "application/json", "shadow in its headers is a list"),
        "odd": (b"[[],{},{}]", {"task": UPLOAD, "expires": CANARY}, "application/json", "it is not a valid task"),
    }
    for task_id, (body, headers, content_type, _) in cases.items():
        office.put(body, {**headers, "id": task_id}, content_type)
    for task_id, (body, headers, content_type, reason) in cases.items():
        letter = office.letter(task_id)
        assert letter.reason.startswith(reason)
        assert (letter.body, letter.content_type, letter.headers) == (body, content_type, {**headers, "id": task_id})
        assert office.reason(AsyncResult(task_id, app=office.app)) == f"Refused: {letter.reason}"


def test_a_revoked_upload_is_buried_and_stored_when_it_is_replayed(office: Office) -> None:
    task_id = f"revoked-{office.pool}"
    office.app.control.revoke(task_id, reply=True, timeout=5, limit=1)
    sent = office.send(UPLOAD, "revoked", [MESSAGE], task_id=task_id)
    assert office.letter(task_id).reason == "revoked"
    assert office.reason(sent) == "Refused: revoked"
    office.command("replay", task_id)
    wait_until(lambda: not office.letters(task_id), timeout_seconds=5, what="the letter to go")
    office.wait_until_idle()
    assert json.loads(office.stored("revoked")) == MESSAGE
    assert not office.letters(task_id)


def test_an_upload_that_has_expired_is_buried_but_not_a_read(office: Office) -> None:
    past = datetime.now(UTC) - timedelta(hours=1)
    read = office.send(STATUS, "s", queue=READS, expires=past)
    sent = office.send(UPLOAD, "expired", [MESSAGE], expires=past)
    assert office.letter(sent.id).reason == "expired"
    office.command("replay", sent.id)
    wait_until(lambda: "stored" in str(sent.result), timeout_seconds=10, what="the upload to be stored")
    assert not office.letters(sent.id)
    assert not office.letters(read.id)


def test_what_the_transport_has_parked_is_moved_to_the_dead_letters(office: Office) -> None:
    sent = office.send(STATUS, "parked", queue="elsewhere")
    record = json.loads(office.redis.lrange("elsewhere", 0, -1)[0])
    office.redis.delete("elsewhere")
    record["headers"].update({"x-abandoned": 10, "redelivered": True, "x-first-tried": 1_790_000_000.5})
    unreadable = b'{"body": "e30=", "he'
    office.redis.rpush(f"{READS}.dead", json.dumps(record))
    office.redis.rpush(f"{UPLOADS}.dead", unreadable, unreadable)
    office.redis.rpush("unacked.dead", json.dumps([{"body": 5}, "", READS]))
    letter = office.letter(sent.id)
    assert letter.reason.startswith("abandoned 10 times")
    assert letter.body == base64.b64decode(record["body"])
    assert (letter.attempts, letter.first, letter.queue) == (10, 1_790_000_000.5, READS)
    wait_until(lambda: not office.redis.exists("unacked.dead"), timeout_seconds=5, what="the claim to be moved")
    others = {each.queue: each for each in office.letters("unknown").values()}
    assert others[UPLOADS].body == unreadable
    assert len(office.letters("unknown")) == 2
    assert json.loads(others[READS].body) == [{"body": 5}, "", READS]

    office.command("replay", sent.id)
    assert sent.get(timeout=10)["session"] == "parked"
    assert not office.letters(sent.id)


@pytest.mark.parametrize("office", ["threads"], indirect=True)
def test_commands_show_what_matters_and_content_only_if_asked(office: Office) -> None:
    sent = office.send(UPLOAD, "shown", [MESSAGE, f"{CANARY}\nis no line"])
    letter, listed = office.letter(sent.id), office.command("list")
    (name,) = office.letters(sent.id)
    row = next(line for line in listed.splitlines() if sent.id in line)
    assert all(
        part in row for part in (UPLOAD, "shown", str(letter.size_bytes), "messages[1]: a line with a line break")
    )
    as_json = office.command("list", "--json")
    objects = [json.loads(line) for line in as_json.splitlines()]
    assert next(each for each in objects if each["name"] == name) == {"name": name, **letter.summary()}
    assert json.loads(office.command("show", name)) == {"name": name, **letter.summary()}
    whole = office.command("show", name, "--content")
    assert json.loads(json.loads(whole)["body"])[0] == ["shown", [MESSAGE, f"{CANARY}\nis no line"]]
    assert CANARY not in listed
    assert CANARY not in as_json

    assert "Aborted" in office.command("drop", name, status=1, stdin="n\n")
    assert office.letters(sent.id)
    office.command("drop", name, "--yes")
    assert not office.letters(sent.id)
    assert "which letters?" in office.command("drop", status=2)


@pytest.mark.parametrize("office", ["threads"], indirect=True)
def test_flower_shows_why_and_no_content(office: Office) -> None:
    flower = Flower(office.environment, log_path=office.directory / "flower.log")

    def fetch(path: str) -> str:
        with urllib.request.urlopen(f"{flower.url}{path}", timeout=20) as answer:
            return str(answer.read().decode())

    def task(task_id: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(fetch("/api/tasks")).get(task_id, {})
        return found

    flower.start()
    try:

        def listens() -> bool:
            sent = office.send(STATUS, "s", queue=READS)
            sent.get(timeout=20)
            return bool(task(sent.id).get("received"))

        wait_until(listens, timeout_seconds=20, what="Flower to see a task")
        office.app.control.revoke("shown-revoked", reply=True, timeout=5, limit=1)
        sent = [
            office.send(UPLOAD, "s", [MESSAGE, f"{CANARY}\nis no line"]),
            office.send("no.such.task", MESSAGE),
            office.send(UPLOAD, "revoked-session", [MESSAGE], task_id="shown-revoked"),
        ]
        for each, reason in zip(sent, ("messages[1]: a line", "its task is unknown: no.such", "revoked"), strict=True):
            office.letter(each.id)
            wait_until(lambda: task(each.id).get("state") == "FAILURE", timeout_seconds=10, what="a FAILURE")  # noqa: B023
            shown = task(each.id)
            assert shown["exception"].startswith(f"Refused: {reason}")
            assert shown["name"] in (UPLOAD, "no.such.task")
        assert "revoked-session" in shown["args"]
        pages = [fetch(path) for each in sent for path in (f"/task/{each.id}", f"/api/task/result/{each.id}")]
        assert CANARY not in "".join([*pages, fetch("/api/tasks"), fetch(f"/worker/{office.worker.node}")])
    finally:
        flower.stop()
