"""A walk below an agent's home that follows no link, and so never leaves it."""

import os
from collections.abc import Iterator
from pathlib import Path


def walk(home: Path, folders: tuple[str, ...]) -> Iterator[str]:
    """The regular files below these folders of `home`, by their paths below it, with slashes.

    Links are passed over, to files and to folders: one may lead to a key. So are names that are no UTF-8, and what
    cannot be read. `home` itself may be a link.
    """
    for folder in folders:
        if not os.path.islink(home / folder):
            yield from _walk(home, folder)


def _walk(home: Path, folder: str) -> Iterator[str]:
    try:
        with os.scandir(home / folder) as entries:
            found = [*entries]
    except OSError:  # it is not there, or vanished, or is not ours to read
        return
    for entry in found:
        relative = f"{folder}/{entry.name}"
        if not _is_text(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(home, relative)
        elif entry.is_file(follow_symlinks=False):
            yield relative


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
