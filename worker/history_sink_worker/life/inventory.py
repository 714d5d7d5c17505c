"""What lies under the prefix, session by session, from one pass over its LIST: neither content nor metadata is read."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

from history_sink_worker.archive.names import DELETED, PROBE, Log, owner_of, parse_beside, parse_key
from history_sink_worker.archive.tombstone import TOMBSTONE_BYTES
from history_sink_worker.dead.letter_format import parse_name
from history_sink_worker.service.service import Service
from history_sink_worker.store import Entry


@dataclass(slots=True)
class Folder:
    """One session's objects. `session` is "" for what is no session's.

    `last_write` (Unix seconds) is the store's; `foreign` are keys that this project has not written.
    """

    session: str
    objects: int = 0
    size_bytes: int = 0
    last_write: float = 0.0
    base_bytes: int | None = None
    branches: set[str] = field(default_factory=set)
    foreign: list[str] = field(default_factory=list)

    @property
    def may_be_deleted(self) -> bool:
        """Whether the base may be a tombstone: its metadata tells."""
        return self.base_bytes is not None and self.base_bytes <= TOMBSTONE_BYTES

    def add(self, prefix: str, entry: Entry) -> None:
        """Count one object."""
        found, marked = parse_key(prefix, entry.key), parse_beside(prefix, entry.key)
        log, is_base = found[0] if found else marked, found is not None and found[1] is None
        if log is None:
            self.foreign.append(entry.key)
            return
        self.objects, self.size_bytes = self.objects + 1, self.size_bytes + entry.size_bytes
        self.last_write = max(self.last_write, entry.modified)
        if log.branch is not None:
            self.branches.add(log.branch)
        elif is_base:
            self.base_bytes = entry.size_bytes


def list_folders(work: Service, session: str | None = None) -> Iterator[Folder]:
    """Every session, or the only one. Dead letters and what probes leave are passed over. Raises `StoreError`."""
    prefix = work.settings.prefix
    root = prefix if session is None else Log(prefix, session).root
    entries = (entry for entry in work.walk(root) if not _is_other(prefix, entry.key))
    for name, group in groupby(entries, lambda entry: owner_of(prefix, entry.key)):
        folder = Folder(name)
        for entry in group:
            folder.add(prefix, entry)
        yield folder


def _is_other(prefix: str, key: str) -> bool:
    """Whether it is ours, but no session's."""
    is_known = key.startswith(prefix + PROBE) or key == prefix + DELETED
    return is_known or parse_name(prefix, key) is not None
