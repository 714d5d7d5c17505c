"""What a restore would write where, and what keeps it from being done. Nothing is written here."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from history_sink import LogStatus
from history_sink_agents.formats.manifest import Entry
from history_sink_agents.formats.names import name_whole
from history_sink_agents.formats.patterns import PatternFormat
from history_sink_agents.restore.archive import Archive
from history_sink_agents.restore.errors import Absent, Refused

_COPY = re.compile(r".*[.-]at-[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Item:
    """One file to restore: the log of an entry, to `relative` below the home. `log` None: it was empty.

    `entries` are all that the manifest says of it, the last one last; `versions` counts the logs of its session.
    """

    entries: tuple[Entry, ...]
    log: LogStatus | None
    relative: str
    versions: int = 1

    @property
    def entry(self) -> Entry:
        return self.entries[-1]

    @property
    def session(self) -> str:
        return self.entry.session

    @property
    def size_bytes(self) -> int:
        return self.log.bytes if self.log else 0


Items: TypeAlias = list[Item]


def group_entries(entries: Iterable[Entry], asked: str) -> dict[str, tuple[Entry, ...]]:
    """The entries of each log of a session. Of one that lies in several places, the copy that was `asked` for alone."""
    logs: dict[str, tuple[Entry, ...]] = {}
    for entry in entries:
        if name_whole(entry.session) == name_whole(asked):
            logs[entry.session] = (*logs.get(entry.session, ()), entry)
    if _COPY.fullmatch(asked):
        return {session: each for session, each in logs.items() if session == asked}
    return {session: each for session, each in logs.items() if not _COPY.fullmatch(session)}


def find_items(archive: Archive, agent: PatternFormat, asked: str) -> tuple[Items, list[str]]:
    """The files of one session, and the logs that the manifest names and the archive does not have.

    Raises `Absent` where there is nothing of it, `Refused` for a manifest that leads out of the agent's sessions.
    """
    items: Items = []
    missing: list[str] = []
    for session, entries in group_entries(archive.read_manifest(asked), asked).items():
        last = entries[-1]
        if last.agent != agent.name or not agent.match(last.path):
            raise Refused(f"the manifest of {asked} names {last.path!r}, where {agent.name} keeps no session")
        found = archive.find_log(session)
        if not found and last.size_bytes != 0:
            missing.append(f"{session} ({last.path})")
        else:
            log, versions = found or (None, 0)
            items.append(Item(entries, log, last.path, versions))
    if not items:
        raise Absent(f"the archive has nothing of {asked}, but its manifest; missing: {', '.join(missing) or 'all'}")
    return items, missing


def place_items(items: Items, agent: PatternFormat, home: Path, project: str | None) -> Items:
    """The same, each at the path where the agent looks for it from `project`.

    Of two that would be one file, such as an archived thread and the active one, the one written last is taken; a
    packed file gives way to the one that is not. Without a project, all go to that of the file written last: on two
    machines one session may have lain in two. Raises `Misplaced`.
    """
    placed: dict[str, Item] = {}
    folder = max(items, key=_written).relative.split("/")[1] if agent.has_projects and not project else None
    for item in items:
        relative = agent.place(home, item.relative, project)
        if folder:
            top, _, *rest = relative.split("/")
            relative = "/".join([top, folder, *rest])
        other = placed.get(relative)
        if not other or _written(item) >= _written(other):
            placed[relative] = replace(item, relative=relative)
    return [item for path, item in placed.items() if path.removesuffix(".zst") not in placed.keys() - {path}]


def _written(item: Item) -> float:
    return item.log.last_write if item.log else 0.0


def order_items(items: Items) -> tuple[Item, ...]:
    """The session's own file last: an agent that looks meanwhile finds no session without its parts."""
    return tuple(sorted(items, key=lambda item: (item.session.count(".") == 1, item.relative)))
