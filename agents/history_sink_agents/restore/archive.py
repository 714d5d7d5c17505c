"""What a restore asks of the archive: a session's manifest, its logs, and how they begin."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from history_sink import Fault, Faulted, HistorySink, LogEnd, LogStatus, Mismatch, PointerHandle
from history_sink_agents.formats import FORMATS
from history_sink_agents.formats.manifest import Entry, read_lines
from history_sink_agents.formats.names import name_manifest
from history_sink_agents.restore.errors import Absent
from history_sink_agents.sealing.reading import split
from history_sink_agents.sealing.showing import open_to_give_back

_FIRST_LINE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Choice:
    """Which log of a session is meant where it has several: `branch`, else the main one, else the last written."""

    branch: str | None = None
    is_main: bool = False


class Archive(Protocol):
    """What planning needs."""

    def read_manifest(self, session: str) -> list[Entry]: ...

    def find_log(self, session: str) -> tuple[LogStatus, int] | None: ...

    def read_first_line(self, session: str, log: LogStatus) -> bytes: ...


class SinkArchive:
    """An archive behind a sink."""

    def __init__(self, sink: HistorySink, choice: Choice, timeout_seconds: float) -> None:
        self.sink = sink
        self._choice = choice
        self._timeout_seconds = timeout_seconds
        self._has_branch = choice.branch is None

    def read_manifest(self, session: str) -> list[Entry]:
        """The entries of the session that `session` is, or is a part of. Raises `Absent`, and what `read` raises."""
        entries = read_manifest(self.sink, session, self._timeout_seconds)
        if not entries:
            if other := self._find_writer(session):
                raise Absent(f"the archive has this session of {other}, and none of {session}: --into {other}")
            raise Absent(
                f"the archive has no manifest {name_manifest(session)}: {session} was not archived by `history-sink"
                " watch`; `history-sink restore SESSION FILE` writes any log to a file"
            )
        return entries

    def _find_writer(self, session: str) -> str | None:
        """The agent that wrote a session of this id, where it is another one."""
        _, _, named = session.partition(".")
        for agent in FORMATS:
            if self.sink.status(name_manifest(f"{agent}.{named}"), self._timeout_seconds).logs:
                return agent
        return None

    def check_branch(self, session: str) -> None:
        """Raise `Absent` where a branch is meant, and no log that was found has one of that name."""
        if not self._has_branch:
            raise Absent(
                f"{session} has no branch {self._choice.branch}; `history-sink status` names those that it has"
            )

    def find_log(self, session: str) -> tuple[LogStatus, int] | None:
        """The log that is meant, and how many the session has; None where it has none."""
        status = self.sink.status(session, self._timeout_seconds)
        logs = {log.branch: log for log in status.logs}
        if self._choice.branch in logs and self._choice.branch:
            self._has_branch = True
            return logs[self._choice.branch], len(logs)
        log = logs.get(None) if self._choice.is_main else status.latest
        return (log, len(logs)) if log else None

    def read_first_line(self, session: str, log: LogStatus) -> bytes:
        """With its newline. Raises `Faulted`."""
        handle = self.sink.pointer(
            session, byte_range=(0, _FIRST_LINE_BYTES), timeout_seconds=self._timeout_seconds, branch=log.branch
        )
        answer = self.sink.resolve(handle, self._timeout_seconds, stored=True)
        if isinstance(answer, Fault):
            raise Faulted(answer)
        return next(open_to_give_back(session, [answer.partition(b"\n")[0] + b"\n"]))

    def read_log(self, session: str, log: LogStatus) -> Iterator[bytes]:
        """The lines that `log` tells of, opened if they are sealed, whatever was written behind them meanwhile.

        Raises what `read` and `open_to_give_back` raise, and `Mismatch` where the lines have not the chain of `log`.
        """
        end = LogEnd()

        def measured() -> Iterator[bytes]:
            nonlocal end
            for line in split(self._read_pieces(session, log)):
                end = self.sink.measure((line,), end)
                yield line

        yield from open_to_give_back(session, measured())
        if (end.bytes, end.chain16) != (log.bytes, log.chain):
            raise Mismatch(f"what came of {session} is not what the store says that it has")

    def _read_pieces(self, session: str, log: LogStatus) -> Iterator[bytes]:
        left = log.bytes
        for piece in self.sink.read(session, self._timeout_seconds, log.branch, stored=True):
            yield piece[:left]
            left -= min(left, len(piece))
            if not left:
                return


def read_manifest(sink: HistorySink, session: str, timeout_seconds: float) -> list[Entry]:
    """The entries for the session that `session` is, or is a part of; none where nobody has told any.

    Several programs may have written them without knowing of each other, and then some lie in branches or strays: all
    are read. Raises `Unavailable`, `Faulted`, `Mismatch`.
    """
    name = name_manifest(session)
    status = sink.status(name, timeout_seconds)
    bodies = [
        b"".join(open_to_give_back(name, split(sink.read(name, timeout_seconds, log.branch, stored=True))))
        for log in status.logs
    ]
    for stray in status.strays:
        answer = sink.resolve(PointerHandle(status.bucket, stray.key), timeout_seconds, stored=True)
        if isinstance(answer, Fault):
            raise Faulted(answer)
        bodies.append(answer)
    lines: dict[bytes, None] = {}
    for line in b"\n".join(bodies).split(b"\n"):
        lines.pop(line, None)  # the last of equal ones counts
        lines[line] = None
    return read_lines(lines)
