"""The manifest of a session: which file each of its logs is, and what a restore must know beside the bytes.

It is a log of its own, `names.name_manifest`, one line for each file (and for each version of one that is written
anew), appended before or with the file's first bytes. Lines may repeat: the last one of a log and a hash counts.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any

from history_sink_agents.formats.heads import read_object

_VERSION = 1
_TEXTS, _MAYBE = ("agent", "session", "path", "kind"), ("cwd", "machine", "sha256")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. `size_bytes` and `sha256` are those of a whole file, None of one that grows."""

    agent: str
    session: str
    path: str
    kind: str
    cwd: str | None = None
    machine: str | None = None
    mode: int | None = None
    size_bytes: int | None = None
    sha256: str | None = None


def make_line(entry: Mapping[str, object], whole: bytes | None = None) -> bytes:
    """The line, with its newline, for what `Format.manifest` says. `whole` are the bytes of a file of that kind."""
    facts = {"v": _VERSION, **entry}
    if whole is not None:
        facts |= {"size_bytes": len(whole), "sha256": sha256(whole).hexdigest()}
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def read_lines(lines: Iterable[bytes]) -> list[Entry]:
    """The entries of a manifest. What is no entry, or leads out of a home, is passed over."""
    return [entry for line in lines if (entry := _read(line))]


def _read(line: bytes) -> Entry | None:
    value = read_object(line)
    if not all(isinstance(value.get(name), str) for name in _TEXTS):
        return None
    facts: dict[str, Any] = {name: value[name] for name in _TEXTS}
    facts |= {name: value[name] for name in _MAYBE if isinstance(value.get(name), str)}
    facts |= {name: value[name] for name in ("mode", "size_bytes") if type(value.get(name)) is int}
    return Entry(**facts) if is_below(facts["path"]) else None


def is_below(path: str) -> bool:
    """Whether a path with slashes stays below the folder that it begins in."""
    return bool(path) and "\0" not in path and "\\" not in path and path == _normal(path)


def _normal(path: str) -> str:
    parts = PurePosixPath(path).parts
    return "" if path.startswith("/") or ".." in parts else "/".join(parts)


def cut_lines(whole: bytes) -> list[bytes]:
    """The lines by which a whole file is archived: its bytes, and a newline behind them where there is none."""
    lines = whole.split(b"\n")
    last = lines.pop()
    return [*(line + b"\n" for line in lines), *([last + b"\n"] if last else [])]


def join_lines(log: bytes, entries: Iterable[Entry]) -> bytes:
    """The bytes of a whole file again: without the newline that `cut_lines` put there; the last entry counts."""
    bare = log.removesuffix(b"\n")
    known = {sha256(each).hexdigest(): each for each in (log, bare)}
    hits = [known[entry.sha256] for entry in entries if entry.sha256 in known]
    return hits[-1] if hits else log
