"""What a producer asks of the workers: bytes, and how far the store is."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from history_sink.client.ranges import NotFound, find_source, read_source
from history_sink.errors import Denied, HistorySinkError, NoAnswer, Unavailable
from history_sink.protocol.contract import (
    LIST_SESSIONS,
    LISTED,
    MAX_OFFSET,
    PACKED,
    RECALL,
    RESOLVE,
    SEARCH_QUEUE,
    STATUS,
)
from history_sink.protocol.listing import Listing
from history_sink.protocol.log_end import LogEnd
from history_sink.protocol.outcome import NOT_ON_THE_LOG, Outcome, Receipt
from history_sink.protocol.packing import ZLIB, unpack_answer
from history_sink.protocol.pointer import Fault, PointerHandle, parse_json
from history_sink.protocol.search import Question, Recalled
from history_sink.protocol.status import LATEST, Status
from history_sink.settings import ProducerSettings
from history_sink.transport.broker import Broker
from history_sink.transport.link import NO_ANSWERS

log = logging.getLogger("history_sink")

T = TypeVar("T")


class Reading:
    """Questions to workers. It remembers where the store is, and nothing else."""

    def __init__(self, settings: ProducerSettings, broker: Broker, pause: Callable[[float], None] = time.sleep) -> None:
        self._broker = broker
        self._pause = pause
        self._home = (settings.bucket, settings.home_prefix) if settings.bucket else None

    def resolve(self, handle: PointerHandle, timeout_seconds: float) -> bytes | Fault:
        """See `HistorySink.resolve`."""
        return self.begin(handle, timeout_seconds)()

    def begin(self, handle: PointerHandle, timeout_seconds: float) -> Callable[[], bytes | Fault]:
        """Ask for what `handle` points to, and return what waits for the answer. Neither raises."""
        if not self._broker.has_answers:
            return lambda: Fault("backend_error", f"resolve {handle.key}: {NO_ANSWERS}")
        start = time.monotonic()
        asked = self._try(
            handle, lambda: self._broker.send(RESOLVE, (handle.encode(),), {}, "{}", timeout_seconds, {PACKED: ZLIB})
        )
        if isinstance(asked, Fault):
            return lambda: asked
        remaining = max(0.0, timeout_seconds - (time.monotonic() - start))
        return lambda: self._try(handle, lambda: _read_answer(self._broker.take(asked, remaining), handle))

    def _try(self, handle: PointerHandle, act: Callable[[], T]) -> T | Fault:
        try:
            return act()
        except Denied as error:
            return Fault("denied", f"resolve {handle.key}: {error}")
        except HistorySinkError as error:
            return Fault("backend_error", f"resolve {handle.key}: {error}")
        except Exception as error:  # noqa: BLE001  # who resolves gets an answer, whatever happens
            return Fault("backend_error", f"resolve {handle.key}: failed with {type(error).__name__}")

    def status(self, session: str, timeout_seconds: float, junctions: Sequence[tuple[int, str]] = ()) -> Status:
        """How far the store is with a session that this process knows nothing of. Raises `Unavailable`."""
        described = f"{{junctions: {len(junctions)}}}" if junctions else "{}"
        asked = {"junctions": [*junctions]}
        status = Status.decode(self._broker.call(STATUS, (session,), asked, timeout_seconds, described))
        self._home = self._home or (status.bucket, status.prefix)
        return status

    def list_sessions(
        self, after: str, limit: int, timeout_seconds: float, prefix: str, fields: Sequence[str] | None
    ) -> Listing:
        """See `HistorySink.list_sessions`."""
        asked = {"after": after, "limit": limit}
        listed = {"prefix": prefix, "fields": None if fields is None else [*fields]}
        is_plain = not prefix and fields is None
        shown, headers = (asked, {}) if is_plain else ({**asked, **listed}, {LISTED: listed})
        answer = self._broker.call(LIST_SESSIONS, (), asked, timeout_seconds, repr(shown), headers)
        return Listing.decode(answer, fields).only(prefix)

    def recall(self, question: Question, timeout_seconds: float) -> Recalled | Fault:
        """See `HistorySink.recall`. What is asked is content, and no event shows it."""
        shown = repr({"session": question.session, "limit": question.limit})
        try:
            answer = self._broker.call(RECALL, (), question.encode(), timeout_seconds, shown)
        except NoAnswer as error:
            raise NoAnswer(f"{error}; is there a search worker (-Q {SEARCH_QUEUE})?") from None
        if not isinstance(answer, bytes):
            return Fault.decode(answer)
        return Recalled.decode(parse_json(answer))

    def find_home(self, session: str, timeout_seconds: float) -> tuple[str, str]:
        """Bucket and prefix of the store: from the settings, else a worker is asked, once. Raises `Unavailable`."""
        if self._home is None:
            status = self.status(session, timeout_seconds)
            return status.bucket, status.prefix
        return self._home

    def find_latest(self, session: str, timeout_seconds: float) -> str | None:
        """The branch that was written after the main log, None where none was. Raises `Unavailable`."""
        latest = self.status(session, timeout_seconds).latest
        return latest.branch if latest else None

    def find_end(self, session: str, branch: str | None, timeout_seconds: float) -> LogEnd:
        """See `HistorySink.resume`."""
        status = self.status(session, timeout_seconds)
        if branch == LATEST:
            told = status.latest
        else:
            told = next((each for each in status.logs if each.branch == branch), None)
        if told is None and branch not in (None, LATEST):
            raise NotFound(f"no branch {branch} of session {session} in the store")
        end = told.end if told else LogEnd()
        if end is None:
            raise Unavailable("the worker is older than this library, and does not tell how a log goes on")
        return end

    def find_outcomes(self, task_ids: list[str]) -> dict[str, Outcome]:
        """See `HistorySink.outcomes`."""
        if not self._broker.has_answers:
            raise Unavailable(NO_ANSWERS)
        found = {}
        for task_id, answer in self._broker.look(task_ids).items() if task_ids else ():
            if answer.failure is None:
                found[task_id] = Outcome.decode(answer.value)
        return found

    def wait(self, receipt: Receipt, wait_seconds: float) -> Receipt | Outcome:
        """The worst of the outcomes of what was handed over, else the last; the receipt where not all came in time."""
        try:
            if receipt.state != "enqueued" or not self._broker.has_answers:
                return receipt
            answers = self._broker.watch(receipt.task_ids, wait_seconds)
            failed = next((answer.complaint for answer in answers.values() if answer.complaint), None)
            if failed is not None:
                return replace(receipt, reason=failed)
            if len(answers) < len(receipt.task_ids):
                return receipt
            outcomes = [Outcome.decode(answers[task_id].value) for task_id in reversed(receipt.task_ids)]
            return max(outcomes, key=lambda outcome: outcome.outcome in NOT_ON_THE_LOG)
        except HistorySinkError as error:
            return replace(receipt, reason=str(error))

    def read(self, session: str, branch: str | None, timeout_seconds: float) -> Iterator[bytes]:
        """The whole log, as far as the store has it now, range after range."""
        status = self.status(session, timeout_seconds)
        source, later = find_source(status, branch), status.written_later
        if later and branch is None:
            log.warning(
                "history-sink: session %s: the main log is read; branch %s beside it was written later",
                session,
                later.branch,
            )
        resolve = partial(self.resolve, timeout_seconds=timeout_seconds)
        begin = partial(self.begin, timeout_seconds=timeout_seconds)
        return read_source(resolve, source, self._pause, begin)

    def measure_lines(
        self, session: str, branch: str | None, start: int, stop: int, timeout_seconds: float
    ) -> tuple[int, int]:
        """The offsets of messages ``[start, stop)`` of a log, clamped to its end. Reads it as far as needed."""
        ends = _walk_ends(self.read(session, branch, timeout_seconds))
        offset = first = 0
        for number, offset in enumerate(ends):
            if number == start:
                first = offset
            if number >= stop:
                break
        return (first, offset) if number >= start else (offset, offset)


def _read_answer(answer: object, handle: PointerHandle) -> bytes | Fault:
    """Raises `Malformed`."""
    if isinstance(answer, bytes):
        return answer
    if not isinstance(answer, Mapping) or "kind" in answer:
        return Fault.decode(answer)
    start, end = handle.byte_range or (0, MAX_OFFSET)
    return unpack_answer(answer, end - start)


def _walk_ends(pieces: Iterator[bytes]) -> Iterator[int]:
    """0, and the offset behind each newline."""
    yield 0
    offset = 0
    for piece in pieces:
        at = piece.find(b"\n")
        while at >= 0:
            yield offset + at + 1
            at = piece.find(b"\n", at + 1)
        offset += len(piece)
