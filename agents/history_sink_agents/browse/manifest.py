"""The manifest of an export: which file is which bytes of the log. JSON lines, added to as the log grows."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from history_sink import HistorySinkError
from history_sink_agents.browse.log import Log
from history_sink_agents.render import VERSION, Turn, Who, name_turn

NAME = "manifest.jsonl"
_FORMAT = 1
_HASH_DIGITS = 16


class ForeignFile(HistorySinkError):
    """A file that the export would have to write to is not the export's."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One turn: its file and that file's size, and its bytes ``[start, end)`` of the log with their hash."""

    turn: int
    file: str
    who: Who
    start: int
    end: int
    size_bytes: int
    sha256: str
    at: float | None = None
    group: str | None = None
    shape: str = "plain"


@dataclass(slots=True)
class Manifest:
    """What is in a folder of one log.

    `is_old`: written by another version's rules, so all is to be made anew. `is_cut`: its last lines could not be read.
    """

    log: dict[str, Any]
    entries: list[Entry] = field(default_factory=list)
    is_old: bool = False
    is_cut: bool = False

    @property
    def end(self) -> int:
        """How far the folder has the log, in bytes."""
        return self.entries[-1].end if self.entries else 0

    @property
    def speakers(self) -> dict[str, Who]:
        """As `render.speakers_of`, of the turns that are there."""
        return {each.group: each.who for each in self.entries if each.group and each.shape == "opencode"}


def make_entry(turn: Turn, line: bytes, size_bytes: int) -> Entry:
    """The entry of a turn whose file has so many bytes."""
    return Entry(
        turn.number, name_turn(turn.number, turn.who), turn.who, turn.start, turn.end, size_bytes,
        hash_line(line), turn.at, turn.group, turn.shape,
    )  # fmt: skip


def hash_line(line: bytes) -> str:
    """What proves that a line is the one that was written."""
    return sha256(line).hexdigest()[:_HASH_DIGITS]


def describe(log: Log) -> dict[str, Any]:
    """What says which log a folder holds."""
    return {"session": log.session, "branch": log.branch, "bucket": log.bucket, "key": log.key}


def read_manifest(directory: Path, log: Log) -> Manifest:
    """What the folder has of `log`; nothing where there is no manifest.

    What a crash or an editor has left half is cut off: those turns are written again. Raises `ForeignFile` where the
    manifest is another program's, or another log's; `OSError`.
    """
    path, wanted = directory / NAME, describe(log)
    try:
        head, *lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return Manifest(wanted)
    header = _read(head)
    if header.get("history_sink_export") != _FORMAT:
        raise ForeignFile(f"{path} is not this program's")
    if header.get("log") != wanted:
        held = header["log"] if isinstance(header.get("log"), dict) else {}
        what = f"session {held.get('session')}" + (f", branch {held['branch']}" if held.get("branch") else "")
        raise ForeignFile(f"{directory} has {what} of bucket {held.get('bucket')}; take another folder")
    manifest = Manifest(wanted, is_old=header.get("render") != VERSION, is_cut=bool(lines and lines[-1]))
    for line in lines[:-1]:
        entry = _read_entry(line)
        if entry is None or (entry.turn, entry.start) != (len(manifest.entries), manifest.end):
            manifest.is_cut = True
            break
        manifest.entries.append(entry)
    return manifest


def start_manifest(path: Path, manifest: Manifest) -> None:
    """Write the manifest anew, whole. Raises `OSError`."""
    header = {"history_sink_export": _FORMAT, "render": VERSION, "log": manifest.log}
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(_write(header) + b"".join(_write(asdict(each)) for each in manifest.entries))
    os.chmod(part, 0o600)
    os.replace(part, path)


def add_entries(path: Path, entries: Iterable[Entry]) -> None:
    """Add what was written to the manifest, behind its last line. Raises `OSError`."""
    with path.open("ab") as file:
        file.write(b"".join(_write(asdict(each)) for each in entries))


def _write(value: dict[str, Any]) -> bytes:
    kept = {key: each for key, each in value.items() if each is not None}
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _read(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _read_entry(line: bytes) -> Entry | None:
    """None where somebody has changed it."""
    try:
        entry = Entry(**_read(line))
        is_whole = entry.start < entry.end and entry.file == name_turn(entry.turn, entry.who)
    except (TypeError, ValueError):
        return None
    is_sound = all(type(each) is int for each in (entry.turn, entry.start, entry.end, entry.size_bytes))
    return entry if is_whole and is_sound and isinstance(entry.group, str | None) else None
