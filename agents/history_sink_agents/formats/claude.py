"""Claude Code: ``projects/<slug>/<id>.jsonl``, and a folder ``<id>/`` with subagents and spilled tool results.

Keys (``sessions/*.key``), ``history.jsonl``, settings and ``file-history/`` are never read: no resume needs them.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from history_sink_agents.formats.format import Misplaced
from history_sink_agents.formats.heads import read_object
from history_sink_agents.formats.live import is_running
from history_sink_agents.formats.patterns import PatternFormat, allow

_SESSION = r"projects/[^/]+/(?P<session>[^/.][^/]*)"
_LONGEST_SLUG = 200


class ClaudeFormat(PatternFormat):
    """A session resumes from any folder of a project; only ``claude -c`` wants that of the cwd."""

    def rename(self, relative: str, session: str) -> str:
        """The path of the same file in a session of another id. The name of the file wins over the ids in it."""
        top, slug, _, *rest = relative.split("/")
        return "/".join([top, slug, session if rest else f"{session}.jsonl", *rest])

    def find_live(self, home: Path, session: str) -> str | None:
        """See `PatternFormat`. A file that a killed process left behind names a process that is gone."""
        for path in sorted((home / "sessions").glob("*.json")):
            try:
                value = read_object(path.read_bytes())
            except OSError:
                continue
            if value.get("sessionId") == session and is_running(value.get("pid")):
                return f"process {value['pid']} has it open"
        return None

    def describe_resume(self, session: str, project: str | None, paths: Sequence[str]) -> list[str]:
        """See `PatternFormat`."""
        notes = [f"to go on: claude -r {session}"]
        if any("/tool-results/" in path for path in paths):
            notes.append("the transcript names its spilled tool results by their paths on the machine it came from")
        return notes


def make_slug(cwd: str) -> str:
    """The folder of a project, as Claude Code and qwen-code name it after the real path of the cwd.

    Raises `Misplaced` for a path of more than 200 characters: its folder ends in a hash that is not ours to make.
    """
    slug = re.sub("[^A-Za-z0-9]", "-", cwd)
    if len(slug) > _LONGEST_SLUG:
        raise Misplaced(f"the path of the project has more than {_LONGEST_SLUG} characters")
    return slug


CLAUDE = ClaudeFormat(
    "claude",
    ".claude",
    variable="CLAUDE_CONFIG_DIR",
    folders=("projects",),
    name_project=lambda _home, project: make_slug(project),
    rules=(
        allow("lines", rf"{_SESSION}\.jsonl"),
        allow("lines", rf"{_SESSION}/(?P<part>subagents/(?:[^/.][^/]*/)*[^/.][^/]*\.jsonl)"),
        allow("whole", rf"{_SESSION}/(?P<part>subagents/(?:[^/.][^/]*/)*[^/.][^/]*\.meta\.json)"),
        allow("whole", rf"{_SESSION}/(?P<part>tool-results/[^/.][^/]*)"),
        allow("whole", rf"{_SESSION}/(?P<part>custom-title\.json)"),
    ),
)
