"""Gemini CLI: ``tmp/<slug>/chats/session-<minute>-<id8>.jsonl``, its subagents and its spilled tool outputs.

Several files share one session: each resume makes one more. Only the first line tells the whole session id. Which of
them is the main one cannot be told for ever, as the agent deletes them: each is a part, by its name.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from history_sink_agents.formats.folders import open_regular
from history_sink_agents.formats.format import Found, Misplaced
from history_sink_agents.formats.heads import read_head, read_object
from history_sink_agents.formats.names import name_session
from history_sink_agents.formats.patterns import PatternFormat, allow

_SESSION_ID = re.compile(rb'"sessionId"\s*:\s*"([^"\\]{1,200})"')


class GeminiFormat(PatternFormat):
    """Its ids come from the first line, where a file's name has but eight digits of them."""

    def name_file(self, path: Path, match: re.Match[str]) -> str | None:
        """See `PatternFormat`."""
        if match.groupdict().get("session"):
            return super().name_file(path, match)
        session = read_session_id(path)
        return name_session(self.name, session, match["part"]) if session else None

    def home(self, environ: Mapping[str, str], user_home: Path) -> Path:
        """See `Format`. Its variable names what stands for the user's home."""
        given = environ.get("GEMINI_CLI_HOME", "")
        return super().home(environ, Path(given).absolute() if given else user_home)

    def describe_resume(self, session: str, project: str | None, paths: Sequence[str]) -> list[str]:
        """See `PatternFormat`."""
        return [
            f"to go on: gemini --resume {session}" + (f" in {project}" if project else ""),
            "Gemini CLI deletes sessions by the age written in them, and after a second resume: set"
            " general.sessionRetention.enabled to false in its settings.json first",
        ]

    def find_cwd(self, found: Found) -> str | None:
        """See `PatternFormat`. A project's folder names its cwd in a file of its own."""
        return read_root(found.home / "tmp" / found.relative.split("/")[1])


def find_slug(home: Path, project: str) -> str:
    """The folder of a project below ``tmp/``: the one that it has claimed, else that of its last name.

    Raises `Misplaced` where another project has claimed the name.
    """
    claims = {path.name: read_root(path) for path in sorted((home / "tmp").glob("*"))}
    for slug, root in claims.items():
        if root == project:
            return slug
    slug = re.sub("-+", "-", re.sub("[^a-z0-9]", "-", Path(project).name.lower())).strip("-") or "project"
    if claims.get(slug):
        raise Misplaced(f"tmp/{slug} belongs to {claims[slug]}; run gemini in {project} once, so that it takes another")
    return slug


def read_root(folder: Path) -> str | None:
    """The project that has claimed a folder; None where none has."""
    try:
        with open_regular(folder / ".project_root") as file:
            return file.read(4096).decode().strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def read_session_id(path: Path) -> str | None:
    """The session that the first line names; None while there is no whole line."""
    if path.suffix == ".json":  # older ones are one document that is written anew
        try:
            with open_regular(path) as file:
                named = _SESSION_ID.search(file.read(4096))
        except OSError:
            return None
        return named[1].decode(errors="replace") if named else path.stem
    head = read_head(path)
    if not head:
        return None
    session = read_object(head[0]).get("sessionId")
    return session if isinstance(session, str) and session else path.stem


GEMINI = GeminiFormat(
    "gemini",
    ".gemini",
    folders=("tmp",),
    name_project=find_slug,
    rules=(
        allow("lines", r"tmp/[^/]+/chats/(?P<part>session-[^/]+)\.jsonl"),
        allow("whole", r"tmp/[^/]+/chats/(?P<part>session-[^/]+\.json)"),
        allow("lines", r"tmp/[^/]+/chats/(?P<session>[0-9a-f-]{36})/(?P<part>[^/.][^/]*)\.jsonl"),
        allow("whole", r"tmp/[^/]+/(?P<part>tool-outputs/session-(?P<session>[0-9a-f-]{36})/[^/.][^/]*)"),
    ),
)
