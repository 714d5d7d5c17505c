"""What the module of an agent must tell: where its files are, and which of them are one session."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

Kind: TypeAlias = Literal["lines", "whole", "database"]
"""How a file changes, and so how it is archived.

``lines``: the agent appends lines, and what follows the last newline is still being written. ``whole``: the agent may
rewrite the file in place, so each version is stored whole once the file is quiet, by `manifest.cut_lines`.
``database``: the path is that of a database which also holds keys. Never send it: `opencode.read_lines` makes its
lines.
"""


@dataclass(frozen=True, slots=True)
class Found:
    """One file that is archived as a log of its own.

    `home` is the agent's, absolute; `relative` is the path below it, with slashes. `session` is the session id in the
    archive: ``<agent>.<session>`` or ``<agent>.<session>.<part>``. Of ten thousand files each is kept, so the path is
    made anew from the two.
    """

    agent: str
    home: Path
    relative: str
    session: str
    kind: Kind

    @property
    def path(self) -> Path:
        """The file's absolute path."""
        return self.home / self.relative

    @property
    def name(self) -> str:
        """The same as a string."""
        return os.path.join(self.home, *self.relative.split("/"))


class Unreadable(OSError):
    """What an agent keeps cannot be read, so nothing of it is archived. The text says what and why."""


class Misplaced(ValueError):
    """A file cannot go where the agent would look for it. The text says why."""


class Format(Protocol):
    """One agent's files. It knows no sink."""

    name: str

    def home(self, environ: Mapping[str, str], user_home: Path) -> Path:
        """The folder below which the agent keeps its sessions; it need not exist."""

    def find(self, home: Path) -> Iterator[Found]:
        """Each file to archive, in no certain order. What vanishes or cannot be read meanwhile is passed over.

        Raises `Unreadable` where a database cannot be read.
        """

    def manifest(self, found: Found) -> Mapping[str, object]:
        """What a restore must know beside the bytes: agent, path, session, kind, cwd, machine and mode."""
