"""Files on disk: which transcripts there are, and whose session each is."""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, TypeAlias

from history_sink.errors import HistorySinkError, Malformed
from history_sink.protocol.contract import check_session
from history_sink.protocol.session_ids import session_id

STDIN = Path("-")

NameFrom: TypeAlias = Literal["name", "path"]

_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class NotTaken(HistorySinkError):
    """A file that is not saved at all. The text says why."""


Found: TypeAlias = tuple[Path, NotTaken | None]


def find_files(paths: Iterable[Path]) -> list[Found]:
    """`paths` as given, with ``*.jsonl`` at any depth, by name, in place of a directory; each once.

    What is no regular file there, a directory that cannot be read and one without any such file come with the reason:
    to open a pipe would wait for ever. A path that is given itself is taken at its word.
    """
    found: dict[tuple[str, str], Found] = {}
    for path in paths:
        for file, trouble in _walk(path) if path.is_dir() else [(path, None)]:
            found.setdefault((os.path.realpath(file), file.name), (file, trouble))
    return list(found.values())


def _walk(directory: Path) -> list[Found]:
    found = [each for folder in _list_folders(directory) for each in _list_transcripts(folder)]
    return sorted(found, key=lambda each: each[0]) or [(directory, NotTaken("a folder without any *.jsonl file"))]


def _list_folders(directory: Path) -> Iterator[Path]:
    """`directory` and all folders below, each once, however many links lead to it. Links come last."""
    seen: set[str] = set()
    linked = [directory]
    while linked:
        todo, linked = [linked[0]], linked[1:]
        while todo:
            folder = todo.pop()
            real = os.path.realpath(folder)
            if real in seen:  # a link may lead back to where it lies
                continue
            seen.add(real)
            yield folder
            below = [entry for entry in _scan(folder) if not isinstance(entry, OSError) and os.path.isdir(entry)]
            todo += sorted((Path(entry) for entry in below if not entry.is_symlink()), reverse=True)
            linked += sorted(Path(entry) for entry in below if entry.is_symlink())


def _scan(folder: Path) -> "list[os.DirEntry[str] | OSError]":
    try:
        with os.scandir(folder) as entries:
            return [*entries]
    except OSError as error:
        return [error]


def _list_transcripts(folder: Path) -> Iterator[Found]:
    for entry in _scan(folder):
        if isinstance(entry, OSError):
            yield folder, NotTaken(f"cannot be read: {entry.strerror}")
        elif Path(entry).suffix == ".jsonl" and not os.path.isdir(entry):
            yield Path(entry), _refuse(Path(entry))


def _refuse(file: Path) -> NotTaken | None:
    """Why what is called like a transcript is not opened."""
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        return NotTaken("a link to nothing")
    except OSError as error:
        return NotTaken(f"cannot be read: {error.strerror}")
    if stat.S_ISREG(mode):
        return None
    kind = next((kind for test, kind in _KINDS if test(mode)), "something else")
    return NotTaken(f"not opened: it is {kind}, no file")


def name_sessions(
    files: Iterable[Found], session: str | None = None, name_from: NameFrom = "name"
) -> list[tuple[Path, str | NotTaken]]:
    """Each file with its session, or with the reason why it has none.

    That is `session`, or else the file's stem; with `name_from` "path" a name of its own for each path.
    """
    owners: dict[str, Path] = {}
    return [(file, trouble or _name(file, session, name_from, owners)) for file, trouble in files]


def _name(file: Path, session: str | None, name_from: NameFrom, owners: dict[str, Path]) -> str | NotTaken:
    try:
        own = name_by_path(file) if name_from == "path" else file.stem
        name = check_session(own if session is None else session)
    except Malformed as error:
        return NotTaken(f"{error}; give one with --session, or have --name-from path make one")
    owner = owners.setdefault(name, file)
    if owner != file:  # as one session they would be one history and its edit
        return NotTaken(f"session {name} is {owner} already; give another with --session, or use --name-from path")
    return name


def name_by_path(file: Path) -> str:
    """A session id for this path alone; `session_text` reads the path again, unless that is too long.

    The path is absolute and without links, so that it does not matter from where and by which way the file is found.
    """
    return session_id(os.path.realpath(file))


def measure(files: Iterable[Path]) -> int | None:
    """How many bytes they have; None where that cannot be known."""
    try:
        return sum(file.stat().st_size for file in files)
    except OSError:  # stdin, or one that is missing, which will be said when it is its turn
        return None
