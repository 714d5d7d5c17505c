"""A line for each thing that happens, short enough to read a story in."""

import re
from typing import Any

from history_sink.protocol.contract import UPLOAD
from history_sink.protocol.status import Status
from history_sink_worker.archive.compaction import Compacted
from history_sink_worker.archive.verdict import Verdict
from history_sink_worker.store import Blob, Complete, Copy, Delete, Get, Info, List, Page, PastEnd, Put, Reply, Request

from .promises import PREFIX, SESSION, upload_of
from .queue import Message

_CHAIN = re.compile(r"\b([0-9a-f]{4})[0-9a-f]{12}\b")
_OFFSET = re.compile(r"\b0{6,9}(\d{3,6})\b")


def shorten_names(text: str) -> str:
    """Keys without what they all have in common, chains by their first digits."""
    return _OFFSET.sub(r"\1", _CHAIN.sub(r"\1", text.replace(f"{PREFIX}{SESSION}/", "")))


def describe_message(message: Message) -> str:
    kind = message.task.removeprefix("history_sink.")
    if message.task != UPLOAD:
        return f"{message.name} {kind} {message.kwargs.get('branch') or ''}".rstrip()
    upload = upload_of(message)
    start, size = upload.start.offset, upload.size_bytes
    where = f"branch {upload.branch}" if upload.branch else "main"
    return f"{message.name} {len(upload.lines)} lines [{start}, {start + size}) of {where}"


def describe_request(request: Request) -> str:
    verb = type(request).__name__.upper()
    match request:
        case List():
            return f"LIST behind {request.after!r}" if request.after else "LIST"
        case Delete():
            return f"DELETE {' '.join(request.keys)}"
        case Get() if (request.start, request.end) != (0, None):
            return f"GET {request.key} [{request.start}, {request.end})"
        case Put(if_match=str()):
            return f"PUT {request.key} if-match"
        case _:
            return f"{verb} {request.key}"


def describe_reply(request: Request, reply: Reply) -> str:
    match reply:
        case Page():
            names = " ".join([*(entry.key for entry in reply.entries), *reply.folders])
            return (names or "nothing") + (" ..." if reply.next_after else "")
        case Blob():
            return f"{len(reply.body)} bytes"
        case Info():
            return f"{reply.size_bytes} bytes"
        case PastEnd():
            return "past the end"
        case None:
            return {Put: "412", Copy: "412", Complete: "412", Delete: "gone"}.get(type(request), "404")
        case _:
            return "written"


def describe_result(result: Any) -> str:
    match result:
        case Verdict():
            return f"{result.outcome} {result.key}"
        case Status():
            logs = [f"{log.branch or 'main'} {log.bytes} bytes, {log.common} common" for log in result.logs]
            return "; ".join([*logs, f"{len(result.strays)} strays, {result.pending} pending"])
        case Compacted():
            return f"folded {result.folded_bytes} bytes, swept {result.swept}"
        case bytes():
            return f"{len(result)} bytes"
        case _:
            return str(result.kind)
