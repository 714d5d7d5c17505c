"""A task on its way to a Redis queue: the bytes that Celery and kombu would push there, made without their detours.

Celery's own function makes headers and body, and kombu's serializers write them. What lies between, routing by an
exchange and declaring a queue that workers declare anyway, cost more than half of a save's processor time.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from history_sink.protocol.contract import SENT_AT

if TYPE_CHECKING:
    from celery import Celery

_SAYS_NOTHING: tuple[Any, ...] = (None, {}, (None, None), [None, None])
_PERSISTENT = 2


@dataclass(frozen=True, slots=True)
class TaskMessage:
    """One task. `described` stands for `kwargs` in events; `expires_seconds` counts from now by the broker's clock."""

    task: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any] = field(repr=False)  # a repr ends up in somebody's log
    queue: str
    described: str = "{}"
    expires_seconds: float | None = None
    headers: Mapping[str, Any] = field(default_factory=dict)
    tenant: str | None = None


def make_headers(app: "Celery", message: TaskMessage) -> dict[str, Any]:
    """What a message says beside what Celery says of each task: workers keep its result."""
    return {"ignore_result": False, SENT_AT: app.now().timestamp(), **message.headers}


def write_message(app: "Celery", message: TaskMessage, task_id: str, origin: str) -> bytes:
    """What to push to the queue. `origin` is this process as Celery names it."""
    from kombu.serialization import dumps
    from kombu.utils.json import dumps as dumps_json

    made = app.amqp.as_task_v2(
        task_id,
        message.task,
        tuple(message.args),
        dict(message.kwargs),
        argsrepr=repr(tuple(message.args)),
        kwargsrepr=message.described,
        expires=message.expires_seconds,
        origin=origin,
    )
    body: Any  # bytes, and not a text as kombu's types say
    content_type, content_encoding, body = dumps(made.body, serializer="msgpack")
    # Half a kilobyte of headers would say nothing: workers read them by `get`.
    headers = {name: value for name, value in made.headers.items() if value not in _SAYS_NOTHING}
    envelope = {
        "body": b64encode(body).decode(),
        "content-encoding": content_encoding,
        "content-type": content_type,
        "headers": {**headers, **make_headers(app, message)},
        "properties": {
            "correlation_id": task_id,
            "delivery_mode": _PERSISTENT,
            "delivery_info": {"exchange": "", "routing_key": message.queue},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": task_id,  # unique, which is all that it must be
        },
    }
    text: str = dumps_json(envelope)
    return text.encode()
