"""Agents whose sessions are told by the path alone: Copilot CLI, qwen-code, pi, codetether."""

from history_sink_agents.formats.patterns import PatternFormat, allow

COPILOT = PatternFormat(
    "copilot",
    ".copilot",
    folders=("session-state",),
    rules=(
        allow("lines", r"session-state/(?P<session>[^/.][^/]*)/events\.jsonl"),
        allow("whole", r"session-state/(?P<session>[^/.][^/]*)/(?P<part>workspace\.yaml)"),
        allow("whole", r"session-state/(?P<session>[^/.][^/]*)/(?P<part>events\.jsonl\.backup-before-recovery-[^/]+)"),
    ),
)
"""One folder a session. A repair puts another file in the place of the log, and a backup beside it."""

QWEN = PatternFormat(
    "qwen",
    ".qwen",
    folders=("projects",),
    rules=(allow("lines", r"projects/[^/]+/chats/(?P<session>[^/.][^/]*)\.jsonl"),),
)

PI = PatternFormat(
    "pi",
    ".pi/agent",
    folders=("sessions",),
    rules=(allow("lines", r"sessions/[^/]+/[^/_]+_(?P<session>[^/_]+)\.jsonl"),),
)
"""``auth.json`` lies beside the folder of sessions, and is not walked."""

CODETETHER = PatternFormat(
    "codetether",
    ".codetether-agent",
    variable="CODETETHER_DATA_DIR",
    folders=("sessions",),
    rules=(allow("whole", r"sessions/(?P<session>[^/.][^/]*)\.json"),),
)
"""One JSON document a session, put in the place of the one before. Each project may have a home of its own."""
