"""Which sessions nobody has written to for long enough."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from kombu import Connection

from history_sink.protocol.contract import UPLOAD_QUEUE
from history_sink.protocol.tenants import queue_for
from history_sink_worker.archive.tombstone import find_tombstone
from history_sink_worker.life.inventory import Folder, list_folders
from history_sink_worker.service.service import Service
from history_sink_worker.telemetry.backlog import look_at_other

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)


def parse_duration(text: str) -> float:
    """Seconds of ``90d``, ``12h``, ``30m``, ``45s`` or ``2w``. Raises ValueError."""
    found = _DURATION.fullmatch(text.strip())
    if not found:
        raise ValueError("a whole number and s, m, h, d or w, such as 90d or 12h")
    return int(found[1]) * _SECONDS[found[2]]


def show_time(at: float) -> str:
    """Unix seconds as a date and time, UTC."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%SZ}"


def find_old(work: Service, written_before: float) -> Iterator[Folder]:
    """Sessions of which no object was written at `written_before` (Unix seconds) or later; none that was deleted.

    A fold writes the base anew, and so makes a session younger. Raises `StoreError`.
    """
    for folder in list_folders(work):
        if is_old(folder, written_before) and not is_deleted(work, folder):
            yield folder


def is_old(folder: Folder, written_before: float) -> bool:
    """Whether it is a session's, with something in it, and all that was written before then."""
    return bool(folder.session and folder.objects) and folder.last_write < written_before


def is_deleted(work: Service, folder: Folder) -> bool:
    """Whether the session has a tombstone. Raises `StoreError`."""
    return folder.may_be_deleted and work.run(find_tombstone(work.settings.prefix, folder.session)) is not None


def count_waiting(broker_url: str, tenant: str | None = None) -> int:
    """How many uploads wait in the queue. Raises what kombu's transport raises."""
    with Connection(broker_url, connect_timeout=5) as connection:
        found = look_at_other(connection, [queue_for(UPLOAD_QUEUE, tenant)])
    return sum(backlog.messages for backlog in found.values())
