"""Notes on disk: a file to which any number of processes append one JSON object a line. A hint, which may be lost."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


class NoteFile:
    """For one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_bytes = 0

    def append(self, note: Mapping[str, object]) -> None:
        """Note it, for the user's eyes alone. Raises `OSError`."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        number = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(number, json.dumps(note).encode() + b"\n")
        finally:
            os.close(number)

    def read_new(self) -> Iterator[dict[str, Any]]:
        """What was noted since the last call. A damaged line is passed over; no file is no note."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read_bytes)
                data = file.read()
        except OSError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        for line in whole.splitlines():
            try:
                note = json.loads(line)
            except (ValueError, RecursionError):  # torn by a crash
                continue
            if isinstance(note, dict):
                yield note
