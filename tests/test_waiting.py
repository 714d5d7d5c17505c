"""What only somebody else can put right is tried again, calmly, until it is put right; nothing is lost meanwhile."""

from pathlib import Path
from typing import Any

from celery.result import AsyncResult

from history_sink import Fault, HistorySink
from history_sink.protocol.chain import START
from history_sink.protocol.upload import Upload
from office import UPLOAD, UPLOADS, Office
from stack.minio import MinioServer
from stack.processes import wait_until
from stack.redis import RedisServer

BASE = "history/s/history.jsonl"
MESSAGES = [{"n": number} for number in range(3)]


def test_a_base_that_another_program_has_overwritten_and_a_payload_of_a_newer_library_wait(
    minio_server: MinioServer, redis_server: RedisServer, tmp_path: Path
) -> None:
    office = Office(minio_server, redis_server.new_database(), tmp_path, "threads")
    office.worker.start()
    newer = office.make_worker("--include", "newer_library", name="newer")
    payload = {**Upload(None, START, (b'{"n":0}\n',)).encode(), "v": 3}
    try:
        with HistorySink(broker_url=office.url) as sink:
            sink.save("s", MESSAGES[:2])
            assert sink.flush("s", 20)
            pointer = sink.pointer("s")
            right, meta = office.stored("s"), office.store.head_object(Bucket=office.bucket, Key=BASE)["Metadata"]
            office.store.put_object(Bucket=office.bucket, Key=BASE, Body=b"{}\n", Metadata=meta)
            forget_hints(office)
            answer = sink.resolve(pointer)
            assert isinstance(answer, Fault)
            assert answer.kind == "backend_error"
            assert "overwritten by a foreign writer" in str(answer.reason)

            (task_id,) = sink.save("s", MESSAGES).task_ids
            saved: AsyncResult[Any] = AsyncResult(task_id, app=office.app)
            sent = office.send(UPLOAD, "newer", None, kwargs=payload, serializer="msgpack")
            for waiting in (saved, sent):
                expect(waiting, "RETRY")
            assert "overwritten by a foreign writer" in str(saved.result)
            assert "payload version 3" in str(sent.result)
            office.worker.stop()
            assert office.redis.llen(UPLOADS) == 2
            assert office.stored("s") == b"{}\n"

            office.store.put_object(Bucket=office.bucket, Key=BASE, Body=right, Metadata=meta)
            newer.start()
            assert sink.flush("s", 60)
            assert b"".join(sink.read("s")) == b"".join(b'{"n":%d}\n' % number for number in range(3))
        assert sent.get(timeout=60)["outcome"] == "stored"
        assert not office.letter_keys()
    finally:
        office.worker.process.kill()
        newer.process.kill()


def expect(waiting: AsyncResult[Any], state: str) -> None:
    wait_until(lambda: bool(waiting.state == state), timeout_seconds=10, what=state)


def forget_hints(office: Office) -> None:
    """With them a save would not look at the base."""
    for key in office.redis.scan_iter("history-sink:*:hint:*"):
        office.redis.delete(key)
