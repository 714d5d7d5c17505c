"""Local files that may go: old, quiet, and in the store byte for byte, which is proven by reading them from there."""

import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from history_sink import HistorySink, HistorySinkError
from history_sink_agents.formats import Found
from history_sink_agents.formats.codex import CODEX, read_base
from history_sink_agents.formats.folders import open_regular
from history_sink_agents.formats.heads import read_head
from history_sink_agents.formats.names import name_session, name_whole
from history_sink_agents.formats.patterns import PatternFormat
from history_sink_agents.restore.archive import read_manifest


@dataclass(frozen=True, slots=True)
class Look:
    """A file as it was when it was looked at.

    `changed_ns` is when it was written to, as anybody may set it; `touched_ns` is what the system says.
    """

    found: Found
    device: int
    inode: int
    size_bytes: int
    changed_ns: int
    touched_ns: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a session's files may go, all of them or none; `reason` says why not."""

    session: str
    looks: tuple[Look, ...]
    reason: str | None = None

    @property
    def size_bytes(self) -> int:
        return sum(look.size_bytes for look in self.looks)


def look_at(found: Found) -> Look | None:
    """The file now; None where it is gone, or no regular file any more."""
    try:
        status = os.lstat(found.path)
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return Look(found, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def find_old(agent: PatternFormat, home: Path, older_than_seconds: float) -> list[Verdict]:
    """Sessions of which no file was written for so long, but for those that younger ones stand on."""
    sessions: dict[str, list[Look]] = {}
    for found in agent.find(home):
        if look := look_at(found):
            sessions.setdefault(name_whole(found.session), []).append(look)
    limit_ns = (time.time() - older_than_seconds) * 1e9
    old = {name for name, looks in sessions.items() if all(look.changed_ns < limit_ns for look in looks)}
    if agent is CODEX:
        old -= _find_bases(sessions, old)
    return [Verdict(name, tuple(sessions[name])) for name in sorted(old)]


def _find_bases(sessions: dict[str, list[Look]], old: set[str]) -> set[str]:
    """The threads that forks stand on which stay, and those that these stand on."""
    bases: dict[str, set[str]] = {
        name: {base for look in looks for base in _read_bases(look.found)} for name, looks in sessions.items()
    }
    kept, todo = set[str](), [name for name in sessions if name not in old]
    while todo:
        for base in bases.get(todo.pop(), set()) - kept:
            kept.add(base)
            todo.append(base)
    return kept


def _read_bases(found: Found) -> Iterator[str]:
    try:
        base = read_base((read_head(found.path) or [b""])[0])
    except ValueError:
        return
    if base:
        yield name_session(CODEX.name, base.thread)


def prove(sink: HistorySink, agent: PatternFormat, home: Path, verdict: Verdict, timeout_seconds: float) -> Verdict:
    """The same, with the reason why its files have to stay, if there is one. Raises `Unavailable`."""
    session = verdict.session.split(".")[1]
    if sign := agent.find_live(home, session):
        return replace(verdict, reason=f"{agent.name} is at work on it: {sign}")
    known = {entry.session for entry in read_manifest(sink, verdict.session, timeout_seconds)}
    if not known:
        return replace(verdict, reason="the archive has no manifest of it, so it could not be restored")
    for look in verdict.looks:
        if look.found.session not in known and look.size_bytes:
            reason: str | None = "the manifest does not name it"
        else:
            reason = _find_difference(sink, look, timeout_seconds)
        if reason:
            return replace(verdict, reason=f"{look.found.path}: {reason}")
    return verdict


def _find_difference(sink: HistorySink, look: Look, timeout_seconds: float) -> str | None:
    if not look.size_bytes:
        return None
    logs = [log for log in sink.status(look.found.session, timeout_seconds).logs if log.bytes >= look.size_bytes]
    for log in sorted(logs, key=lambda log: log.last_write, reverse=True):
        if _holds(look, sink.read(look.found.session, timeout_seconds, log.branch)):
            return None
    return "the archive has other bytes" if logs else "the archive has not all of it yet"


def _holds(look: Look, pieces: Iterator[bytes]) -> bool:
    """Whether the first bytes of a log are those of the file, all of them; and the file is still the same."""
    left = look.size_bytes
    with open_regular(look.found.path) as file:
        for piece in pieces:
            wanted = min(left, len(piece))
            if file.read(wanted) != piece[:wanted]:
                return False
            left -= wanted
            if not left:
                break
    return left == 0 and look_at(look.found) == look


def delete(verdict: Verdict) -> int:
    """Delete a session's files, those that stand for it last. Returns how many bytes went. Raises `OSError`.

    A file that was touched since it was proven stays, and so does what is left of its session.
    """
    done = 0
    for look in sorted(verdict.looks, key=lambda look: look.found.session.count("."), reverse=True):
        if look_at(look.found) != look:
            raise HistorySinkError(f"{look.found.path} has changed meanwhile, and stays")
        os.unlink(look.found.path)
        done += look.size_bytes
    return done


def prove_all(
    sink: HistorySink,
    agent: PatternFormat,
    home: Path,
    verdicts: list[Verdict],
    timeout_seconds: float,
    advance: Callable[[int], None],
) -> Iterator[Verdict]:
    """Each with its reason, one after the other."""
    for verdict in verdicts:
        try:
            yield prove(sink, agent, home, verdict, timeout_seconds)
        except OSError as error:
            yield replace(verdict, reason=f"it cannot be read: {error.strerror}")
        advance(verdict.size_bytes)
