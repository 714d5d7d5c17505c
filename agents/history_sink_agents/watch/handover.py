"""The lines of one file into its log: from where the archive has them, in order, and confirmed by the store."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from history_sink import HistorySink, Malformed, Receipt, Unavailable
from history_sink_agents.watch.attach import START, Place, attach
from history_sink_agents.watch.deliveries import Deliveries, Parted, Unconfirmed
from history_sink_agents.watch.look import Mark, Step
from history_sink_agents.watch.manifests import Manifests, Telling
from history_sink_agents.watch.newcomers import Newcomers
from history_sink_agents.watch.sources import Source

_ATTEMPTS = 3
"""A log may part from a file again and again only where somebody else writes to it."""

_RESEND_SECONDS, _LAST_RESEND_SECONDS = 60.0, 3600.0
"""How long lines that nobody has confirmed may be on their way: a queue may be long. Twice as long each time."""

Describe: TypeAlias = Callable[[], Mapping[str, object]]
Keep: TypeAlias = Callable[[Place, str, bool], None]
"""Remembers up to where the store has the file, the hash of its line in the manifest, and whether that is all."""


class Refused(Exception):
    """A line cannot be archived, and so nothing behind it. The text says why, without a word of it."""


class Stopped(Exception):
    """The watch is to end."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A file's lines, how far they were archived, and what the last look at it meant."""

    session: str
    source: Source
    mark: Mark | None
    step: Step


@dataclass(slots=True)
class Sent:
    """How much was handed over."""

    messages: int = 0
    bytes: int = 0
    raw: int = 0


@dataclass(frozen=True, slots=True)
class _Unsettled:
    """What was handed over, and when it may be sent again: behind `seconds`, by the monotonic clock."""

    deliveries: Deliveries
    seconds: float
    until: float


class Handover:
    """Safe for threads, as long as no two of them are at one session."""

    def __init__(
        self,
        sink: HistorySink,
        timeout_seconds: float = 10.0,
        is_stopped: Callable[[], bool] = lambda: False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sink = sink
        self._now = now
        self._unsettled: dict[str, _Unsettled] = {}
        self._timeout_seconds = timeout_seconds
        self._is_stopped = is_stopped
        self._newcomers = Newcomers(sink, timeout_seconds)
        self._manifests = Manifests(sink, self._newcomers, timeout_seconds)
        self._trusted: dict[str, int] = {}  # by session: the hash of the place up to where this process knows its log

    def hand_over(self, parcel: Parcel, describe: Describe, keep: Keep) -> Sent:
        """Hand over what the archive lacks, and wait until the store has it.

        Raises:
            Refused: A line cannot be archived. Those before it are.
            Unavailable, Unconfirmed: Nothing is known to be lost; try again later.
            Deleted: An operator has deleted the session.
            Stopped: The watch is to end.
            LineTooLong, OSError: The file cannot be read.
        """
        sent = Sent()
        for _ in range(_ATTEMPTS):
            try:
                self._await_earlier(parcel.session)
                self._send(parcel, self._find_place(parcel), describe, keep, sent)
                return sent
            except Parted:
                self._trusted.pop(parcel.session, None)
                parcel = replace(parcel, mark=None, step=Step("attach", "parted"))
            except (Unavailable, Unconfirmed):  # what comes next begins with a question to the store
                self._trusted.pop(parcel.session, None)
                self._newcomers.forget()
                raise
        raise Unconfirmed

    def _await_earlier(self, session: str) -> None:
        """What was handed over and not confirmed is perhaps on its way: it is sent again only after a while."""
        earlier = self._unsettled.get(session)
        if earlier is None:
            return
        try:
            is_settled = earlier.deliveries.settle_now()
        except Parted:
            del self._unsettled[session]
            raise
        if is_settled:
            del self._unsettled[session]
        elif self._now() < earlier.until:
            raise Unconfirmed

    def _find_place(self, parcel: Parcel) -> Place:
        mark, start = parcel.mark, START
        if parcel.step.action == "append" and mark is not None and mark.end is not None:
            start = Place(mark.position, mark.end)
            if self._trusted.get(parcel.session) == hash(start):
                return start
        if parcel.step.reason == "new" and self._newcomers.is_new(parcel.session):
            return START
        try:
            return attach(self._sink, parcel.session, parcel.source, self._timeout_seconds, start)
        except Malformed:  # a mark that cannot be
            return attach(self._sink, parcel.session, parcel.source, self._timeout_seconds)

    def _send(self, parcel: Parcel, place: Place, describe: Describe, keep: Keep, sent: Sent) -> None:
        told = parcel.mark.manifest if parcel.mark else ""
        telling: Telling | None = None

        def confirm(place: Place) -> None:
            self._trusted[parcel.session] = hash(place)
            keep(place, told, False)

        deliveries = Deliveries(self._sink, parcel.session, confirm, self._timeout_seconds)
        earlier = self._unsettled.get(parcel.session)
        seconds = min(earlier.seconds * 2, _LAST_RESEND_SECONDS) if earlier else _RESEND_SECONDS
        self._unsettled[parcel.session] = _Unsettled(deliveries, seconds, self._now() + seconds)
        is_known = parcel.step.action == "append" and bool(told)
        if place.position and not is_known:
            telling = self._manifests.tell(parcel.session, describe(), told)
        for lines, stops in () if place.is_inside else parcel.source.read(place.position):
            if self._is_stopped():
                raise Stopped
            if telling is None and not is_known:
                telling = self._manifests.tell(parcel.session, describe(), told)
            self._newcomers.note(parcel.session)
            receipt = self._sink.extend(parcel.session, lines, place.end)
            if receipt.messages and receipt.end is not None:
                place = Place(stops[receipt.messages - 1], receipt.end)
                deliveries.add(receipt.task_ids, receipt.bytes, place)
            _count(sent, receipt)
            _check(receipt, deliveries)
            del lines, stops  # the next ones are read now, and each may have megabytes
        deliveries.finish()
        del self._unsettled[parcel.session]
        if telling is not None:
            telling.finish()
            told = telling.digest
        if not place.is_inside:
            self._trusted[parcel.session] = hash(place)
        keep(place, told, True)


def _count(sent: Sent, receipt: Receipt) -> None:
    sent.messages += receipt.messages
    sent.bytes += receipt.bytes
    sent.raw += receipt.raw


def _check(receipt: Receipt, deliveries: Deliveries) -> None:
    if receipt.state == "unreachable":
        raise Unavailable(receipt.reason or "the broker is away")
    if receipt.state not in ("enqueued", "unchanged"):
        deliveries.finish()
        raise Refused(receipt.reason or receipt.state)
