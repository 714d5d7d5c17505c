"""Openers: what opens the lines that a filter has sealed, for who reads them.

A filter that seals may be one itself. Else it is the one that is installed, which goes by the environment's keys.
"""

import re
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import cached_property
from importlib.metadata import entry_points
from itertools import chain, tee
from typing import Protocol, runtime_checkable

from history_sink.protocol.lines import ENVELOPE

PLUGINS = "history_sink.openers"
"""The group of entry points. Each makes an opener."""

_LOG = "history.jsonl"
_KEY = re.compile(r"(?:^|/)([^/]+)(?:/branches/[^/]+)?/(?:history\.jsonl|tail/[^/]+)$")


class Sealed(bytes):
    """A line that an `Opener` gives as it is stored, because its key is not here."""


@runtime_checkable
class Opener(Protocol):
    """Opens lines. It knows a sealed one by its beginning, ``{"enc":``."""

    def open_lines(self, session_id: str, lines: Iterable[bytes], is_whole: bool) -> Iterator[bytes]:
        """Yield each line opened, one whose key is not here as a `Sealed`, and one that is not sealed as it is.

        Each ends with a newline. `is_whole`: they are a log from its first line on, so their order can be checked, too.
        What is not as it was sealed raises a `HistorySinkError`. Its text has no content.
        """
        ...


def find_opener(filters: Iterable[object]) -> Opener | None:
    """The first filter that is an opener, else an installed one. Raises `ConfigurationError`."""
    for each in filters:
        if isinstance(each, Opener):
            return each
    for entry in entry_points(group=PLUGINS):
        made: Opener = entry.load()()
        return made
    return None


class Opening:
    """What reads go through. `say` is told, of a session, that a line of it stays sealed.

    `opened` counts sealed lines that were opened, and `sealed` those that were not: for who has an `Opening` of its
    own, and one thread.
    """

    def __init__(self, filters: Iterable[object], say: Callable[[str], None] = lambda session_id: None) -> None:
        self.opened = self.sealed = 0
        self._filters = tuple(filters)
        self._say = say

    @cached_property
    def _opener(self) -> Opener | None:
        return find_opener(self._filters)

    def open_log(self, session_id: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The pieces of a whole log, its lines opened. Raises what `pieces` and the opener raise.

        Where a log begins in the clear, and sealed lines were appended to it, their order is not checked.
        """
        first = next(pieces, b"")
        pieces = chain((first,) if first else (), pieces)
        is_whole = first.startswith(ENVELOPE)
        if not is_whole:
            pieces = yield from _pass_clear(pieces)
        if self._opener is None:
            yield from pieces
        else:
            yield from self._open(self._opener, session_id, split(pieces), is_whole)

    def open_range(self, key: str, data: bytes, start: int = 0) -> bytes:
        """Bytes of the log at `key`, from the offset `start` on. The lines that are whole in it are opened.

        The rest stays as it is. Raises as `open_log`.
        """
        has_envelopes = data.startswith(ENVELOPE) or b"\n" + ENVELOPE in data
        session_id = name_session(key) if has_envelopes else None
        if session_id is None or self._opener is None:
            return data
        whole, newline, rest = data.rpartition(b"\n")
        lines = (line + newline for line in whole.split(b"\n")) if newline else ()
        is_whole = start == 0 and key.endswith(_LOG)
        opened = b"".join(self._open(self._opener, session_id, lines, is_whole))
        if rest.startswith(ENVELOPE):
            self.sealed += 1
            self._say(session_id)
        return opened + rest

    def _open(self, opener: Opener, session_id: str, lines: Iterable[bytes], is_whole: bool) -> Iterator[bytes]:
        given, asked = tee(lines)
        for line, opened in zip(given, opener.open_lines(session_id, asked, is_whole), strict=True):
            if isinstance(opened, Sealed):
                self.sealed += 1
                self._say(session_id)
            elif opened != line:
                self.opened += 1
            yield opened


def _pass_clear(pieces: Iterator[bytes]) -> Generator[bytes, None, Iterator[bytes]]:
    """Yield pieces up to the one with the first sealed line; return that and what follows."""
    mark, held = b"\n" + ENVELOPE, b""
    for piece in pieces:
        data = held + piece
        if mark in data:
            return chain((data,), pieces)
        size = next(size for size in range(len(mark) - 1, -1, -1) if data.endswith(mark[:size]))
        held = data[len(data) - size :]
        if rest := data[: len(data) - size]:
            yield rest
    return iter((held,) if held else ())


def name_session(key: str) -> str | None:
    """The session that the key of a log, a branch or a stray belongs to; None where it is none of these."""
    found = _KEY.search(key)
    return found[1] if found else None


def split(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Pieces of a log to its lines, each with its newline."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line + b"\n" for line in lines)
    if rest:
        yield rest
