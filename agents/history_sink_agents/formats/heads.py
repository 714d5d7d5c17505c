"""The first lines of a file, and what agents write there. Nothing here loads a file."""

import json
from pathlib import Path
from typing import Any

from history_sink_agents.formats.folders import open_regular

HEAD_BYTES = 256 * 1024
"""How much of a file is looked at. Codex's first line has 22 kB, and Claude Code names the cwd in its first ten."""


def read_head(path: Path) -> list[bytes]:
    """The whole lines at the beginning of a file; none where it cannot be read."""
    try:
        with open_regular(path) as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return []
    return head.split(b"\n")[:-1]


def read_object(line: bytes) -> dict[str, Any]:
    """The JSON object of a line; an empty one where it is none."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def find_cwd(path: Path) -> str | None:
    """The working directory that the first lines of a file name, wherever agents put it."""
    for line in read_head(path):
        value = read_object(line)
        for inner in (value, value.get("payload"), value.get("data"), _get(value.get("data"), "context")):
            cwd = _get(inner, "cwd")
            if isinstance(cwd, str) and cwd:
                return cwd
    return None


def _get(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None
