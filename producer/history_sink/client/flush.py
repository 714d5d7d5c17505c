"""Wait until the store has a session, asking it and nobody else, and send again what it lacks."""

import logging
import time

from history_sink.client.session import DELETED, Session
from history_sink.errors import Expired, Malformed, NoAnswer, Unavailable, WorkerFailed
from history_sink.ledger.question import Question
from history_sink.protocol.chain import shorten
from history_sink.protocol.outcome import FlushResult
from history_sink.protocol.status import LogStatus, Status
from history_sink.transport.link import NO_ANSWERS

log = logging.getLogger("history_sink")

ASK_SECONDS = 5.0
"""How long one question may wait for a worker before it is asked anew."""

_PATIENCE_SECONDS = 2.0
_FIRST_PAUSE_SECONDS = 0.02
_LAST_PAUSE_SECONDS = 0.5

_NOT_ASKED = FlushResult("time", "the time was up before the store was asked")
_ANSWERED = ("no_store", "clock", "time", "parted")
"""What is found out by a worker's answer."""


def flush(session: Session, timeout_seconds: float) -> FlushResult:
    """See `HistorySink.flush`."""
    deadline = time.monotonic() + timeout_seconds
    lookout = _Lookout()
    result = _NOT_ASKED
    pause = _FIRST_PAUSE_SECONDS
    is_whole = True  # each message is looked at once, the last ones in each round
    while True:
        receipt = session.hand_over(is_whole)
        is_complete = receipt.state != "unreachable"
        if not is_complete:
            result = FlushResult("unreachable", receipt.reason)
        is_whole = False
        if is_complete and session.is_empty:
            return _judge(session)  # nothing to ask about
        if is_complete and not session.can_ask:
            log.error(
                "history-sink: session %s: nobody can tell whether the store has it: %s", session.name, NO_ANSWERS
            )
            return FlushResult("no_answers", NO_ANSWERS)
        remaining = deadline - time.monotonic()
        if is_complete and remaining > 0:
            found = _ask(session, min(ASK_SECONDS, remaining), lookout)
            if found:
                return _judge(session)
            if found.state == result.state == "parted":
                return found  # the first time the answer may show another log that holds it all
            is_cut_short = found.state == "no_worker" and remaining < ASK_SECONDS
            if not (is_cut_short and result.state in _ANSWERED and result is not _NOT_ASKED):
                result = found
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            return result
        time.sleep(min(pause, remaining))
        pause = min(pause * 1.5, _LAST_PAUSE_SECONDS)


def _judge(session: Session) -> FlushResult:
    """What to say of a session of which the store holds all that it can hold."""
    if session.is_deleted:
        return FlushResult("deleted", DELETED)
    refusal = session.refusal
    return FlushResult("refused", f"message {refusal.index}: {refusal.reason}") if refusal else FlushResult("stored")


def _ask(session: Session, timeout_seconds: float, lookout: "_Lookout") -> FlushResult:
    try:
        status, question = session.ask(timeout_seconds)
    except NoAnswer as error:
        return FlushResult("no_worker", str(error))
    except Expired as error:
        return FlushResult("clock", str(error))
    except (WorkerFailed, Malformed) as error:
        return FlushResult("no_store", str(error))
    except Unavailable as error:
        return FlushResult("unreachable", str(error))
    told = next((log for log in status.logs if log.branch == question.branch), None)
    if question.is_whole and told is not None and told.common >= question.end.offset:
        return FlushResult("stored")
    if session.is_beside and (stray := _find_stray(status, question)):
        parted = f"another writer's lines are on the log behind byte {told.common if told else 0}"
        return FlushResult("parted", f"{parted}; this history is whole beside it, as stray {stray}")
    if lookout.is_stuck(status, question):
        session.rewind(_last_held(told, question), question)
    held = _last_held(told, question)
    return FlushResult("time", f"the store has {held} of {question.end.offset} bytes")


def _find_stray(status: Status, question: Question) -> str | None:
    """The key of the stray that ends where this history does, if there is one."""
    ending = f"~{shorten(question.end.chain)}.jsonl"
    strays = (stray.key for stray in status.strays if stray.end == question.end.offset)
    return next((key for key in strays if key.endswith(ending)), None)


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
