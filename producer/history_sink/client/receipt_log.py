"""What the log says of one session's receipts, for agents that do not look at them."""

import logging

from history_sink.protocol.outcome import Receipt, ReceiptState

log = logging.getLogger("history_sink")

FILTERED_OTHERWISE = (
    "goes on in branch {branch}: the store has another history than these filters make of this one. Either it was"
    " edited, or what is stored was filtered otherwise, or not at all"
)

OTHER_RULES = (
    "its log was begun by the rules {begun}, and the filters here go by {now}. Where these make other lines of it, it"
    " goes on in a branch"
)

MIXED = (
    "lines were appended to a log that was begun by {begun}, and the filters here go by {now}. The log holds both"
    " kinds; `save` of the whole history begins a branch of one kind"
)


class ReceiptLog:
    """A state that lasts is logged once. `is_filtered`: filters may make other lines than those of before."""

    def __init__(self, session: str, is_filtered: bool) -> None:
        self._session = session
        self._may_be_filtered_otherwise = is_filtered  # said once, of what the store has from before
        self._last_state: ReceiptState = "unchanged"
        self._has_said_mixed = False

    def say_rules(self, begun: str, now: str) -> None:
        """The log was begun by other rules than those of this sink's filters, which cannot go by them."""
        log.warning("history-sink: session %s: %s", self._session, OTHER_RULES.format(begun=begun, now=now or "none"))

    def say_mixed(self, begun: str, now: str) -> None:
        """Lines were appended to a log that was begun by other rules: it holds both kinds. Said once."""
        if not self._has_said_mixed:
            self._has_said_mixed = True
            text = MIXED.format(begun=begun or "no rules that are known", now=now or "none")
            log.warning("history-sink: session %s: %s", self._session, text)

    def report(self, receipt: Receipt) -> None:
        """Log what is wrong."""
        if receipt.replaced:
            log.warning(
                "history-sink: session %s: %d values that JSON cannot carry replaced", self._session, receipt.replaced
            )
        if receipt.state == "enqueued" and self._may_be_filtered_otherwise:
            self._may_be_filtered_otherwise = False
            if receipt.branch is not None:
                text = FILTERED_OTHERWISE.format(branch=receipt.branch)
                log.warning("history-sink: session %s: %s", self._session, text)
        if receipt.state != self._last_state and receipt.state in ("unreachable", "refused"):
            where = "" if receipt.index is None else f", message {receipt.index}"
            log.warning("history-sink: session %s: %s%s: %s", self._session, receipt.state, where, receipt.reason)
        self._last_state = receipt.state
