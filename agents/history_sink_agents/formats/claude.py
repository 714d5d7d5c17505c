"""Claude Code: ``projects/<slug>/<id>.jsonl``, and a folder ``<id>/`` with subagents and spilled tool results.

Keys (``sessions/*.key``), ``history.jsonl``, settings and ``file-history/`` are never read: no resume needs them.
"""

import re

from history_sink_agents.formats.patterns import PatternFormat, allow

_SESSION = r"projects/[^/]+/(?P<session>[^/.][^/]*)"

CLAUDE = PatternFormat(
    "claude",
    ".claude",
    variable="CLAUDE_CONFIG_DIR",
    folders=("projects",),
    rules=(
        allow("lines", rf"{_SESSION}\.jsonl"),
        allow("lines", rf"{_SESSION}/(?P<part>subagents/(?:[^/.][^/]*/)*[^/.][^/]*\.jsonl)"),
        allow("whole", rf"{_SESSION}/(?P<part>subagents/(?:[^/.][^/]*/)*[^/.][^/]*\.meta\.json)"),
        allow("whole", rf"{_SESSION}/(?P<part>tool-results/[^/.][^/]*)"),
        allow("whole", rf"{_SESSION}/(?P<part>custom-title\.json)"),
    ),
)


def make_slug(cwd: str) -> str:
    """The folder of a project, as the agent names it after the real path of the cwd.

    A path of more than 200 characters ends in a hash there that is not ours to make: raises `ValueError`.
    """
    slug = re.sub("[^A-Za-z0-9]", "-", cwd)
    if len(slug) > 200:
        raise ValueError("a project's path of more than 200 characters")
    return slug
