"""Dead letters in the store: written once, found, read, removed."""

from collections.abc import Iterator

from history_sink.errors import Malformed
from history_sink_worker.archive.names import DEAD
from history_sink_worker.archive.tombstone import find_tombstone
from history_sink_worker.dead import letter_format
from history_sink_worker.dead.letter_format import Letter
from history_sink_worker.service.service import Service
from history_sink_worker.store import Blob, Delete, Get, Head, Put, Steps, list_page

HEAD_BYTES = 16 * 1024
"""Enough for the first line of nearly every letter."""
_IDENTITY = "hs-identity"


def bury(prefix: str, letter: Letter, look: bool = False) -> Steps[str | None]:
    """Write `letter`, unless an earlier delivery of the very same message has been written; the key.

    None: its session was deleted, so nothing is kept of it.

    `look`: look for one, though the message does not say that it was delivered before.

    If the answer to the write is lost, do it again with the same letter: its own object is recognised.
    """
    identity = letter_format.identify(letter)
    if letter.session and (yield from find_tombstone(prefix, letter.session)):
        return None
    if look or letter_format.is_second_delivery(letter):
        found = yield from _find(prefix, letter.task_id, identity)
        if found is not None:
            return found
    data, at = letter_format.encode(letter), letter.last
    while True:
        key = letter_format.name_letter(prefix, at, letter.task_id)
        if (yield Put(key, data, {_IDENTITY: identity})) is not None:
            return key
        if (yield from _is_of(key, identity)):
            return key
        at += 0.001  # another letter of this task in this millisecond


def _find(prefix: str, task_id: str, identity: str) -> Steps[str | None]:
    # All pages, whatever their number: only a message that is delivered again is looked for.
    ending = f"-{letter_format.safe_id(task_id)}"
    after: str | None = ""
    while after is not None:
        page = yield from list_page(prefix + DEAD, after)
        for entry in page.entries:
            if entry.key.endswith(ending) and (yield from _is_of(entry.key, identity)):
                return entry.key
        after = page.next_after
    return None


def _is_of(key: str, identity: str) -> Steps[bool]:
    info = yield Head(key)
    return info is not None and info.meta.get(_IDENTITY) == identity


def list_names(work: Service) -> Iterator[str]:
    """The names (the last part of the key) of all letters, oldest first. Raises `StoreError`."""
    home = work.settings.prefix + DEAD
    for entry in work.walk(home):
        if letter_format.parse_name(work.settings.prefix, entry.key):
            yield entry.key.removeprefix(home)


def read_head(work: Service, name: str) -> Letter | None:
    """A letter with the beginning of its body at most; None: it is gone. Raises `StoreError`, `Malformed`."""
    blob = _get(work, name, HEAD_BYTES)
    if blob is None:
        return None
    if b"\n" not in blob.body:
        return read_whole(work, name)
    return letter_format.decode(blob.body)


def read_whole(work: Service, name: str) -> Letter | None:
    """A letter; None: it is gone. Raises `StoreError`, `Malformed`."""
    blob = _get(work, name, None)
    if blob is None:
        return None
    letter = letter_format.decode(blob.body)
    if len(letter.body) != letter.size_bytes:
        raise Malformed(f"a dead letter of {len(letter.body)} bytes that says it has {letter.size_bytes}")
    return letter


def _get(work: Service, name: str, end: int | None) -> Blob | None:
    blob = work.store.perform(Get(work.settings.prefix + DEAD + name, 0, end))
    return blob if isinstance(blob, Blob) else None


def remove(work: Service, name: str) -> None:
    """Remove a letter for good; one that is gone is no error. Raises `StoreError`."""
    work.store.perform(Delete((work.settings.prefix + DEAD + name,)))
