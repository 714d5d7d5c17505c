"""Wait until the store has a session. Only the store's own answer counts. What it lacks is sent again."""

import logging
import time

from history_sink.client.session import DELETED, Session
from history_sink.errors import Expired, Malformed, NoAnswer, Unavailable, WorkerFailed
from history_sink.ledger.question import Question
from history_sink.protocol.outcome import FlushResult
from history_sink.protocol.status import LogStatus, Status
from history_sink.transport.link import NO_ANSWERS

log = logging.getLogger("history_sink")

ASK_SECONDS = 5.0
"""How long one question may wait for a worker before it is asked anew."""

WAIT_SECONDS = 1.0
"""How long flush waits for the outcomes of what was handed over. They may be lost."""

_PATIENCE_SECONDS = 2.0
_FIRST_PAUSE_SECONDS = 0.02
_LAST_PAUSE_SECONDS = 0.5

_NOT_ASKED = FlushResult("time", "the time was up before the store was asked")
_ANSWERED = ("no_store", "clock", "time")
"""What is found out by a worker's answer."""


def flush(session: Session, timeout_seconds: float) -> FlushResult:
    """See `HistorySink.flush`.

    It asks the store once while workers are still at it, and then waits until they have told the outcomes. What the
    answer lacks they tell: lines are on the log for ever once they are there, unless the session is deleted, and an
    answer that has the log tells that it was not. Where an outcome is late, lost, or not all that is wanted, it goes on
    asking, with pauses that grow.
    """
    deadline = time.monotonic() + timeout_seconds
    lookout = _Lookout()
    result = _NOT_ASKED
    wait, pause = WAIT_SECONDS, _FIRST_PAUSE_SECONDS
    is_whole = True  # each message is looked at once, the last ones in each round
    while True:
        receipt = session.hand_over(is_whole)
        is_whole = False
        if receipt.state == "unreachable":
            result = FlushResult("unreachable", receipt.reason)
        else:
            ended = _end_unasked(session)
            if ended is not None:
                return ended
            # A log that has not begun looks like one that was deleted. Half of the time is kept, to ask in.
            session.wait_for_beginning(min(wait, (deadline - time.monotonic()) / 2))
            remaining = deadline - time.monotonic()
            if remaining > 0 and session.has_news:
                continue
            if remaining > 0:
                found = _ask(session, deadline, wait, lookout)
                wait = _LAST_PAUSE_SECONDS
                if found:
                    session.settle()
                    return _judge(session)
                is_cut_short = found.state == "no_worker" and remaining < ASK_SECONDS
                if not (is_cut_short and result.state in _ANSWERED and result is not _NOT_ASKED):
                    result = found
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            return result
        time.sleep(min(pause, remaining))
        pause = min(pause * 1.5, _LAST_PAUSE_SECONDS)


def _end_unasked(session: Session) -> FlushResult | None:
    """What to say where there is nothing to ask about, or nobody to ask."""
    if session.is_empty:
        return _judge(session)
    if session.can_ask:
        return None
    log.error("history-sink: session %s: nobody can tell whether the store has it: %s", session.name, NO_ANSWERS)
    return FlushResult("no_answers", NO_ANSWERS)


def _judge(session: Session) -> FlushResult:
    """What to say of a session of which the store holds all that it can hold."""
    if session.is_deleted:
        return FlushResult("deleted", DELETED)
    refusal = session.refusal
    return FlushResult("refused", f"message {refusal.index}: {refusal.reason}") if refusal else FlushResult("stored")


def _ask(session: Session, deadline: float, wait_seconds: float, lookout: "_Lookout") -> FlushResult:
    try:
        status, question = session.ask(min(ASK_SECONDS, deadline - time.monotonic()))
    except NoAnswer as error:
        return FlushResult("no_worker", str(error))
    except Expired as error:
        return FlushResult("clock", str(error))
    except (WorkerFailed, Malformed) as error:
        return FlushResult("no_store", str(error))
    except Unavailable as error:
        return FlushResult("unreachable", str(error))
    told = next((log for log in status.logs if log.branch == question.branch), None)
    held = _last_held(told, question)
    is_held = question.is_whole and told is not None and held >= question.end.offset
    is_settled, placed, given = session.tell_appends()
    if is_held and is_settled:
        return FlushResult("stored")
    session.wait_for_outcomes(min(wait_seconds, deadline - time.monotonic()))
    # What the store had before, and has lost since, is sent again.
    if told is not None and held >= question.points[question.confirmed].offset and session.is_confirmed:
        return FlushResult("stored")
    if lookout.is_stuck(status, question):
        if not is_held:
            session.rewind(held, question)
        session.rewind_appends()
    lacking = f"the store has {held} of {question.end.offset} bytes"
    if is_held:
        lacking = f"the store has {placed} of {given} appended bytes"
    return FlushResult("time", lacking)


class _Lookout:
    """Tells when nothing moves any more. Then what was handed over is not on its way: it is lost."""

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
    placed = [sorted(log.placed.items()) for log in status.logs]
    return logs, placed, len(status.strays), status.pending, question.branch, question.end


def _last_held(told: LogStatus | None, question: Question) -> int:
    """The offset up to which the log that `told` is about has the history asked about."""
    if told is None:
        return 0
    return told.bytes if question.points.find(told.bytes, told.chain) is not None else told.common
