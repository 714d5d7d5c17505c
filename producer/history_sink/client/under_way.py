"""The uploads of one session whose outcomes are not known yet, and when to look at them."""

import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from history_sink.errors import Malformed, Unavailable
from history_sink.ledger.stream import Stream
from history_sink.protocol.chain import Junction
from history_sink.protocol.outcome import Outcome
from history_sink.transport.broker import Broker
from history_sink.transport.results import Answer

log = logging.getLogger("history_sink")

LOOK_SECONDS = 2.0
"""How often a save looks at the outcomes of earlier uploads, at most."""

LOOKED_AT = 64
"""How many uploads are remembered, to look at their outcomes. The last outcome tells of the uploads before it, too."""


@dataclass(frozen=True, slots=True)
class SentUpload:
    """What the broker has taken. Its lines end at `end` on the log `branch`, or at the byte `placed` of `stream`."""

    branch: str | None
    end: Junction | None = None
    stream: Stream | None = None
    placed: int = 0


class UnderWay:
    """Only one thread at a time may use it."""

    def __init__(self, session: str, broker: Broker) -> None:
        self._session = session
        self._broker = broker
        self._sent: OrderedDict[str, SentUpload] = OrderedDict()  # by task id
        self._next_look = time.monotonic() + LOOK_SECONDS
        self._has_failed = False

    def add(self, task_id: str, sent: SentUpload) -> None:
        """Remember an upload, and forget those before the last ones."""
        self._sent[task_id] = sent
        while len(self._sent) > LOOKED_AT:
            self._sent.popitem(last=False)

    def look(self, question_id: str | None) -> tuple[Answer | None, list[tuple[SentUpload, Outcome]]]:
        """The answer to a question that is open, and the outcomes that are there by now; these are forgotten.

        Nothing, if the last look was a moment ago. What has failed is said in the log, once.
        """
        now = time.monotonic()
        wanted = [*self._sent] + ([question_id] if question_id else [])
        if now < self._next_look or not wanted or not self._broker.has_answers:
            return None, []
        self._next_look = now + LOOK_SECONDS
        try:
            answers = self._broker.look(wanted)
        except Unavailable:
            return None, []
        answer = answers.pop(question_id, None) if question_id else None
        return answer, self.take(answers)

    def take(self, answers: Mapping[str, Answer]) -> list[tuple[SentUpload, Outcome]]:
        """The outcomes in `answers`, each of which is told once: its upload is forgotten."""
        told = [
            (self._sent.pop(task_id), self._read(each)) for task_id, each in answers.items() if task_id in self._sent
        ]
        return [(sent, outcome) for sent, outcome in told if outcome is not None]

    def find_first(self, branch: str | None) -> list[str]:
        """The first upload to this log."""
        return next(([task_id] for task_id, sent in self._sent.items() if sent.branch == branch), [])

    def find_last(self) -> list[str]:
        """The last upload to each log: its outcome tells of those before it, too."""
        last = {(sent.branch, id(sent.stream)): task_id for task_id, sent in self._sent.items()}
        return [*last.values()]

    def clear(self) -> None:
        """Forget them all: the store has them, as it has said itself."""
        self._sent.clear()

    def _read(self, answer: Answer) -> Outcome | None:
        reason = answer.failure
        if reason is None:
            try:
                return Outcome.decode(answer.value)
            except Malformed as error:
                reason = f"an outcome that cannot be read: {error}"
        if not self._has_failed:
            log.error("history-sink: session %s: an upload failed: %s (said once)", self._session, reason)
        self._has_failed = True
        return None
