"""Agents whose sessions are told by the path alone: Copilot CLI, qwen-code, pi, codetether."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from history_sink_agents.formats.claude import make_slug
from history_sink_agents.formats.folders import open_regular
from history_sink_agents.formats.format import Found
from history_sink_agents.formats.heads import HEAD_BYTES, read_object
from history_sink_agents.formats.live import is_running
from history_sink_agents.formats.patterns import PatternFormat, allow

_DIRECTORY = re.compile(rb'(?<="metadata":\{"directory":)"(?:[^"\\]|\\.)*"')
_LOCK = re.compile(r"inuse\.([0-9]{1,10})\.lock")


class CopilotFormat(PatternFormat):
    """One folder a session. A repair puts another file in the place of the log, and a backup beside it."""

    def find_live(self, home: Path, session: str) -> str | None:
        """See `PatternFormat`. A killed process leaves its lock behind."""
        for path in sorted((home / "session-state" / session).glob("inuse.*.lock")):
            named = _LOCK.fullmatch(path.name)
            if named and is_running(int(named[1])):
                return f"process {named[1]} has it open"
        return None


class CodetetherFormat(PatternFormat):
    """One JSON document a session, put in the place of the one before. A project may have a home of its own."""

    def find_home(self, environ: Mapping[str, str], user_home: Path, project: str | None) -> Path:
        """See `PatternFormat`. In the nearest folder above the project that is a repository, else in the project."""
        if project is None or environ.get("CODETETHER_DATA_DIR"):
            return self.home(environ, user_home)
        root = Path(project)
        return next((each for each in (root, *root.parents) if (each / ".git").exists()), root) / ".codetether-agent"

    def describe_resume(self, session: str, project: str | None, paths: Sequence[str]) -> list[str]:
        """See `PatternFormat`."""
        if not project:
            return [f"to go on: codetether run -s {session} MESSAGE"]
        return [
            f"to go on: codetether run -s {session} MESSAGE in {project}",
            "it works in the folder that its document names: the one it was written in, or this one by --rewrite-cwd",
        ]

    def find_cwd(self, found: Found) -> str | None:
        """See `PatternFormat`."""
        try:
            with open_regular(found.path) as file:
                named = _DIRECTORY.search(file.read(HEAD_BYTES))  # a document has no newline
            return str(json.loads(named[0])) if named else None
        except (OSError, ValueError):
            return None


COPILOT = CopilotFormat(
    "copilot",
    ".copilot",
    folders=("session-state",),
    resume="copilot --resume={session}",
    rules=(
        allow("lines", r"session-state/(?P<session>[^/.][^/]*)/events\.jsonl"),
        allow("whole", r"session-state/(?P<session>[^/.][^/]*)/(?P<part>workspace\.yaml)"),
        allow("whole", r"session-state/(?P<session>[^/.][^/]*)/(?P<part>events\.jsonl\.backup-before-recovery-[^/]+)"),
    ),
)

QWEN = PatternFormat(
    "qwen",
    ".qwen",
    folders=("projects",),
    name_project=lambda _home, project: make_slug(project),
    resume="qwen -r {session}",
    rules=(allow("lines", r"projects/[^/]+/chats/(?P<session>[^/.][^/]*)\.jsonl"),),
)


PI = PatternFormat(
    "pi",
    ".pi/agent",
    variable="PI_CODING_AGENT_DIR",
    folders=("sessions",),  # `auth.json` lies beside it, and is not walked
    name_project=lambda _home, project: f"--{re.sub('[/:]', '-', project.removeprefix('/'))}--",
    resume="pi --session {session}",
    rules=(allow("lines", r"sessions/[^/]+/[^/_]+_(?P<session>[^/_]+)\.jsonl"),),
)

CODETETHER = CodetetherFormat(
    "codetether",
    ".codetether-agent",
    variable="CODETETHER_DATA_DIR",
    folders=("sessions", "threads"),
    rules=(
        allow("whole", r"sessions/(?P<session>[^/.]+)\.json"),
        allow("whole", r"sessions/(?P<session>[^/.]+)\.(?P<part>checkpoint)\.json"),
        allow("lines", r"(?P<part>threads)/(?P<session>[^/.]+)\.jsonl"),  # a killed run's last turn is here alone
    ),
)


def rewrite_cwd(first_line: bytes, project: str) -> bytes:
    """qwen-code's first line with another cwd; the line itself where that is its cwd already.

    It is the one agent that compares the cwd in the first line with its own.
    """
    value = read_object(first_line)
    if value.get("cwd") in (None, project):
        return first_line
    return json.dumps({**value, "cwd": project}, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def rewrite_directory(document: bytes, project: str) -> bytes:
    """codetether's document with another directory: there its tools work, and by it `run -c` finds the session."""
    return _DIRECTORY.sub(lambda _: json.dumps(project, ensure_ascii=False).encode(), document, count=1)
