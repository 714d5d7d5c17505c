"""Delete a session everywhere that this project has put it: objects, hints, dead letters."""

from collections.abc import Collection
from dataclasses import dataclass

from history_sink.errors import Malformed
from history_sink_worker.archive.deletions import announce
from history_sink_worker.archive.erasure import Swept, entomb, second_sweep_seconds, sweep_beside
from history_sink_worker.dead.letter_store import list_names, read_head, remove
from history_sink_worker.service.service import Service


@dataclass(frozen=True, slots=True)
class Removed:
    """What a deletion did. `is_new`: the tombstone was written just now. Keys in `foreign` are not ours, and were left.

    `again_at` (Unix seconds): when it is to be swept once more; `is_noted`: a worker will see to it.
    """

    session: str
    is_new: bool
    objects: int
    size_bytes: int
    foreign: tuple[str, ...]
    again_at: float
    is_noted: bool


def delete(work: Service, session: str, is_announced: bool = False) -> Removed:
    """Delete the objects and hints of `session`, and have a worker sweep once more when nothing can come any more.

    To be done again whenever it was interrupted. `is_announced`: see `announce_all`. Raises `StoreError`.
    """
    prefix = work.settings.prefix
    if not is_announced:
        announce_all(work, [session])
    replaced = work.run(entomb(work.context, prefix, session))
    base, swept = replaced or Swept(), work.run(sweep_beside(work.context, prefix, session))
    again_at = work.context.now() + second_sweep_seconds(work.context)
    is_noted = work.due.put("sweep", work.log(session), again_at)
    objects, size_bytes = base.objects + swept.objects, base.size_bytes + swept.size_bytes
    foreign = tuple(sorted(swept.foreign))
    return Removed(session, replaced is not None, objects, size_bytes, foreign, again_at, is_noted)


def announce_all(work: Service, sessions: Collection[str]) -> None:
    """Do what comes before the tombstones of all of these, at the cost of one. Raises `StoreError`."""
    work.run(announce(work.settings.prefix, sessions))


def remove_letters(work: Service, sessions: Collection[str]) -> tuple[int, int]:
    """Remove their dead letters. Returns how many these were, and how many others do not say whose they are.

    After the tombstones: what is to be buried then, is not kept. Raises `StoreError`.
    """
    removed = unknown = 0
    for name in list_names(work):
        owner = _read_owner(work, name)
        if owner in sessions:
            remove(work, name)
        removed += owner in sessions
        unknown += owner is None
    return removed, unknown


def has_letters(work: Service, session: str) -> bool:
    """Whether a dead letter is of this session. Raises `StoreError`."""
    return any(_read_owner(work, name) == session for name in list_names(work))


def _read_owner(work: Service, name: str) -> str | None:
    """The session of a dead letter; None where it does not say, "" where it is gone meanwhile."""
    try:
        letter = read_head(work, name)
    except Malformed:
        return None
    return letter.session if letter else ""
