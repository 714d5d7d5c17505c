"""A folder that turns are written into: one writer at a time, files whole or not at all, for their owner alone."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from history_sink import HistorySinkError
from history_sink_agents.file_lock import try_lock

PART = ".history-sink-turn.part"
"""What is being written. One name for all: only one writes at a time, and a kill leaves one file at most."""

_LOCK = ".history-sink.lock"
_POLL_SECONDS = 0.05


class Busy(HistorySinkError):
    """Another export writes into the folder."""


@contextmanager
def hold(directory: Path, patience_seconds: float) -> Iterator[None]:
    """The folder, made if need be, for this export alone. Raises `Busy`, `OSError`."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    number = _open_to_lock(directory)
    try:
        deadline = time.monotonic() + patience_seconds
        while not try_lock(number):
            if time.monotonic() > deadline:
                raise Busy(f"another export writes into {directory}")
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(number)


def _open_to_lock(directory: Path) -> int:
    if sys.platform == "win32":  # no folder can be opened there
        return os.open(directory / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY)


def write_file(path: Path, body: bytes) -> None:
    """Put a file in place, whole. Raises `OSError`."""
    part = path.with_name(PART)
    number = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o600)
    with os.fdopen(number, "wb") as file:
        file.write(body)
    os.replace(part, path)


def measure_files(directory: Path) -> dict[str, int]:
    """The sizes of what is in the folder, by name; -1 for what is no regular file."""
    with os.scandir(directory) as found:
        return {
            each.name: each.stat(follow_symlinks=False).st_size if each.is_file(follow_symlinks=False) else -1
            for each in found
        }
