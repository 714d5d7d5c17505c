"""Agents' homes on this machine, and the files of theirs that are archived."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from history_sink_agents.formats import FORMATS, Format, Found
from history_sink_agents.formats.opencode import DATABASE
from history_sink_agents.formats.patterns import PatternFormat


@dataclass(frozen=True, slots=True)
class Home:
    """One agent's folder; it need not be there."""

    format: Format
    path: Path

    def find(self) -> Iterator[Found]:
        """Its files. Raises `Unreadable` for a database that cannot be read."""
        return self.format.find(self.path) if os.path.isdir(self.path) else iter(())

    def is_of_interest(self, path: str) -> bool:
        """Whether a change of `path` may mean that there is another file to archive."""
        relative = os.path.relpath(path, self.path).replace(os.sep, "/")
        if relative.startswith("../"):
            return False
        if not isinstance(self.format, PatternFormat):
            return os.path.basename(path).startswith(DATABASE)
        return self.format.match(relative) is not None or os.path.isdir(path)


def list_homes(names: Iterable[str], environ: Mapping[str, str], user_home: Path) -> list[Home]:
    """The homes of these agents; of all, where no name is given."""
    chosen = [*names] or [*FORMATS]
    return [Home(FORMATS[name], FORMATS[name].home(environ, user_home)) for name in chosen]
