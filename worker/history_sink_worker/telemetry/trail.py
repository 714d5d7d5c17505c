"""Which requests to the store one task has made: their ids, by which the store's own log finds them."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from history_sink_worker import log
from history_sink_worker.telemetry.metrics import note_store_request

MOST_SHOWN = 5
_ID = re.compile(r"[A-Za-z0-9+/=_.:-]{1,128}", re.ASCII)
_NAME = "history_sink_worker"
_log = log.get(_NAME)
_trail: ContextVar[list[str] | None] = ContextVar("trail", default=None)


@contextmanager
def follow() -> Iterator[list[str]]:
    """The requests of the block, in this thread, as ``PutObject 200 <request id>``."""
    requests: list[str] = []
    token = _trail.set(requests)
    try:
        yield requests
    finally:
        _trail.reset(token)


def made() -> tuple[str, ...]:
    """The requests of this thread's task so far."""
    return tuple(_trail.get() or ())


def adopt(requests: tuple[str, ...]) -> None:
    """Note requests that another thread made for this thread's task, too. A thread's own requests are noted already."""
    trail = _trail.get()
    if trail is not None and not trail:
        trail.extend(requests)


def show(requests: list[str]) -> dict[str, object]:
    """Their number and the last few, for a line of the log."""
    return {"store_requests": len(requests), "store": requests[-MOST_SHOWN:]} if requests else {}


def note_request(operation: str, code: str, seconds: float, request_id: str, path: str) -> None:
    """The store has answered with `code`, or has not. `path` is bucket and key."""
    note_store_request(operation, code, seconds)
    shown_id = request_id if _ID.fullmatch(request_id) else "-"  # a store may answer with anything
    trail = _trail.get()
    if trail is not None:
        trail.append(f"{operation} {code} {shown_id}")
    if logging.getLogger(_NAME).isEnabledFor(logging.DEBUG):  # structlog would make the line first, and ask then
        _log.debug(
            "store answered", operation=operation, code=code, request_id=shown_id, path=path, seconds=round(seconds, 4)
        )
