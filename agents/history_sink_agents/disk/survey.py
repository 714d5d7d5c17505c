"""What is found of agents on this machine, and how much of it the archive has."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from history_sink import HistorySink
from history_sink_agents.formats import FORMATS, Found
from history_sink_agents.formats.names import name_whole
from history_sink_agents.formats.opencode import read_lines

_QUESTIONS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Measured:
    """One file, or one session of a database, and how many of its bytes the archive has; None: it was not asked."""

    found: Found
    size_bytes: int
    archived_bytes: int | None = None

    @property
    def is_behind(self) -> bool:
        return self.archived_bytes is not None and self.archived_bytes < self.size_bytes


@dataclass(frozen=True, slots=True)
class Holding:
    """All of one agent. `behind` counts files that the archive has not whole; `problem` says what cannot be read."""

    agent: str
    home: str
    sessions: int
    files: int
    bytes: int
    archived_bytes: int | None
    behind: int
    problem: str | None = None

    def encode(self) -> dict[str, object]:
        """A plain dict of the fields."""
        return asdict(self)


def find_homes(environ: Mapping[str, str], user_home: Path, agents: Iterable[str] = ()) -> dict[str, Path]:
    """Where each of these agents, or of all, keeps its files here; only those that are there."""
    homes = {name: FORMATS[name].home(environ, user_home) for name in [*agents] or FORMATS}
    return {name: home for name, home in homes.items() if os.path.isdir(home)}


def measure_files(agent: str, home: Path) -> list[Measured]:
    """Each file with its size. Raises `Unreadable`."""
    return [Measured(found, size) for found in FORMATS[agent].find(home) if (size := _measure(found)) is not None]


def ask_archive(
    sink: HistorySink, files: Iterable[Measured], timeout_seconds: float, advance: Callable[[int], None]
) -> Iterator[Measured]:
    """The same, with what the archive has, by its sizes: no byte is read. Raises what `status` raises."""

    def ask(file: Measured) -> Measured:
        logs = sink.status(file.found.session, timeout_seconds).logs
        advance(file.size_bytes)
        return Measured(file.found, file.size_bytes, min(file.size_bytes, max((log.bytes for log in logs), default=0)))

    with ThreadPoolExecutor(_QUESTIONS_AT_ONCE) as pool:
        futures = [pool.submit(ask, file) for file in files]
        try:
            yield from (future.result() for future in futures)
        finally:
            for future in futures:
                future.cancel()


def sum_up(agent: str, home: Path, files: Iterable[Measured], problem: str | None = None) -> Holding:
    """All of one agent."""
    all_files = [*files]
    known = [file.archived_bytes for file in all_files if file.archived_bytes is not None]
    return Holding(
        agent,
        str(home),
        len({name_whole(file.found.session) for file in all_files}),
        len(all_files),
        sum(file.size_bytes for file in all_files),
        sum(known) if known or not all_files else None,
        sum(file.is_behind for file in all_files),
        problem,
    )


def _measure(found: Found) -> int | None:
    """Of a database, what its lines would have; None where a file has gone meanwhile."""
    if found.kind == "database":
        return sum(map(len, read_lines(found)))
    try:
        return found.path.stat().st_size
    except OSError:
        return None
