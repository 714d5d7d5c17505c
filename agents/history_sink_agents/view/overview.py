"""What there is to look at: sessions, newest first, and the logs of one session. Pure, but for the list's questions."""

import time
from dataclasses import dataclass

from history_sink import HistorySink, SessionSummary, Status
from history_sink_agents.browse.log import Log, find_log

MOST_SESSIONS = 20_000
_PAGE = 1000
_FIELDS = ("last_write", "branches")
_PATIENCE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Sessions:
    """Sessions, newest first. `is_cut`: there are more than were asked for."""

    found: tuple[SessionSummary, ...]
    is_cut: bool = False


def list_newest(sink: HistorySink, wanted: str = "") -> Sessions:
    """The sessions whose names have `wanted` in them, those written last in front.

    Asks for as many pages as come within some seconds. Raises `Unavailable`.
    """
    found: list[SessionSummary] = []
    after, deadline, seen = "", time.monotonic() + _PATIENCE_SECONDS, 0
    while True:
        page = sink.list_sessions(after, _PAGE, timeout_seconds=_PATIENCE_SECONDS, fields=_FIELDS)
        seen += len(page.sessions)
        found += [each for each in page.sessions if wanted.lower() in each.session.lower()]
        is_enough = seen >= MOST_SESSIONS or time.monotonic() > deadline
        if page.next_after is None or is_enough:
            newest = sorted(found, key=lambda each: (-(each.last_write or 0), each.session))
            return Sessions(tuple(newest), page.next_after is not None)
        after = page.next_after


@dataclass(frozen=True, slots=True)
class ShownLog:
    """One log of a session, for its list of logs. `name`: what people call it; `query`: what chooses it in a link."""

    log: Log
    name: str
    kind: str
    query: dict[str, str]
    is_latest: bool = False


def describe_logs(status: Status) -> list[ShownLog]:
    """The logs of a session: the main one, its branches, its strays.

    A log that is not the one written last is a dead end: the history has gone on elsewhere.
    """
    latest = status.latest
    shown = []
    for each in status.logs:
        is_latest = latest is not None and each.branch == latest.branch
        kind = "main" if each.branch is None else "branch"
        query = {"branch": each.branch} if each.branch else {}
        name = f"branch {each.branch.partition('-')[2][:8]}" if each.branch else "main log"
        shown.append(ShownLog(find_log(status, each.branch), name, kind, query, is_latest))
    for stray in status.strays:
        log = find_log(status, stray=stray.key)
        shown.append(ShownLog(log, f"stray {stray.key.rpartition('~')[2][:8]}", "stray", {"stray": stray.key}))
    return shown
