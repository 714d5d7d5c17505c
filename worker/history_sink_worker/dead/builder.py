"""What is left of a message that can never succeed, as a dead letter: made of what a worker received, or of what lies
parked in Redis. Nothing in it is trusted. Pure.
"""

import base64
import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from kombu.utils.json import dumps, loads

from history_sink.protocol.contract import QUEUE_OF_TASK, UPLOAD_QUEUE
from history_sink_worker.dead.letter_format import (
    Form,
    Letter,
    count_attempts,
    guess_session,
    read_first_tried,
    safe_id,
    show_task,
)

_PRINTABLE = re.compile(r"[!-~]{1,200}")
_CLAIM_END = re.compile(rb',"",("[^"\\]{1,200}")\]\Z')
"""What our transport puts behind a message that it records: the message may be any bytes, and end like this itself."""


def letter_of(
    message: Any, reason: str, *, queues: Collection[str], received: float, now: float, session: str | None = None
) -> Letter:
    """Of a message of kombu's, `received` (Unix seconds) by a worker that takes `queues`."""
    said = _said(message)
    task = show_task(said.get("task"))
    retries, abandoned = count_attempts(message.headers)
    form, body = _body_of(message)
    return Letter(
        task_id=_show_id(said.get("id")),
        task=task,
        session=session or guess_session(message.headers),
        reason=reason,
        attempts=retries + abandoned + 1,
        first=read_first_tried(message.headers, received),
        last=now,
        queue=_queue_of(message.delivery_info, task, queues),
        body=body,
        size_bytes=len(body),
        form=form,
        content_type=_writable(message.content_type),
        content_encoding=_writable(message.content_encoding),
        headers=_writable(message.headers),
        properties=_writable({**message.properties, "delivery_info": message.delivery_info}),
    )


def letter_of_record(
    record: bytes, queue: str, now: float, queues: Collection[str] = frozenset(QUEUE_OF_TASK.values())
) -> Letter:
    """Of a record that a worker has parked in Redis: kombu's JSON of a message, of a claim, or anything else.

    Whose list it lay in is known by `queue`; "": it is a claim, which says that itself, by a name among `queues`.
    """
    envelope = _open(record)
    queue = queue or _queue_of_claim(record, queues)
    headers, properties = envelope.get("headers"), envelope.get("properties")
    said = headers if isinstance(headers, Mapping) else {}
    retries, abandoned = count_attempts(headers)
    form, body = _body_of_record(record, envelope)
    reason = f"abandoned {abandoned} times: its task took the worker down, or went on for too long"
    return Letter(
        task_id=_show_id(said.get("id")),
        task=show_task(said.get("task")),
        session=guess_session(headers),
        reason=reason if abandoned else "its envelope cannot be read",
        attempts=retries + abandoned,
        first=read_first_tried(headers, now),
        last=now,
        queue=queue,
        body=body,
        size_bytes=len(body),
        form=form,
        content_type=_writable(envelope.get("content-type")),
        content_encoding=_writable(envelope.get("content-encoding")),
        headers=_writable(headers),
        properties=_writable(properties),
    )


def _said(message: Any) -> Mapping[str, Any]:
    # Protocol 1 names task and id in its body; kombu keeps what has been decoded.
    if isinstance(message.headers, Mapping) and "task" in message.headers:
        return message.headers
    decoded = getattr(message, "_decoded_cache", None)
    return decoded if isinstance(decoded, Mapping) else {}


def _show_id(value: object) -> str:
    if not isinstance(value, str) or not value:
        return ""
    return value if _PRINTABLE.fullmatch(value) else safe_id(value)


def _queue_of(delivery_info: object, task: str, queues: Collection[str]) -> str:
    # On Redis the routing key is whatever the sender has written there: a replay must not write to any key.
    key = delivery_info.get("routing_key") if isinstance(delivery_info, Mapping) else None
    return key if isinstance(key, str) and key in queues else QUEUE_OF_TASK.get(task, UPLOAD_QUEUE)


def _body_of(message: Any) -> tuple[Form, bytes]:
    body = message.body
    if isinstance(body, str):
        return "message", body.encode("utf-8", "surrogatepass")
    if isinstance(body, (bytes, bytearray, memoryview)):
        return "message", bytes(body)
    envelope = {
        "body": body,
        "content-type": message.content_type,
        "content-encoding": message.content_encoding,
        "headers": message.headers,
        "properties": message.properties,
    }
    return "raw", dumps(envelope).encode("ascii")


def _queue_of_claim(record: bytes, queues: Collection[str]) -> str:
    found = _CLAIM_END.search(record)
    try:
        key = json.loads(found[1]) if found else loads(record)[2]  # as kombu's stock transport writes it
    except Exception:  # noqa: BLE001  # as below
        key = None
    return _queue_of({"routing_key": key}, "", queues)


def _open(record: bytes) -> dict[str, Any]:
    try:
        envelope = loads(record)
    except Exception:  # noqa: BLE001  # kombu's JSON makes objects of what it reads: anything may go wrong
        return {}
    if isinstance(envelope, list) and len(envelope) == 3 and isinstance(envelope[0], dict):  # a claim
        envelope = envelope[0]
    return envelope if isinstance(envelope, dict) else {}


def _body_of_record(record: bytes, envelope: dict[str, Any]) -> tuple[Form, bytes]:
    headers, properties, body = (envelope.get(name) for name in ("headers", "properties", "body"))
    if not isinstance(body, str) or not isinstance(properties, dict) or not isinstance(headers, (dict, type(None))):
        return "raw", record
    if properties.get("body_encoding") != "base64":
        return "message", body.encode("utf-8", "surrogatepass")
    try:
        return "message", base64.b64decode(body)
    except ValueError:
        return "raw", record


def _writable(value: Any) -> Any:
    """`value`, or a text of it, if a letter that holds it could not be written, or not be read again."""
    try:
        loads(dumps(value))
    except Exception:  # noqa: BLE001  # the same
        return {"unreadable": json.dumps(value, default=repr, skipkeys=True) if _is_shallow(value) else None}
    return value


def _is_shallow(value: Any, depth: int = 50) -> bool:
    if depth == 0:
        return False
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return all(_is_shallow(each, depth - 1) for each in inner)
