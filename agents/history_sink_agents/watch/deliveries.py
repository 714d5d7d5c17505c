"""What is on its way to the store for one file, in order, and what has become of it."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from history_sink import HistorySink, LogEnd, Outcome, Unavailable
from history_sink_agents.watch.attach import Place

WINDOW_BYTES = 4 * 1024 * 1024
"""How much of one file may be on its way: an archive of years must not fill the broker."""

PATIENCE_SECONDS = 30.0
"""How long nothing may come of what is on its way. Then the file is looked at again later."""

_FIRST_PAUSE_SECONDS, _LAST_PAUSE_SECONDS = 0.01, 0.25


class Unconfirmed(Exception):
    """The store has not confirmed it in time. Perhaps it is still on its way."""


class Parted(Exception):
    """The log has gone another way than the file: workers keep the lines beside it."""


class Deleted(Exception):
    """An operator has deleted the session: nothing of it is archived any more."""


@dataclass(frozen=True, slots=True)
class _Delivery:
    task_ids: tuple[str, ...]
    size_bytes: int
    place: Place


class Deliveries:
    """Of one session. `confirmed` is called with each place up to which the store is known to hold the file."""

    def __init__(
        self, sink: HistorySink, session: str, confirmed: Callable[[Place], None], timeout_seconds: float
    ) -> None:
        self._sink = sink
        self._session = session
        self._confirmed = confirmed
        self._timeout_seconds = timeout_seconds
        self._waiting: deque[_Delivery] = deque()
        self._size_bytes = 0

    def add(self, task_ids: tuple[str, ...], size_bytes: int, place: Place) -> None:
        """Note an upload that ends at `place`, and wait for earlier ones where too much is on its way. Raises."""
        self._waiting.append(_Delivery(task_ids, size_bytes, place))
        self._size_bytes += size_bytes
        self._settle(WINDOW_BYTES)

    def finish(self) -> None:
        """Wait for all. Raises `Unconfirmed`, `Parted`, `Deleted`, `Unavailable`."""
        self._settle(0)

    def settle_now(self) -> bool:
        """Take in what is done, and wait for nothing. Returns whether that is all. Raises as `finish`."""
        while self._waiting and self._take():
            pass
        return not self._waiting

    def _settle(self, allowed_bytes: int) -> None:
        deadline, pause = time.monotonic() + PATIENCE_SECONDS, _FIRST_PAUSE_SECONDS
        while self._waiting and self._size_bytes > allowed_bytes:
            if self._take():
                deadline, pause = time.monotonic() + PATIENCE_SECONDS, _FIRST_PAUSE_SECONDS
                continue
            if time.monotonic() > deadline:
                self._take_status()
                return
            time.sleep(pause)
            pause = min(pause * 2, _LAST_PAUSE_SECONDS)

    def _take(self) -> bool:
        """Take in what is done of the oldest ones; whether it was any."""
        outcomes = self._sink.outcomes([task for delivery in self._waiting for task in delivery.task_ids])
        is_any = False
        while self._waiting and all(task in outcomes for task in self._waiting[0].task_ids):
            self._judge([outcomes[task] for task in self._waiting[0].task_ids])
            self._pop()
            is_any = True
        return is_any

    def _judge(self, outcomes: list[Outcome]) -> None:
        kinds = {each.outcome for each in outcomes}
        if "deleted" in kinds:
            raise Deleted
        if kinds - {"stored", "duplicate"} and not self._holds(self._waiting[0].place.end):
            raise Parted if "diverged" in kinds else Unconfirmed

    def _pop(self) -> None:
        delivery = self._waiting.popleft()
        self._size_bytes -= delivery.size_bytes
        self._confirmed(delivery.place)

    def _take_status(self) -> None:
        """No outcome in time: they are lost, or nobody makes any. The store itself may tell. Raises `Unconfirmed`."""
        while self._waiting:
            if not self._holds(self._waiting[0].place.end):
                raise Unconfirmed
            self._pop()

    def _holds(self, end: LogEnd) -> bool:
        status = self._sink.status(self._session, self._timeout_seconds, known=(end,))
        return any(log.branch == end.branch and log.common == end.bytes for log in status.logs)


def check_can_ask(sink: HistorySink) -> None:
    """Raises `Unavailable` where no answer could ever tell that something is stored."""
    if not sink.can_ask:
        raise Unavailable("there is no Redis to read answers from: CODETETHER_HISTORY_RESULT_URL names one")
