"""Transcripts on disk: which files there are, whose session each is, and their lines."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from history_sink.contract import check_session
from history_sink.errors import HistorySinkError, Malformed

STDIN = Path("-")
_BLANK = b" \t\r\n"


class NotTaken(HistorySinkError):
    """A file that is not saved at all. The text says why."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """The lines of one file, each with its newline, and the numbers (from 1) of its blank lines, which are left out."""

    lines: tuple[bytes, ...]
    blanks: tuple[int, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.lines))

    def line_number(self, index: int) -> int:
        """Where in the file ``lines[index]`` stands, from 1."""
        number = index + 1
        for blank in self.blanks:
            if blank > number:
                break
            number += 1
        return number


def read_transcript(stream: BinaryIO) -> Transcript:
    """All lines of `stream`. The last one counts with or without its newline.

    A blank line is no message, and no damage either: editors and some vendors leave one at the end. Only 0x0A ends a
    line, so a carriage return stays a part of it.
    """
    lines: list[bytes] = []
    blanks: list[int] = []
    for number, line in enumerate(stream, 1):
        if line.strip(_BLANK):
            lines.append(line if line.endswith(b"\n") else line + b"\n")
        else:
            blanks.append(number)
    return Transcript(tuple(lines), tuple(blanks))


def find_files(paths: Iterable[Path]) -> list[tuple[Path, NotTaken | None]]:
    """`paths` as given, with ``*.jsonl`` at any depth, by name, in place of a directory; each once.

    A directory that cannot be read comes with the reason.
    """
    found: dict[Path, NotTaken | None] = {}
    for path in paths:
        if path.is_dir():
            found.update(_walk(path))
        else:
            found[path] = None
    return list(found.items())


def _walk(directory: Path) -> Iterator[tuple[Path, NotTaken | None]]:
    errors: list[OSError] = []
    files = [Path(folder, name) for folder, _, names in os.walk(directory, onerror=errors.append) for name in names]
    yield from ((Path(error.filename), NotTaken(f"cannot be read: {error.strerror}")) for error in errors)
    yield from ((file, None) for file in sorted(files) if file.suffix == ".jsonl")


def name_sessions(
    files: Iterable[tuple[Path, NotTaken | None]], session: str | None = None
) -> list[tuple[Path, str | NotTaken]]:
    """Each file with its session: `session`, or else the file's stem; or with the reason why it has none."""
    owners: dict[str, Path] = {}
    return [(file, trouble or _name(file, session, owners)) for file, trouble in files]


def _name(file: Path, session: str | None, owners: dict[str, Path]) -> str | NotTaken:
    try:
        name = check_session(file.stem if session is None else session)
    except Malformed as error:
        return NotTaken(f"{error}; give one with --session")
    owner = owners.setdefault(name, file)
    if owner != file:  # as one session they would be one history and its edit
        return NotTaken(f"session {name} is {owner} already; give another with --session")
    return name


def measure(files: Iterable[Path]) -> int | None:
    """How many bytes they have; None where that cannot be known."""
    try:
        return sum(file.stat().st_size for file in files)
    except OSError:  # stdin, or one that is missing, which will be said when it is its turn
        return None
