"""All sessions of an archive in memory, and the four tasks that workers answer about them."""

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from history_sink.errors import Malformed
from history_sink.protocol.batch import Batch
from history_sink.protocol.chain import shorten
from history_sink.protocol.contract import (
    APPEND_VERSION,
    LIST_SESSIONS,
    MOST_SESSIONS,
    RESOLVE,
    STATUS,
    UPLOAD,
    check_branch,
    check_session,
)
from history_sink.protocol.listing import Listing, SessionSummary, are_names_alone
from history_sink.protocol.log_end import make_end
from history_sink.protocol.outcome import Outcome
from history_sink.protocol.pointer import Fault, PointerHandle
from history_sink.protocol.status import LogStatus, Status, StrayStatus
from history_sink.protocol.upload import Upload
from history_sink.testing.line_log import LineLog, Run, Size

CAP_BYTES = 8 * 1024 * 1024
"""The largest answer to a pointer, as workers have it by default."""

NO_MATCH = Fault("no_match")

_KEY = re.compile(r"([^/]+)/(?:branches/([^/]+)/)?(?:history\.jsonl|(tail/\d{12}-[0-9a-f]{16}~[0-9a-f]{16}\.jsonl))")


class MemoryStore:
    """Not for two threads at once."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self._sessions: dict[str, dict[str | None, LineLog]] = {}
        self._written: dict[tuple[str, str | None], float] = {}
        self._active: dict[str, float] = {}
        self._deleted: set[str] = set()
        self._time = 0.0
        self._tasks: dict[str, Callable[..., Any]] = {
            UPLOAD: self.upload,
            STATUS: self.status,
            RESOLVE: self.resolve,
            LIST_SESSIONS: self.list_sessions,
        }

    def do(self, task: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of a task as it is on the wire. Raises `Malformed` for what a worker refuses."""
        return self._tasks[task](*args, **kwargs)

    def get_lines(self, session: str, branch: str | None) -> list[bytes]:
        """The lines of a log; none where there is no such log."""
        log = self._sessions.get(session, {}).get(branch)
        return [*log.lines] if log else []

    def get_names(self) -> list[str]:
        """The sessions, sorted, without those that were deleted."""
        return sorted(self._sessions)

    def delete(self, session: str) -> None:
        """Delete a session, whose name is blocked from then on."""
        self._deleted.add(session)
        self._sessions.pop(session, None)

    def upload(self, session: str, messages: None, **payload: Any) -> dict[str, Any]:
        """What becomes of the lines of one save or append."""
        upload = Batch.decode(payload) if payload.get("v") == APPEND_VERSION else Upload.decode(payload)
        root = self._root(check_session(session), upload.branch)
        about = session, upload.branch, len(upload.lines), upload.size_bytes
        if session in self._deleted:
            return Outcome("deleted", *about, f"{root}history.jsonl").encode()
        log = self._sessions.setdefault(session, {}).setdefault(upload.branch, LineLog())
        before = log.size
        if not before.lines:
            log.rules = upload.rules
        try:
            verdict = log.append(upload) if isinstance(upload, Batch) else log.take(Run(upload.start, upload.lines))
        finally:
            self._note_change(session, upload.branch, log, before)
        key = root + (verdict.stray or "history.jsonl")
        end = make_end(verdict.end, upload.branch) if verdict.end else None
        return Outcome(verdict.outcome, *about, key, 1, verdict.parted, end).encode()

    def _note_change(self, session: str, branch: str | None, log: LineLog, before: Size) -> None:
        if not log.lines and not log.strays and not log.waiting:
            del self._sessions[session][branch]  # nothing came of it
            if not self._sessions[session]:
                del self._sessions[session]
            return
        if log.size != before:
            self._active[session] = self._tick()
        if log.size.lines > before.lines:
            self._written[session, branch] = self._active[session]

    def status(
        self, session: str, junctions: Iterable[tuple[int, str]] = (), writers: Iterable[str] = ()
    ) -> dict[str, Any]:
        """How far the archive is with a session, with the history that has these junctions, and with these writers."""
        logs = self._list_logs(check_session(session))
        asked = [*junctions]
        asking = [*writers]
        told = [
            replace(
                self._describe(session, branch, log, asked),
                placed={writer: log.placed.get(writer, 0) for writer in asking},
            )
            for branch, log in logs
            if log.lines
        ]
        strays = [
            StrayStatus(
                self._root(session, branch) + stray.name, stray.start.offset, stray.end.offset, stray.end.messages
            )
            for branch, log in logs
            for stray in sorted(log.strays, key=lambda stray: stray.name)
        ]
        pending = sum(len(log.waiting) for _, log in logs)
        return Status(self.bucket, self.prefix, session, tuple(told), tuple(strays), pending).encode()

    def resolve(self, handle: object) -> bytes | dict[str, str]:
        """The bytes that a handle points to, or the fault that says why there are none."""
        answer = self._resolve(handle)
        return answer.encode() if isinstance(answer, Fault) else answer

    def list_sessions(
        self, after: str = "", limit: int = MOST_SESSIONS, prefix: str = "", fields: list[str] | None = None
    ) -> dict[str, Any]:
        """One page of sessions behind the name `after`, whose names begin with `prefix`."""
        if type(limit) is not int or not 1 <= limit <= MOST_SESSIONS:
            raise Malformed(f"limit is 1 to {MOST_SESSIONS}")
        start, is_by_name = check_session(after) if after else "", fields is not None and are_names_alone(fields)
        known = {*self._sessions, *self._deleted} if is_by_name else {*self._sessions}
        names = [name for name in sorted(known) if name > start and name.startswith(prefix)]
        page = tuple(SessionSummary(name) if is_by_name else self._summarise(name) for name in names[:limit])
        return Listing(page, names[limit - 1] if len(names) > limit else None).encode(fields)

    def _tick(self) -> float:
        """A time later than all before: of two logs, one was written last."""
        self._time = max(time.time(), self._time + 0.001)
        return self._time

    def _root(self, session: str, branch: str | None) -> str:
        home = f"{self.prefix}{session}/"
        return f"{home}branches/{branch}/" if branch else home

    def _list_logs(self, session: str) -> list[tuple[str | None, LineLog]]:
        """The main log, then the branches by name."""
        return sorted(self._sessions.get(session, {}).items(), key=lambda item: item[0] or "")

    def _describe(self, session: str, branch: str | None, log: LineLog, junctions: list[tuple[int, str]]) -> LogStatus:
        end, key = log.points.end, f"{self._root(session, branch)}history.jsonl"
        written, common = self._written[session, branch], log.find_common(junctions)
        chain, full = shorten(end.chain), end.chain.hex()
        sizes = end.messages, end.offset, chain, end.offset
        return LogStatus(branch, key, *sizes, written, common, full, rules=log.rules)

    def _summarise(self, session: str) -> SessionSummary:
        logs = [self._describe(session, branch, log, []) for branch, log in self._list_logs(session) if log.lines]
        status = Status(self.bucket, self.prefix, session, tuple(logs))
        main = next((log for log in logs if log.branch is None), None)
        later = status.written_later
        return SessionSummary(
            session,
            main.messages if main else 0,
            main.bytes if main else 0,
            self._active[session],
            sum(branch is not None for branch in self._sessions[session]),
            None,
            later.branch if later else None,
            main.chain if main else None,
        )

    def _resolve(self, handle: object) -> bytes | Fault:
        try:
            pointer = PointerHandle.decode(handle)
        except Malformed as error:
            return Fault("backend_error", f"malformed handle: {error}")
        if pointer.bucket != self.bucket:
            return Fault("denied", f"bucket {pointer.bucket[:80]!r} is not the one that is served here")
        found = self._parse_key(pointer.key)
        if found is None:
            return Fault("denied", f"key {pointer.key[:300]!r} is no log under {self.prefix}")
        session, branch, stray = found
        log = self._sessions.get(session, {}).get(branch)
        if log is None or (stray and stray not in {each.name for each in log.strays}):
            return NO_MATCH
        body = log.read_stray(stray) if stray else b"".join(log.lines)
        if body is None:
            return Fault("backend_error", f"{pointer.key}: what comes before it is not there yet")
        return _cut(body, pointer.byte_range)

    def _parse_key(self, key: str) -> tuple[str, str | None, str | None] | None:
        """Session, branch and stray; None for the key of no log."""
        found = _KEY.fullmatch(key.removeprefix(self.prefix)) if key.startswith(self.prefix) else None
        if found is None:
            return None
        session, branch, stray = found.groups()
        try:
            return check_session(session), check_branch(branch), stray
        except Malformed:
            return None


def _cut(body: bytes, byte_range: tuple[int, int] | None) -> bytes | Fault:
    start, end = byte_range or (0, len(body))
    end = min(end, len(body))
    if start >= end:
        return NO_MATCH
    if end - start > CAP_BYTES:
        return Fault("denied", f"{end - start} bytes are over the cap of {CAP_BYTES}; ask for ranges")
    return body[start:end]
