"""A contestant: what the queue alone costs, and what the store alone costs.

The queue: a Celery task that does nothing, on stock settings. The same with what the archive's tasks have (a result
kept for whoever looks, events for Flower, acknowledged late) is `served`, and shown beside it. The store: boto3, set
as the archive's is, with as many threads.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from celery import Celery

from bench.threads import run_all
from history_sink.protocol.upload import Upload
from stack.minio import MinioServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

app = Celery("bench.floor")  # CELERY_BROKER_URL, CELERY_RESULT_BACKEND
app.conf.update(accept_content=["json", "msgpack"], task_serializer="msgpack")


@app.task(name="floor.nothing", ignore_result=True)
def nothing(session_id: str, messages: None, **payload: Any) -> None:
    """Take the payload of a save, and do nothing with it."""


@app.task(name="floor.served", acks_late=True)
def served(session_id: str, messages: None, **payload: Any) -> dict[str, Any]:
    """The same, with late acknowledgement and a result like the archive's."""
    return {"outcome": "stored", "session": session_id, "branch": None, "messages": 1, "bytes": 3000, "attempts": 1}


@app.task(name="floor.answer")
def answer(size_bytes: int) -> bytes:
    """As many bytes, as a result that somebody waits for."""
    return bytes(size_bytes)


def ask(producer: Celery, size_bytes: int) -> None:
    """A round trip that does nothing: `answer`, awaited and forgotten."""
    result = producer.send_task(answer.name, (size_bytes,))
    got = result.get(timeout=60)
    assert len(got) == size_bytes
    result.forget()


def connect_producer(url: str) -> Celery:
    """An app that only sends: stock, but for the archive's serializer."""
    producer = Celery("bench", broker=url, backend=url, set_as_current=False)
    producer.conf.task_serializer = "msgpack"
    return producer


def send(producer: Celery, task: Any, session_id: str, upload: Upload) -> str:
    """Queue `nothing` or `served` with the payload of a save; its id."""
    options = {"ignore_result": task.ignore_result}
    return str(producer.send_task(task.name, (session_id, None), upload.encode(), **options).id)


def raw_client(minio: MinioServer, threads: int, port: int | None = None) -> "S3Client":
    """boto3, set as the archive's own is; through `port`, if one is given."""
    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port or minio.port}",
        aws_access_key_id=minio.access_key,
        aws_secret_access_key=minio.secret_key,
        region_name="us-east-1",
        config=Config(
            max_pool_connections=threads,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            parameter_validation=False,
            s3={"addressing_style": "path"},
        ),
    )


def put_all(
    client: "S3Client", bucket: str, prefix: str, bodies: Sequence[bytes], threads: int, seconds: float
) -> tuple[int, float]:
    """PUT one body after the other, under a name of its own if there is none of that name; how many, in what time."""

    def put(index: int) -> None:
        body: Any = bytearray(bodies[index % len(bodies)])  # bytes would wait for `100 Continue`
        client.put_object(Bucket=bucket, Key=f"{prefix}{index:06}", Body=body, IfNoneMatch="*")

    return run_all(put, threads, seconds)
