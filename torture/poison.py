"""Messages that can never succeed, as clients of all kinds may send them; their ids are ``poison:<kind>:<number>``."""

import zlib
from collections.abc import Mapping
from typing import Any

import redis
from kombu import Connection
from kombu.exceptions import OperationalError
from kombu.serialization import dumps

from history_sink.protocol.contract import UPLOAD, UPLOAD_QUEUE

_ORIGIN = "0" * 64
_LINE = b'{"role":"user","content":[]}\n'


def _lines(**changes: Any) -> dict[str, Any]:
    sound = {"v": 1, "branch": None, "first_message": 0, "offset": 0, "chain": _ORIGIN, "encoding": "none"}
    return {**sound, "size_bytes": len(_LINE), "lines": _LINE, **changes}


def plant(url: str, task_id: str, only_children: bool) -> None:
    """Put one message on the queue of uploads. Raises what kombu and redis-py do; then it may be there even so."""
    poison = task_id.split(":")[1]
    if poison == "raw" and url.startswith("amqp"):
        _publish(url, UPLOAD_QUEUE, f"{task_id}: no message at all", content_type="text/plain")
    elif poison == "raw":
        with redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1) as client:
            client.lpush(UPLOAD_QUEUE, f"{task_id}: no message at all")
    elif poison == "undecodable":
        publish(url, UPLOAD_QUEUE, UPLOAD, task_id, b"\xc1 is never used in msgpack")
    elif poison == "unknown-task":
        publish(url, UPLOAD_QUEUE, "history_sink.no_such_task", task_id, ((), {}))
    elif poison == "killer":
        publish(url, UPLOAD_QUEUE, "torture.kill", task_id, ((), {"only_children": only_children}))
    elif poison == "impossible":
        publish(url, UPLOAD_QUEUE, UPLOAD, task_id, ((poison, None), _lines(offset=-5)))
    elif poison == "bomb":
        bomb = zlib.compress(bytes(10**7))
        publish(url, UPLOAD_QUEUE, UPLOAD, task_id, ((poison, None), _lines(encoding="zlib", lines=bomb)))
    elif poison == "no-object":
        publish(url, UPLOAD_QUEUE, UPLOAD, task_id, ((poison, [{"role": "user"}, "no\nline"]), {}))
    elif poison == "expired":
        expired = {"expires": "2020-01-01T00:00:00+00:00"}
        publish(url, UPLOAD_QUEUE, UPLOAD, task_id, ((poison, None), _lines()), expired)
    else:
        raise ValueError(poison)


def publish(url: str, queue: str, task: str, task_id: str, body: Any, headers: Mapping[str, Any] | None = None) -> None:
    """A message by Celery's second protocol: `body` is (args, kwargs), or bytes as they are."""
    known = {"lang": "py", "task": task, "id": task_id, "root_id": task_id, "retries": 0, **(headers or {})}
    if not isinstance(body, bytes):
        embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
        _, _, body = dumps((*body, embed), serializer="msgpack")
    _publish(
        url,
        queue,
        body,
        headers=known,
        correlation_id=task_id,
        content_type="application/x-msgpack",
        content_encoding="binary",
    )


def _publish(url: str, queue: str, body: object, **properties: Any) -> None:
    if url.startswith("amqp"):
        options = {"confirm_publish": True, "read_timeout": 1, "write_timeout": 1, "max_retries": 0}
    else:
        options = {"socket_timeout": 1, "socket_connect_timeout": 1, "max_retries": 0}
    with Connection(url, connect_timeout=1, transport_options=options) as connection:
        try:
            connection.Producer(auto_declare=False).publish(body, routing_key=queue, **properties)
        except connection.connection_errors as error:  # amqp's are not kombu's
            raise OperationalError(str(error)) from error
