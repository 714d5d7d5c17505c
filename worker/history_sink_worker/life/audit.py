"""Look over what is stored for secrets: which rule, and where; never the value."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from history_sink.protocol.lines import ENVELOPE
from history_sink.protocol.pointer import Fault, PointerHandle
from history_sink_worker.archive.names import Log, parse_key
from history_sink_worker.archive.reader import NO_MATCH, read
from history_sink_worker.life.inventory import list_folders
from history_sink_worker.service.service import Service

Scan: TypeAlias = Callable[[bytes], list[str]]
"""Takes a text, and returns the names of the rules that find a secret in it."""

RANGE_BYTES = 4 * 1024 * 1024
_NESTED = 8


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A rule that applies to a line. `handle` is the pointer to the line."""

    session: str
    branch: str | None
    rule: str
    handle: PointerHandle


@dataclass(frozen=True, slots=True)
class Audited:
    """One log, or a stray; `sealed` of its lines could not be looked at. `problem` says why the rest was not read."""

    session: str
    key: str
    lines: int
    sealed: int
    suspicions: list[Suspicion]
    problem: str | None = None


class Audit:
    """One pass. `advance` is told how many bytes have been read, each time."""

    def __init__(self, work: Service, scan: Scan, advance: Callable[[int], None] = lambda size_bytes: None) -> None:
        self._work, self._scan, self._advance = work, scan, advance

    def run(self, session: str | None = None) -> Iterator[Audited]:
        """Everything, or one session: logs, branches, strays. Raises `StoreError`."""
        for folder in list_folders(self._work, session):
            if folder.session:
                for branch in (None, *sorted(folder.branches)):
                    yield from self._audit_log(self._work.log(folder.session, branch))

    def _audit_log(self, log: Log) -> Iterator[Audited]:
        yield self._audit_range(log, log.base, 0, None)
        for entry in self._work.walk(f"{log.root}tail/"):
            found = parse_key(self._work.settings.prefix, entry.key)
            if found and found[1] and found[1].kind == "stray":
                yield self._audit_range(log, entry.key, found[1].start, found[1].start + entry.size_bytes)

    def _audit_range(self, log: Log, key: str, start: int, end: int | None) -> Audited:
        """The lines from byte `start` on."""
        at = line_start = start
        rest, lines, sealed, suspicions = b"", 0, 0, list[Suspicion]()
        problem = None
        while end is None or at < end:
            stop = at + RANGE_BYTES if end is None else min(end, at + RANGE_BYTES)
            answer = self._read(key, at, stop)
            if isinstance(answer, Fault):
                problem = None if answer == NO_MATCH else str(answer)
                break
            self._advance(len(answer))
            at += len(answer)
            *whole, rest = (rest + answer).split(b"\n")
            for line in whole:
                lines += 1
                sealed += line.startswith(ENVELOPE)
                handle = PointerHandle(self._work.settings.bucket, key, (line_start, line_start + len(line) + 1))
                suspicions += [Suspicion(log.session, log.branch, rule, handle) for rule in self._look(line)]
                line_start += len(line) + 1
        return Audited(log.session, key, lines, sealed, suspicions, problem)

    def _read(self, key: str, start: int, end: int) -> bytes | Fault:
        settings = self._work.settings
        handle = PointerHandle(settings.bucket, key, (start, end)).encode()
        return self._work.run(read(self._work.context, settings.bucket, settings.prefix, handle, RANGE_BYTES))

    def _look(self, line: bytes) -> list[str]:
        return [] if line.startswith(ENVELOPE) else sorted(set(self._scan(write_plain(line))))


def write_plain(line: bytes) -> bytes:
    """A line as scanners know secrets: each string decoded, behind its key. A line that is no JSON stays as it is."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return line
    return "\n".join(_strings("", value, 0)).encode("utf-8", "replace")


def _strings(key: str, value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _strings(name, each, depth)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(key, each, depth)
    elif isinstance(value, str):
        inner = _read_json(value) if depth < _NESTED else None
        if inner is None:
            yield f"{key}={value}"
        else:
            yield from _strings(key, inner, depth + 1)


def _read_json(text: str) -> Any:
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
