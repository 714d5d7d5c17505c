"""A walk below an agent's home that follows no link, and so never leaves it, and the opening of what it finds."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def walk(home: Path, folders: tuple[str, ...]) -> Iterator[str]:
    """The regular files below these folders of `home`, by their paths below it, with slashes.

    Links are passed over, to files and to folders: one may lead to a key. So are names that are no UTF-8, and what
    cannot be read. `home` itself may be a link.
    """
    for folder in folders:
        if not os.path.islink(home / folder):
            yield from _walk(home, folder)


def _walk(home: Path, top: str) -> Iterator[str]:
    folders = [top]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(home / folder) as entries:
                found = [*entries]
        except OSError:  # it is not there, or vanished, or is not ours to read
            continue
        for entry in found:
            relative = f"{folder}/{entry.name}"
            if not _is_text(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(relative)
            elif entry.is_file(follow_symlinks=False):
                yield relative


def open_regular(path: str | Path) -> BinaryIO:
    """Open a file, and nothing that only looks like one: no link is followed, and no pipe is waited for.

    Raises `OSError`.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    return open(descriptor, "rb", buffering=0)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
