"""Which page belongs to which message, after a history was reloaded, grown, edited, undone, redone or forked.

Messages are told by their keys, never by their numbers alone. A pin is not lost while a message with its content, or
one that was edited in its place, is there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from typing import NamedTuple

from history_sink_agents.pages.page import Page

_MOST_PAIRS = 1_000_000
"""Of messages to compare; more would take seconds. Each key's first is then the first one again, and so on."""


class Alignment(NamedTuple):
    """`found` has the page of each message, None for a new one.

    `heirs` has the pages of messages in whose place new ones stand, by the new ones' numbers. `retired` has those that
    have no message any more.
    """

    found: list[Page | None]
    heirs: dict[int, Page]
    retired: tuple[Page, ...]


def align(pages: Sequence[Page], retired: Sequence[Page], keys: Sequence[str]) -> Alignment:
    """Find the pages of the messages with these keys.

    Args:
        pages: The pages of the history as it was.
        retired: Those of messages that were taken away before, the last one last.
        keys: The keys of the messages as they are, or of messages that have stood in for them.

    Returns:
        The pages, and what is left.
    """
    old, new = [page.key for page in pages], _name_originals(pages, retired, keys)
    pairs, swaps = _match(old, new)
    found: list[Page | None] = [None] * len(new)
    for before, now in pairs:
        found[now] = pages[before]
    paired = {before for before, _ in pairs}
    loose = [page for at, page in enumerate(pages) if at not in paired]
    spare = _take_again([*retired, *loose], new, found)
    left = set(map(id, spare))
    heirs = {now: pages[before] for before, now in swaps if found[now] is None and id(pages[before]) in left}
    for before, now in swaps:
        page = found[now]
        if page is not None and pages[before].is_pinned and id(pages[before]) in left:  # edited into what it once was
            found[now] = replace(page, is_pinned=True)
    is_undo = len(new) < len(old) and pairs == [(at, at) for at in range(len(new))]
    if not is_undo:
        _keep_pins((page for page in loose if id(page) in left), found)
    last = {page.key: page for page in spare if not page.is_plain}
    return Alignment(found, heirs, tuple(last.values()))


def _name_originals(pages: Iterable[Page], retired: Iterable[Page], keys: Sequence[str]) -> list[str]:
    """The keys, with that of a page in place of those of messages that have stood in for it."""
    known = [*retired, *pages]
    alias = {shown: page.key for page in known for shown in page.shown}
    alias.update((page.key, page.key) for page in known)
    return [alias.get(key, key) for key in keys]


def _match(old: Sequence[str], new: Sequence[str]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The numbers of messages that are the same; and of those that stand in the place of others, one for one."""
    head = _count_equal(zip(old, new, strict=False))
    tail = _count_equal(zip(reversed(old[head:]), reversed(new[head:]), strict=False))
    inner_old, inner_new = old[head : len(old) - tail], new[head : len(new) - tail]
    same, swaps = _match_inner(inner_old, inner_new)
    pairs = [(at, at) for at in range(head)]
    pairs += [(before + head, now + head) for before, now in same]
    pairs += [(len(old) - tail + at, len(new) - tail + at) for at in range(tail)]
    return pairs, [(before + head, now + head) for before, now in swaps]


def _match_inner(old: Sequence[str], new: Sequence[str]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    same: list[tuple[int, int]] = []
    swaps: list[tuple[int, int]] = []
    if len(old) * len(new) > _MOST_PAIRS:
        places: dict[str, list[int]] = {}
        for at in reversed(range(len(old))):
            places.setdefault(old[at], []).append(at)
        return [(places[key].pop(), at) for at, key in enumerate(new) if places.get(key)], []
    for tag, start, end, first, stop in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        into = same if tag == "equal" else swaps if tag == "replace" and end - start == stop - first else []
        into += zip(range(start, end), range(first, stop), strict=False)
    return same, swaps


def _count_equal(pairs: Iterable[tuple[str, str]]) -> int:
    count = 0
    for one, other in pairs:
        if one != other:
            break
        count += 1
    return count


def _take_again(spare: Sequence[Page], new: Sequence[str], found: list[Page | None]) -> list[Page]:
    """Give new messages the spare pages of their keys, the last one first. Returns those that are left."""
    places: dict[str, list[int]] = {}
    for at, page in enumerate(spare):
        places.setdefault(page.key, []).append(at)
    taken = set()
    for now, key in enumerate(new):
        if found[now] is None and places.get(key):
            at = places[key].pop()
            found[now] = spare[at]
            taken.add(at)
    return [page for at, page in enumerate(spare) if at not in taken]


def _keep_pins(loose: Iterable[Page], found: list[Page | None]) -> None:
    """Of equal messages one was taken away, and none can tell which: the pin goes to one that is left."""
    lost = {page.key for page in loose if page.is_pinned}
    lost -= {page.key for page in found if page is not None and page.is_pinned}
    for at in reversed(range(len(found))):
        page = found[at]
        if page is not None and page.key in lost:
            found[at] = replace(page, is_pinned=True)
            lost.discard(page.key)
