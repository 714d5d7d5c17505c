"""Sessions as resources: each log is a file of JSON lines, with its size."""

from dataclasses import dataclass

from history_sink import HistorySink, HistorySinkError, NotFound, SessionSummary, Status
from history_sink_agents.sealing.showing import open_for_show

ROOT = "history://sessions/"
_FILE = "/history.jsonl"

MOST_BYTES = 8 * 1024 * 1024
"""Of a log that is read at once; a client holds all of it."""

PAGE_SESSIONS = 100
WAIT_SECONDS = 10.0


class TooLarge(HistorySinkError):
    """A log is too large to be given at once."""


@dataclass(frozen=True, slots=True)
class LogName:
    """Which log a resource is."""

    session: str
    branch: str | None = None

    @property
    def uri(self) -> str:
        """Its URI. The session is no host: clients write hosts in lower case."""
        return f"{ROOT}{self.session}{f'/branches/{self.branch}' if self.branch else ''}{_FILE}"


def read_uri(uri: str) -> LogName:
    """The log of a URI. Raises `NotFound` where it is none of ours."""
    if uri.startswith(ROOT) and uri.endswith(_FILE):
        match uri.removeprefix(ROOT).removesuffix(_FILE).split("/"):
            case [session] if session:
                return LogName(session)
            case [session, "branches", branch] if session and branch:
                return LogName(session, branch)
    raise NotFound(f"a resource is {ROOT}SESSION{_FILE} or {ROOT}SESSION/branches/BRANCH{_FILE}")


def list_logs(sink: HistorySink, after: str) -> tuple[list[tuple[LogName, SessionSummary]], str | None]:
    """A page of logs: each session's main one, and the branch that was written later. Raises `Unavailable`."""
    page = sink.list_sessions(after, PAGE_SESSIONS, WAIT_SECONDS)
    found = []
    for each in page.sessions:
        found.append((LogName(each.session), each))
        if each.later_branch:
            found.append((LogName(each.session, each.later_branch), each))
    return found, page.next_after


def read_log(sink: HistorySink, name: LogName) -> str:
    """The lines of a log, as text; sealed ones opened where the key is here. Bytes that are no UTF-8 become U+FFFD.

    Raises:
        NotFound: The store has no such log.
        TooLarge: It has more than `MOST_BYTES`.
        HistorySinkError: As `HistorySink.read`.
    """
    size_bytes = _measure(sink.status(name.session, WAIT_SECONDS), name)
    if size_bytes > MOST_BYTES:
        raise TooLarge(
            f"{name.uri} has {size_bytes:,} bytes, and at most {MOST_BYTES:,} are given at once;"
            " context_browse writes its turns into files"
        )
    open_line = open_for_show(name.session)
    lines = b"".join(sink.read(name.session, WAIT_SECONDS, name.branch, stored=True)).split(b"\n")[:-1]
    return b"".join(open_line(line).removesuffix(b"\n") + b"\n" for line in lines).decode("utf-8", "replace")


def _measure(status: Status, name: LogName) -> int:
    log = next((log for log in status.logs if log.branch == name.branch), None)
    if log is None:
        raise NotFound(f"{name.uri}: the store has no such log")
    return log.bytes
