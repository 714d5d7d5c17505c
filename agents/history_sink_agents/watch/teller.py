"""What the watch tells: how far it is, and what is wrong; on stderr, in lines."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from history_sink_agents.formats import Found
from history_sink_agents.watch.carry import Carried


class Teller(Protocol):
    """Who is told what becomes of files. Called by several threads."""

    def carried(self, found: Found, carried: Carried) -> None:
        """A file was looked at."""

    def problem(self, found: Found, reason: str) -> None:
        """A file, or a part of it, is not archived."""

    def away(self, reason: str) -> None:
        """Nothing can be archived now. It is tried again."""

    def back(self) -> None:
        """It can again."""


@dataclass(slots=True)
class Counts:
    """What was done since the start."""

    files: int = 0
    messages: int = 0
    bytes: int = 0
    problems: int = 0


class LineTeller:
    """Says problems and outages; each file only where it `is_verbose`. Names and sizes, never a word of a session.

    Where the watch does not go on behind an outage, whoever ends it says what is away: `tells_outages` is False.
    """

    def __init__(self, say: Callable[[str], None], *, is_verbose: bool = False, tells_outages: bool = True) -> None:
        self._say = say
        self._is_verbose = is_verbose
        self._tells_outages = tells_outages
        self._lock = threading.Lock()
        self._said: set[tuple[str, str]] = set()

    def carried(self, found: Found, carried: Carried) -> None:
        """See `Teller`."""
        if self._is_verbose and carried.action != "nothing":
            noun = "line" if carried.messages == 1 else "lines"
            raw = f", {carried.raw} of them no JSON objects" if carried.raw else ""
            self._tell(
                f"{found.path}: {carried.reason}; {carried.messages} {noun}, {carried.bytes:,} bytes{raw}"
                f" to session {found.session}"
            )

    def problem(self, found: Found, reason: str) -> None:
        """See `Teller`. The same of the same file is said once."""
        with self._lock:
            is_new = (str(found.path), reason) not in self._said
            self._said.add((str(found.path), reason))
        if is_new:
            self._tell(f"{found.path}: {reason}")

    def away(self, reason: str) -> None:
        """See `Teller`."""
        if self._tells_outages:
            self._tell(f"nothing is archived now: {reason}; it is tried again, and nothing is lost")

    def back(self) -> None:
        """See `Teller`."""
        if self._tells_outages:
            self._tell("the archive is back")

    def _tell(self, text: str) -> None:
        with self._lock:
            self._say(text)
