"""Codex: the files that a thread stands on. A fork and a rewound thread hold none of the lines before them."""

from collections import defaultdict

from history_sink_agents.formats.codex import CODEX, Base, read_base
from history_sink_agents.formats.names import name_session, name_whole
from history_sink_agents.restore.archive import Archive
from history_sink_agents.restore.errors import Absent, Refused
from history_sink_agents.restore.plan import Item, Items, find_items

_MOST_THREADS = 1000


def close_lineage(archive: Archive, asked: str) -> tuple[Items, list[str]]:
    """All files of a thread and of those that it stands on, and what of them the archive does not have."""
    items: Items = []
    missing: list[str] = []
    bases: dict[str, list[tuple[Item, Base]]] = defaultdict(list)
    todo, seen = [name_whole(asked)], set[str]()
    while todo and len(seen) < _MOST_THREADS:
        thread = todo.pop()
        if thread in seen:
            continue
        seen.add(thread)
        try:
            own, absent = find_items(archive, CODEX, thread)
        except Absent:
            if thread == name_whole(asked):
                raise
            continue  # told below, with who needs it
        items += own
        missing += absent
        for item in own:
            if base := _find_base(archive, item):
                bases[name_session(CODEX.name, base.thread)].append((item, base))
                todo.append(name_session(CODEX.name, base.thread))
    missing += _find_gaps(items, bases)
    return items, missing


def _find_base(archive: Archive, item: Item) -> Base | None:
    if item.log is None or item.entry.kind != "lines":  # a packed one is unpacked by Codex alone
        return None
    try:
        return read_base(archive.read_first_line(item.session, item.log))
    except ValueError as error:
        raise Refused(f"{item.session} stands on another file, and {error}: it may need what is not restored") from None


def _find_gaps(items: Items, bases: dict[str, list[tuple[Item, Base]]]) -> list[str]:
    """What a file stands on and no other file of that thread has."""
    gaps = []
    for thread, needs in bases.items():
        for item, base in needs:
            others = [each.size_bytes for each in items if name_whole(each.session) == thread and each != item]
            if max(others, default=0) < base.end_bytes:
                have = f"the archive has {max(others)}" if others else "the archive has none of it"
                gaps.append(f"bytes 0 to {base.end_bytes} of {thread}, on which {item.session} stands ({have})")
    return gaps
