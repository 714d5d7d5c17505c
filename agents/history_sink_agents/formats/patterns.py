"""A format whose files are told by their paths: an allow-list of patterns, and the ids that they give."""

import os
import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from history_sink_agents.formats.folders import walk
from history_sink_agents.formats.format import Found, Kind
from history_sink_agents.formats.heads import find_cwd
from history_sink_agents.formats.names import distinguish, name_session


@dataclass(frozen=True, slots=True)
class Rule:
    """Paths below the home that may be read. The groups `session` and `part` of the pattern give the id."""

    kind: Kind
    pattern: re.Pattern[str]


def allow(kind: Kind, pattern: str) -> Rule:
    """A rule. The pattern is a regular expression for the whole path."""
    return Rule(kind, re.compile(pattern))


@dataclass(eq=False)
class PatternFormat:
    """Finds the files that a rule allows. What no rule names is never opened.

    `folder` is the agent's home below the user's, `variable` the environment variable that names another one. Of the
    home `folders` are walked. `name_project` makes the second part of the paths of a project's files, out of the home
    and the project's real path; it may raise `Misplaced`. None: no part of a path names a project. `resume` is the
    command that goes on with ``{session}``.
    """

    name: str
    folder: str
    _: KW_ONLY
    variable: str = ""
    folders: tuple[str, ...]
    rules: tuple[Rule, ...]
    name_project: Callable[[Path, str], str] | None = None
    resume: str = ""

    @property
    def has_projects(self) -> bool:
        """Whether the second part of each path names a project."""
        return self.name_project is not None

    def home(self, environ: Mapping[str, str], user_home: Path) -> Path:
        """See `Format`."""
        given = environ.get(self.variable, "")
        return Path(given).expanduser().absolute() if given else user_home / self.folder

    def find(self, home: Path) -> Iterator[Found]:
        """See `Format`."""
        return distinguish(self._match(home))

    def manifest(self, found: Found) -> Mapping[str, object]:
        """See `Format`."""
        return describe_file(found, self.find_cwd(found))

    def find_home(self, environ: Mapping[str, str], user_home: Path, project: str | None) -> Path:
        """Where a session goes that is restored for a project; most agents have one home for all of them."""
        return self.home(environ, user_home)

    def place(self, home: Path, relative: str, project: str | None) -> str:
        """Where below `home` a file goes that lay at `relative`, so that the agent finds it from `project`.

        `project` is a real path; None: as it was. Raises `Misplaced`.
        """
        if project is None or self.name_project is None:
            return relative
        top, _, *rest = relative.split("/")
        return "/".join([top, self.name_project(home, project), *rest])

    def find_live(self, home: Path, session: str) -> str | None:
        """By what sign the agent is at work on a session; None where there is none."""
        return None

    def describe_resume(self, session: str, project: str | None, paths: Sequence[str]) -> list[str]:
        """How the agent goes on with the session once these paths are there, and what its user should know."""
        where = (f" in {project}" if project else " in the project's own path") if self.has_projects else ""
        return [f"to go on: {self.resume.format(session=session)}{where}"] if self.resume else []

    def find_cwd(self, found: Found) -> str | None:
        """The working directory of the session, None where nothing tells it."""
        return find_cwd(found.path)

    def name_file(self, path: Path, match: re.Match[str]) -> str | None:
        """The id of a file; None while it cannot be told, as of an empty one."""
        groups = match.groupdict()
        return name_session(self.name, groups["session"], groups.get("part") or "")

    def match(self, relative: str) -> tuple[Rule, re.Match[str]] | None:
        """The rule that allows a path below the home."""
        for rule in self.rules:
            if found := rule.pattern.fullmatch(relative):
                return rule, found
        return None

    def _match(self, home: Path) -> Iterator[Found]:
        for relative in walk(home, self.folders):
            allowed = self.match(relative)
            if not allowed:
                continue
            session = self.name_file(home / relative, allowed[1])
            if session:
                yield Found(self.name, home, relative, session, allowed[0].kind)


def describe_file(found: Found, cwd: str | None) -> dict[str, object]:
    """What a manifest says of a file; its permissions are None where it is gone."""
    try:
        mode = os.stat(found.path).st_mode & 0o777
    except OSError:
        mode = None
    facts = {"agent": found.agent, "session": found.session, "path": found.relative, "kind": found.kind}
    return {**facts, "cwd": cwd, "machine": platform.node(), "mode": mode}
