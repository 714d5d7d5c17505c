"""What a producer was told, on disk before it goes on: the harness believes this, and nothing else, of what is owed."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Intent:
    """The producer `writer` is about to save this version of the session's history."""

    session: str
    writer: str
    step: int


@dataclass(frozen=True)
class Told:
    """A receipt. The broker has taken the first `offset` bytes of the version `step`, whose chain there is `chain`.

    `writer` is the producer; `at` is a Unix time. With `offset` 0 nothing is known.
    """

    session: str
    writer: str
    step: int
    at: float
    state: str
    branch: str | None
    messages: int
    bytes: int
    offset: int
    chain: str
    task_ids: tuple[str, ...]
    reason: str | None


Record = Intent | Told


class Journal:
    """One producer's. Appended to; what it was before a kill is still there."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._file.write(b"\n")  # ends a line that a kill has torn

    def write(self, record: Record) -> None:
        """It survives whatever comes, when this returns."""
        self._file.write(json.dumps(asdict(record)).encode() + b"\n")
        os.fsync(self._file.fileno())


def read_journal(path: Path) -> list[Record]:
    """All of it, in order; a line that a kill has torn is left out."""
    records: list[Record] = []
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        try:
            fields = json.loads(line)
        except ValueError:
            continue
        if "state" in fields:
            records.append(Told(**fields | {"task_ids": tuple(fields["task_ids"])}))
        else:
            records.append(Intent(**fields))
    return records
