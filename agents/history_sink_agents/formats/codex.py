"""Codex: ``sessions/YYYY/MM/DD/rollout-<time>-<thread>[_<segment>].jsonl``, and ``archived_sessions/`` without folders.

A thread that was rewound goes on in a file of its own, the segment. A packed twin ends in ``.zst``. The databases
beside them hold paths and offsets of this machine: they are never read, nor are ``auth.json`` and ``history.jsonl``.
"""

import re
from pathlib import Path

from history_sink_agents.formats.names import name_session
from history_sink_agents.formats.patterns import PatternFormat, allow

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_NAME = rf"rollout-(?P<time>[0-9]{{4}}-[0-9T-]{{5,20}}?)-(?P<session>{_UUID})(?:_(?P<segment>{_UUID}))?\.jsonl"
_SESSIONS, _ARCHIVED = r"sessions/(?:[^/.][^/]*/)*", "(?P<archived>archived)_sessions/"


class CodexFormat(PatternFormat):
    """Its ids: the thread, and as the part the segment, and whether the file is archived or packed."""

    def name_file(self, path: Path, match: re.Match[str]) -> str | None:
        """See `PatternFormat`."""
        groups = match.groupdict()
        words = (groups.get("segment"), groups.get("archived"), groups.get("zst"))
        return name_session(self.name, groups["session"], "-".join(word for word in words if word))


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
