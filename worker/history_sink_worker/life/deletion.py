"""Delete one session, everywhere that this project has put it: objects, hints, dead letters."""

from dataclasses import dataclass

from history_sink.errors import Malformed
from history_sink_worker.archive.erasure import entomb, second_sweep_seconds, sweep_beside
from history_sink_worker.dead.shelf import list_names, read_head, remove
from history_sink_worker.service import Service


@dataclass(frozen=True, slots=True)
class Removed:
    """What a deletion did. `is_new`: the tombstone was written just now. `letters`: dead letters that were removed.

    `unknown_letters` say of no session that it is theirs. Keys in `foreign` were left: they are not ours.
    """

    session: str
    is_new: bool
    objects: int
    size_bytes: int
    letters: int
    unknown_letters: int
    foreign: tuple[str, ...]
    again_at: float


def delete(work: Service, session: str) -> Removed:
    """Delete `session`, and have a worker sweep once more when nothing can come any more.

    To be done again whenever it was interrupted. Raises `StoreError`.
    """
    prefix = work.settings.prefix
    is_new = work.run(entomb(work.context, prefix, session))
    swept = work.run(sweep_beside(work.context, prefix, session))
    letters, unknown = _remove_letters(work, session)
    again_at = work.context.now() + second_sweep_seconds(work.context)
    work.due.put("sweep", work.log(session), again_at)
    foreign = tuple(sorted(swept.foreign))
    return Removed(session, is_new, swept.objects, swept.size_bytes, letters, unknown, foreign, again_at)


def _remove_letters(work: Service, session: str) -> tuple[int, int]:
    """How many dead letters were removed, and how many do not say whose they are."""
    removed = unknown = 0
    for name in list_names(work):
        owner = read_owner(work, name)
        if owner == session:
            remove(work, name)
        removed += owner == session
        unknown += owner is None
    return removed, unknown


def read_owner(work: Service, name: str) -> str | None:
    """The session of a dead letter; None where it does not say, "" where it is gone meanwhile."""
    try:
        letter = read_head(work, name)
    except Malformed:
        return None
    return letter.session if letter else ""
