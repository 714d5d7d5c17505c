"""A contestant: the thirty lines that anyone would write, on stock settings of Celery and boto3."""

import json
from typing import Any

import boto3
from celery import Celery

app = Celery("bench.naive")  # CELERY_BROKER_URL, CELERY_RESULT_BACKEND
store = boto3.client("s3")  # AWS_ENDPOINT_URL and the others of AWS
BUCKET = "naive"


@app.task(name="naive.upload_history")
def upload_history(session_id: str, messages: list[dict[str, Any]]) -> None:
    """Write the session's whole history."""
    body = "".join(json.dumps(message) + "\n" for message in messages)
    store.put_object(Bucket=BUCKET, Key=f"{session_id}.jsonl", Body=body.encode())


def save(producer: Celery, session_id: str, messages: list[dict[str, Any]]) -> str:
    """What the agent calls after each message; the task's id. `producer` is this app, in the agent's process."""
    return str(producer.send_task(upload_history.name, (session_id, messages)).id)
