"""A task on its way to a Redis queue: the bytes that Celery and kombu would push there, made without their detours.

Those detours cost more than half of a save's processor time: routing by an exchange, declaring a queue that workers
declare anyway, and headers that say nothing. They also held a long body six times; here it is held once. The form is
that of https://docs.celeryq.dev/en/stable/internals/protocol.html, and a test compares it with what Celery pushes.
"""

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from history_sink.protocol.contract import SENT_AT

_EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
"""What a body says of tasks that follow this one."""
_PERSISTENT = 2
_STEP_BYTES = 12 * 1024
"""Three bytes are four letters of base64: what is encoded by itself is a multiple of three."""
_BIN_32_BYTES = 64 * 1024
"""From here on msgpack says a length in four bytes (https://github.com/msgpack/msgpack/blob/master/spec.md)."""


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


def make_headers(message: TaskMessage, now: datetime) -> dict[str, Any]:
    """What a message says beside what Celery says of each task: workers keep its result."""
    return {"ignore_result": False, SENT_AT: now.timestamp(), **message.headers}


@dataclass(frozen=True, slots=True)
class Written:
    """A message as JSON: `body` (as base64) between `head` and `tail`."""

    head: bytes
    body: Sequence[bytes] = field(repr=False)
    tail: bytes

    @property
    def size_bytes(self) -> int:
        return len(self.head) + 4 * -(-sum(map(len, self.body)) // 3) + len(self.tail)

    def parts(self) -> Iterator[bytes]:
        """All of it, never more than 16 KiB of the body at once."""
        yield self.head
        yield from map(b64encode, _in_steps(self.body))
        yield self.tail


_write_json = json.JSONEncoder().encode


def write_message(message: TaskMessage, task_id: str, origin: str, now: datetime) -> Written:
    """What to push to the queue. `origin` is this process as Celery names it."""
    headers = {
        "lang": "py",
        "task": message.task,
        "id": task_id,
        "root_id": task_id,
        "retries": 0,
        "replaced_task_nesting": 0,
        "argsrepr": repr(tuple(message.args)),
        "kwargsrepr": message.described,
        "origin": origin,
        **make_headers(message, now),
    }
    if message.expires_seconds is not None:
        headers["expires"] = (now + timedelta(seconds=message.expires_seconds)).isoformat()
    envelope = {
        "body": "",  # the first: see below
        "content-encoding": "binary",
        "content-type": "application/x-msgpack",
        "headers": headers,
        "properties": {
            "correlation_id": task_id,
            "delivery_mode": _PERSISTENT,
            "delivery_info": {"exchange": "", "routing_key": message.queue},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": task_id,  # unique, which is all that it must be
        },
    }
    head, _, tail = _write_json(envelope).partition('""')
    return Written(f'{head}"'.encode(), tuple(_pack(message.args, message.kwargs)), f'"{tail}'.encode())


def _pack(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[bytes]:
    """A task's body as kombu's serializer writes it, but what is long in `kwargs` is not copied."""
    from msgpack import Packer  # type: ignore[import-untyped]

    packer = Packer(use_bin_type=True, autoreset=False)
    packer.pack_array_header(3)
    packer.pack(args)
    packer.pack_map_header(len(kwargs))
    for name, value in kwargs.items():
        packer.pack(name)
        if isinstance(value, bytes) and len(value) >= _BIN_32_BYTES:
            yield packer.bytes() + b"\xc6" + len(value).to_bytes(4, "big")
            yield value
            packer.reset()
        else:
            packer.pack(value)
    packer.pack(_EMBED)
    yield packer.bytes()


def _in_steps(parts: Iterable[bytes]) -> Iterator[bytearray]:
    """The same bytes, `_STEP_BYTES` at a time."""
    held = bytearray()
    for part in parts:
        for start in range(0, len(part), _STEP_BYTES):
            held += part[start : start + _STEP_BYTES]
            if len(held) >= _STEP_BYTES:
                yield held[:_STEP_BYTES]
                del held[:_STEP_BYTES]
    if held:
        yield held
