"""Wait until the store has a session, asking it and nobody else, and send again what it lacks."""

import logging
import time

from history_sink.broker import NO_ANSWERS
from history_sink.errors import Malformed, Unavailable
from history_sink.question import Question
from history_sink.session import Session
from history_sink.status import LogStatus, Status

log = logging.getLogger("history_sink")

ASK_SECONDS = 5.0
"""How long one question may wait for a worker before it is asked anew."""

_PATIENCE_SECONDS = 2.0
_FIRST_PAUSE_SECONDS = 0.02
_LAST_PAUSE_SECONDS = 0.5


def flush(session: Session, timeout_seconds: float) -> bool:
    """See `HistorySink.flush`."""
    deadline = time.monotonic() + timeout_seconds
    lookout = _Lookout()
    pause = _FIRST_PAUSE_SECONDS
    is_whole = True  # each message is looked at once, the last ones in each round
    while True:
        is_complete = session.hand_over(is_whole).state != "unreachable"
        is_whole = False
        if is_complete and session.is_empty:
            return session.is_sound  # nothing to ask about
        if is_complete and not session.can_ask:
            log.error(
                "history-sink: session %s: nobody can tell whether the store has it: %s", session.name, NO_ANSWERS
            )
            return False
        remaining = deadline - time.monotonic()
        if is_complete and remaining > 0 and _is_held(session, min(ASK_SECONDS, remaining), lookout):
            return session.is_sound
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            return False
        time.sleep(min(pause, remaining))
        pause = min(pause * 1.5, _LAST_PAUSE_SECONDS)


def _is_held(session: Session, timeout_seconds: float, lookout: "_Lookout") -> bool:
    try:
        status, question = session.ask(timeout_seconds)
    except (Unavailable, Malformed):
        return False
    told = next((log for log in status.logs if log.branch == question.branch), None)
    if question.is_whole and told is not None and told.common >= question.end.offset:
        return True
    if lookout.is_stuck(status, question):
        session.rewind(_last_held(told, question), question)
    return False


class _Lookout:
    """Tells when nothing moves any more: what was handed over is not on its way, it is lost."""

    def __init__(self) -> None:
        self._seen: object = None
        self._since = 0.0
        self._patience_seconds = _PATIENCE_SECONDS

    def is_stuck(self, status: Status, question: Question) -> bool:
        seen = _measure(status, question)
        now = time.monotonic()
        if seen != self._seen:
            self._seen, self._since = seen, now
        if now - self._since < self._patience_seconds:
            return False
        # Perhaps it only waits behind much else, so each time a little longer.
        self._since, self._patience_seconds = now, self._patience_seconds * 2
        return True


def _measure(status: Status, question: Question) -> object:
    logs = [log.bytes for log in status.logs]
    return logs, len(status.strays), status.pending, question.branch, question.end


def _last_held(told: LogStatus | None, question: Question) -> int:
    """The offset up to which the log that `told` is about has the history asked about."""
    if told is None:
        return 0
    return told.bytes if question.points.find(told.bytes, told.chain) is not None else told.common
