"""Sessions that all producers append to, and whether each line is on them once, in its writer's order."""

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from history_sink import HistorySink
from torture.verdict import Archive

SESSIONS = ("appended-0", "appended-1", "appended-2")


@dataclass(frozen=True)
class Appended:
    """The process `instance` has given its first `count` lines to a session, and was told `state`."""

    session: str
    instance: str
    count: int
    state: str


class Appender:
    """What one process appends. `path` is its journal, beside that of its saves."""

    def __init__(self, sink: HistorySink, name: str, path: Path) -> None:
        self._sink, self._instance = sink, f"{name}-{os.getpid()}-{Random().randrange(10**6)}"
        self._counts: dict[str, int] = defaultdict(int)
        self._file = path.open("ab", buffering=0)
        self._file.write(b"\n")  # ends a line that a kill has torn

    def append(self, draw: Random) -> None:
        """Some lines more to one of the sessions."""
        session, count = draw.choice(SESSIONS), draw.choice((1, 1, 2, 5))
        first = self._counts[session]
        lines = [{"appender": self._instance, "n": first + n, "text": "x" * 400} for n in range(count)]
        receipt = self._sink.append(session, *lines)
        self._counts[session] = first + count
        told = Appended(session, self._instance, first + count, receipt.state)
        self._file.write(json.dumps(asdict(told)).encode() + b"\n")
        os.fsync(self._file.fileno())


def read_appends(path: Path) -> list[Appended]:
    """A journal; a line that a kill has torn is left out."""
    found = []
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        try:
            found.append(Appended(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return found


def judge_appends(told: Iterable[Appended], archives: Mapping[str, Archive]) -> list[str]:
    """What is not as it was promised, a line each."""
    owed: dict[tuple[str, str], int] = defaultdict(int)
    for each in told:
        if each.state in ("enqueued", "unchanged"):  # then the broker has all that was given before, too
            owed[each.session, each.instance] = max(owed[each.session, each.instance], each.count)
    findings = []
    for session in SESSIONS:
        contents = archives.get(session, Archive()).contents
        findings += [f"{session}: {each.key} beside the log" for each in contents if each.is_stray or each.branch]
        body = b"".join(each.body for each in contents if not each.is_stray and each.branch is None)
        numbers: dict[str, list[int]] = defaultdict(list)
        for line in body.splitlines():
            fields = json.loads(line)
            numbers[fields["appender"]].append(fields["n"])
        findings += [
            f"{session}: {instance} has {found[:50]}, and not each line once and in order"
            for instance, found in numbers.items()
            if found != [*range(len(found))]
        ]
        findings += [
            f"{session}: {instance} has {len(numbers[instance])} of {count} lines"
            for (name, instance), count in owed.items()
            if name == session and len(numbers[instance]) < count
        ]
    return findings
