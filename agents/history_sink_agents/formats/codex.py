"""Codex: ``sessions/YYYY/MM/DD/rollout-<time>-<thread>[_<segment>].jsonl``, and ``archived_sessions/`` without folders.

A thread that was rewound goes on in a file of its own, the segment. A packed twin ends in ``.zst``. The databases
beside them hold paths and offsets of this machine: they are never read, nor are ``auth.json`` and ``history.jsonl``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from history_sink_agents.formats.heads import read_object
from history_sink_agents.formats.live import is_locked
from history_sink_agents.formats.names import name_session
from history_sink_agents.formats.patterns import PatternFormat, allow

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_NAME = rf"rollout-(?P<time>[0-9]{{4}}-[0-9T-]{{5,20}}?)-(?P<session>{_UUID})(?:_(?P<segment>{_UUID}))?\.jsonl"
_SESSIONS, _ARCHIVED = r"sessions/(?:[^/.][^/]*/)*", "(?P<archived>archived)_sessions/"


@dataclass(frozen=True, slots=True)
class Base:
    """What a file stands on: the first `end_bytes` of a file of `thread`. Its own lines begin behind them."""

    thread: str
    end_bytes: int


class CodexFormat(PatternFormat):
    """Its ids: the thread, and as the part the segment, and whether the file is archived or packed."""

    def name_file(self, path: Path, match: re.Match[str]) -> str | None:
        """See `PatternFormat`."""
        groups = match.groupdict()
        words = (groups.get("segment"), groups.get("archived"), groups.get("zst"))
        return name_session(self.name, groups["session"], "-".join(word for word in words if word))

    def place(self, home: Path, relative: str, project: str | None) -> str:
        """See `PatternFormat`. Codex does not resume what lies among the archived ones."""
        folder, _, name = relative.rpartition("/")
        if folder != "archived_sessions":
            return relative
        return "/".join(["sessions", *name.removeprefix("rollout-")[:10].split("-"), name])

    def find_live(self, home: Path, session: str) -> str | None:
        """See `PatternFormat`. The file of the lock stays, the lock itself does not."""
        lock = home / "thread-writer-locks" / f"{session}.lock"
        return f"{lock} is held" if is_locked(lock) else None

    def describe_resume(self, session: str, project: str | None, paths: Sequence[str]) -> list[str]:
        """See `PatternFormat`."""
        where = f" in {project}" if project else ""
        return [f"to go on: codex resume {session}{where}; `resume --last` may begin a new thread without a word"]


CODEX = CodexFormat(
    "codex",
    ".codex",
    variable="CODEX_HOME",
    folders=("sessions", "archived_sessions"),
    rules=(
        *(allow("lines", rf"{folder}{_NAME}") for folder in (_SESSIONS, _ARCHIVED)),
        *(allow("whole", rf"{folder}{_NAME}\.(?P<zst>zst)") for folder in (_SESSIONS, _ARCHIVED)),
    ),
)


def read_base(first_line: bytes) -> Base | None:
    """What the file with this first line stands on; None where it stands alone, as all old ones do.

    Raises `ValueError` where it names one that cannot be.
    """
    payload = read_object(first_line).get("payload")
    base = payload.get("history_base") if isinstance(payload, dict) else None
    if base is None:
        return None
    thread, end = (base.get("thread_id"), base.get("end_byte_offset")) if isinstance(base, dict) else (None, None)
    if not isinstance(thread, str) or not re.fullmatch(_UUID, thread) or type(end) is not int:
        raise ValueError("its history_base is none that is known")
    return Base(thread, end)
