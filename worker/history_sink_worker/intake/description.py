"""What may be said of a task: never a byte of a message.

A description is a dict of session, sizes and positions, for Flower's list, `inspect` and the log. It is made of
what anybody put on the queue, so it never trusts a value: only what has the shape of an id or a number is shown.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from history_sink.errors import Malformed
from history_sink.protocol.contract import (
    COMPACT,
    LIST_SESSIONS,
    RECALL,
    RESOLVE,
    STATUS,
    UPLOAD,
    check_branch,
    check_session,
)
from history_sink.protocol.pointer import NOWHERE
from history_sink_worker.intake.privacy import Bytes
from history_sink_worker.intake.whole_history import WholeHistory

Description = dict[str, Any]

ASKED_FOR_AN_ANSWER: Description = {"asked": "whether a worker answers"}
"""The description of a question whose answer is known: `history-sink check` asks it."""

_FLAGS = ("idle", "everything")
_KEY = re.compile(r"[A-Za-z0-9._~/-]{1,1024}\.jsonl")
_SHOWN_CHARACTERS = 300


def describe(task: str, args: object, kwargs: object) -> Description:
    """Say what a call of `task` is about. Never raises; what is not as it should be is told by its type."""
    given = args if isinstance(args, (list, tuple)) else ()
    named = kwargs if isinstance(kwargs, Mapping) else {}
    if task == UPLOAD:
        return {**_session(given, named), **_upload(given, named)}
    if task == COMPACT:
        flags = {name: True for name in _FLAGS if named.get(name) is True}
        return {**_session(given, named), **_branch(_argument(given, named, 1, "branch")), **flags}
    if task == STATUS:
        junctions = _argument(given, named, 1, "junctions")
        return {**_session(given, named), "junctions": len(junctions) if isinstance(junctions, (list, tuple)) else 0}
    if task == RESOLVE:
        return _handle(_argument(given, named, 0, "handle"))
    if task == LIST_SESSIONS:
        return {"after": _show_session(_argument(given, named, 0, "after") or "")}
    if task == RECALL:
        return _question(named)
    return {"arguments": len(given) + len(named)}


def describe_result(result: object) -> Description:
    """Say how a task ended, from what it returned."""
    if not isinstance(result, Mapping):
        return {"outcome": "done", **({"bytes": result.size_bytes} if isinstance(result, Bytes) else {})}
    if "kind" in result:  # a fault
        return {"outcome": result["kind"], **({"reason": result["reason"]} if "reason" in result else {})}
    shown = ("outcome", "branch", "messages", "bytes", "key", "folded_bytes", "swept", "left", "pending")
    counts = {name: len(result[name]) for name in ("logs", "strays", "sessions") if name in result}
    return {"outcome": "done", **{name: result[name] for name in shown if name in result}, **counts}


def show(text: str) -> str:
    """A text of ours, short enough for a list."""
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _argument(args: Sequence[Any], kwargs: Mapping[str, Any], index: int, name: str) -> Any:
    return args[index] if len(args) > index else kwargs.get(name)


def _session(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Description:
    return {"session": _show_session(_argument(args, kwargs, 0, "session_id"))}


def _question(kwargs: Mapping[str, Any]) -> Description:
    """Where is asked, and how long the question is: its words are content."""
    query, session, limit = kwargs.get("query"), kwargs.get("session"), kwargs.get("limit")
    shown: Description = {"characters": len(query)} if isinstance(query, str) else {}
    if session is not None:
        shown["session"] = _show_session(session)
    return {**shown, **_branch(kwargs.get("branch")), **({"limit": limit} if type(limit) is int else {})}


def _show_session(value: object) -> str:
    try:
        return check_session(value)
    except Malformed:  # its text would quote the value, which may be a message in the wrong place
        return "" if value == "" else f"<{type(value).__name__}>"


def _branch(value: object) -> Description:
    try:
        branch = check_branch(value)
    except Malformed:
        branch = f"<{type(value).__name__}>"
    return {} if branch is None else {"branch": branch}


def _upload(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Description:
    messages = _argument(args, kwargs, 1, "messages")
    if messages is not None:
        return {"messages": len(messages)} if isinstance(messages, (list, tuple, WholeHistory)) else {}
    numbers = {name: kwargs.get(name) for name in ("first_message", "offset", "position", "size_bytes")}
    shown = {"messages": _count_lines(kwargs), "bytes": numbers.pop("size_bytes"), **numbers}
    known = {name: value for name, value in shown.items() if type(value) is int}
    return {**_branch(kwargs.get("branch")), **known}


def _count_lines(kwargs: Mapping[str, Any]) -> int | None:
    """How many lines a payload of the library holds; None for one that is packed.

    This runs in the worker's event loop, too: to unpack 244 KB there keeps all else waiting for 4 ms. The task
    unpacks its payload once; its outcome has the number.
    """
    lines = kwargs.get("lines")
    return lines.count(b"\n") if isinstance(lines, bytes) and kwargs.get("encoding") != "zlib" else None


def _handle(value: object) -> Description:
    fields = value if isinstance(value, Mapping) else {}
    key, wanted = fields.get("key"), fields.get("byte_range")
    if (fields.get("bucket"), key) == (NOWHERE.bucket, NOWHERE.key):
        return dict(ASKED_FOR_AN_ANSWER)
    known = isinstance(key, str) and _KEY.fullmatch(key)
    shown: Description = {"key": key if known else f"<{type(key).__name__}>"}
    if isinstance(wanted, (list, tuple)) and len(wanted) == 2 and all(type(number) is int for number in wanted):
        shown["byte_range"] = list(wanted)
    return shown
