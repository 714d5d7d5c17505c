"""Whether a sink's call may be made, and what it says where it may not, or fails: a receipt, and a line in the log."""

import logging
from collections.abc import Callable
from typing import get_args

from history_sink.errors import HistorySinkError, Malformed, Unavailable
from history_sink.protocol.outcome import Receipt
from history_sink.protocol.plain import Unencodable
from history_sink.protocol.session_ids import name_fault, show_session, take_session

log = logging.getLogger("history_sink")

UNOPENED = "has sealed lines that come as they are stored: the key is not here, or a line is not whole in the range"
CLOSED = "the sink is closed; nothing is archived any more"

_WAYS = frozenset(get_args(Unencodable))
_UNENCODABLE = 'unencodable is "replace" or "refuse"'


class Guard:
    """Of one sink. `why_disabled` None: it is enabled."""

    def __init__(self, why_disabled: str | None) -> None:
        self.why_disabled = why_disabled
        self.is_closed = False
        self._said: set[str] = set()  # what is said in the log once

    def check_open(self) -> None:
        """Raise `Unavailable` where the sink is disabled or closed."""
        if self.why_disabled is not None:
            raise Unavailable(self.why_disabled)
        if self.is_closed:
            raise Unavailable(CLOSED)

    def run(self, session_id: object, unencodable: object, act: Callable[[str], Receipt]) -> Receipt:
        """Run a save. Whatever goes wrong is told in the receipt, and never raised."""
        shown = show_session(session_id)
        if self.why_disabled is not None:
            return Receipt("disabled", shown)
        if self.is_closed:
            self.say_closed(f"session {shown!r}: unreachable")
            return Receipt("unreachable", shown, reason=CLOSED)
        if not isinstance(unencodable, str) or unencodable not in _WAYS:
            self._say_once("unencodable", f"session {shown!r}: refused: {_UNENCODABLE}")
            return Receipt("refused", shown, reason=_UNENCODABLE)
        try:
            name = take_session(session_id)
        except Malformed as error:
            self.say_refused(session_id, error)
            return Receipt("refused", shown, reason=str(error))
        return self.shield(name, lambda: act(name))

    def shield(self, session: str, act: Callable[[], Receipt]) -> Receipt:
        """Run `act`, and make a receipt of what it raises."""
        try:
            return act()
        except HistorySinkError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001  # the agent must not fail because its history does
            # No text and no traceback: either may hold words of the transcript.
            reason = f"failed with {type(error).__name__}"
        return Receipt("refused", session, reason=reason)

    def say_closed(self, what: str) -> None:
        """Log, once, that something was called after `close`."""
        self._say_once("closed", f"{what}: {CLOSED}")

    def say_refused(self, session_id: object, error: Malformed) -> None:
        """Log that an id is refused: agents often do not look at receipts, and nothing of that session is archived."""
        self._say_once(f"id: {name_fault(session_id)}", f"a session is refused: {error}")

    def say_sealed(self, session: str) -> None:
        """Log, once for a session, that sealed lines of it were read, and could not be opened."""
        self._say_once(f"sealed: {session}", f"session {session} {UNOPENED}")

    def _say_once(self, kind: str, what: str) -> None:
        if kind not in self._said:
            self._said.add(kind)
            log.warning("history-sink: %s (said once)", what)
