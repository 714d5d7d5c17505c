"""Which messages may be given to Celery at all.

It trusts what is in a message. A `shadow` that is a list, say, raises in a callback of its pool, where nobody sees it:
the task never runs, is never acknowledged, and its place in the pool is lost until the worker ends. So each field
that Celery, or its pool, makes use of is looked at first.
"""

from collections.abc import Callable, Mapping
from typing import Any

from history_sink_worker.intake import whole_history

Check = Callable[[Any], bool]

MESSAGE_BYTES = 128 * 1024 * 1024
"""The longest body that is decoded, which may take twenty times its size in memory. RabbitMQ takes none that is longer
(`max_message_size`); Redis's own limit is four times that."""


def find_fault(message: Any, is_memory_shared: bool = False) -> str | None:
    """Why `message` can be no task; None if it may be one. This decodes the message, which remembers that.

    `is_memory_shared`: its task will run in this process.
    """
    try:
        if len(message.body or b"") > MESSAGE_BYTES:
            return f"its body of {len(message.body)} bytes is over the limit of {MESSAGE_BYTES}"
        if is_memory_shared:
            whole_history.take_in(message)
        payload = message.payload
    except Exception as error:  # noqa: BLE001  # whatever a decoder may raise
        return describe_undecodable(error)
    headers = message.headers
    if not isinstance(message.delivery_info, dict) or not isinstance(message.properties, dict):
        return "its properties are none"
    if isinstance(payload, dict):  # protocol 1, or what calls itself so
        return _find_odd(headers, _HEADERS, "headers") or _find_fault_in_body(payload)
    if not all(isinstance(headers.get(name), str) for name in ("task", "id")):
        return "its headers name no task and id"
    parts = payload if isinstance(payload, (list, tuple)) and len(payload) == 3 else (None, None, None)
    args, kwargs, embed = parts
    if not isinstance(args, (list, tuple)) or not isinstance(kwargs, dict) or not isinstance(embed, (dict, type(None))):
        return "its body is not [args, kwargs, embed]"
    return _find_odd(headers, _HEADERS, "headers") or _find_odd(embed or {}, _EMBED, "embed")


def describe_undecodable(error: Exception) -> str:
    """What may be said of a decoder's error: its text may quote the body."""
    return f"its body cannot be decoded: {type(error).__name__}"


def _find_fault_in_body(payload: Mapping[Any, Any]) -> str | None:
    if not all(isinstance(payload.get(name), str) for name in ("task", "id")):
        return "its body is no task"
    if not isinstance(payload.get("args"), (list, tuple)) or not isinstance(payload.get("kwargs"), dict):
        return "its body is no task"
    return _find_odd(payload, {**_HEADERS, **_EMBED}, "body")


def _find_odd(fields: Mapping[Any, Any], checks: Mapping[str, Check], where: str) -> str | None:
    for name, is_sound in checks.items():
        value = fields.get(name)
        if value is not None and not is_sound(value):
            return f"{name} in its {where} is a {type(value).__name__} that cannot be used"
    return None


def _is(kind: type) -> Check:
    return lambda value: isinstance(value, kind)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**31


def _is_time_limit(value: object) -> bool:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return False
    return all(limit is None or (type(limit) in (int, float) and 0 < limit < 1e9) for limit in value)


def _are_texts(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value)


def _are_signatures(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(map(_is_signature, value))


def _is_signature(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("task"), str)


_TEXTS = ("id", "task", "shadow", "root_id", "parent_id", "group", "lang", "origin", "eta", "expires")
_HEADERS: dict[str, Check] = {
    **dict.fromkeys(_TEXTS, _is(str)),
    "retries": _is_count,
    "group_index": _is_count,
    "replaced_task_nesting": _is_count,
    "timelimit": _is_time_limit,
    "ignore_result": _is(bool),
    "stamped_headers": _are_texts,
    "stamps": _is(dict),
}
_EMBED: dict[str, Check] = {
    "callbacks": _are_signatures,
    "errbacks": _are_signatures,
    "chain": _are_signatures,
    "chord": _is_signature,
}
