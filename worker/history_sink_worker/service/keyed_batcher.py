"""Stores saves of one log one after the other, in the order of their lines. Saves that can be one extent go together.

If two threads store saves of one log at the same time, neither has the other's hint, and each must look at the whole
log. This is for speed alone: a save that does not wait here is stored just as well.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from history_sink_worker.store import Away, Denied, StoreError

POLL_SECONDS = 0.005
"""A save that must wait for an earlier one polls at this interval."""
LINGER_SECONDS = 0.03
"""How long a group may wait to be as large as the one before: a worker that has just ended tasks takes new ones."""
LINES_KEPT = 1000
"""How many keys are remembered at which nobody waits."""

W = TypeVar("W")
R = TypeVar("R")
Choose = Callable[[Sequence[W | None]], Sequence[int]]


class _Ticket(Generic[W, R]):
    def __init__(self, work: W | None, patience_seconds: float) -> None:
        self.work = work
        self.deadline = time.monotonic() + patience_seconds
        self.goes_alone = False
        self.results: list[R] = []
        self.error: StoreError | None = None


class _Line(Generic[W, R]):
    """The saves that wait at one key, in order of arrival.

    `last_size` is the size of the last group. Until `lingers_until` the next group waits until it has as many.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.waiting: list[_Ticket[W, R]] = []
        self.is_busy = False
        self.users = 0
        self.last_size = 0
        self.lingers_until = 0.0


class KeyedBatcher(Generic[W, R]):
    """Lets one group for each key at a time go on; the other threads of this process wait."""

    def __init__(self, choose: Choose[W], patience_seconds: float = 30.0) -> None:
        """`choose` takes the waiting works, in order of arrival, and returns the indices of the next group.

        The thread of the group's first work does the work of the whole group. No thread waits longer than
        `patience_seconds`: a store that hangs must not hold up all saves of a log.
        """
        self._choose = choose
        self._patience_seconds = patience_seconds
        self._lock = threading.Lock()
        self._lines: OrderedDict[Hashable, _Line[W, R]] = OrderedDict()

    def turn(
        self,
        key: Hashable,
        work: W | None,
        do: Callable[[list[W]], Sequence[R]],
        is_early: Callable[[], bool] = lambda: False,
    ) -> R:
        """Wait for the turn of `work`, and return its result.

        The thread whose turn it is calls its `do` with the works of its whole group. So the result may come from
        another thread. While `is_early` returns True, others go first. A `work` of None goes alone, and its `do` is
        called with an empty list. Raises what `do` raises. If the store was away for an earlier thread, all that wait
        raise its error, too: else one thread after the other would wait for a store that hangs.
        """
        ticket: _Ticket[W, R] = _Ticket(work, self._patience_seconds)
        with self._line(key) as line:
            with line.changed:
                line.waiting.append(ticket)
                line.changed.notify_all()
            try:
                while group := self._await(line, ticket, is_early):
                    self._serve(line, group, do)
            finally:
                with line.changed:
                    if ticket in line.waiting:
                        line.waiting.remove(ticket)
                        line.changed.notify_all()
        if ticket.error is not None:
            raise type(ticket.error)(str(ticket.error))
        return ticket.results[0]

    @contextmanager
    def _line(self, key: Hashable) -> Iterator[_Line[W, R]]:
        with self._lock:
            line = self._lines.setdefault(key, _Line())
            self._lines.move_to_end(key)
            line.users += 1
        try:
            yield line
        finally:
            with self._lock:
                line.users -= 1
                while len(self._lines) > LINES_KEPT and not next(iter(self._lines.values())).users:
                    self._lines.popitem(last=False)

    def _await(self, line: _Line[W, R], ticket: _Ticket[W, R], is_early: Callable[[], bool]) -> Sequence[_Ticket[W, R]]:
        """The group that the thread of `ticket` is to work for; empty if its own work is done."""
        with line.changed:
            while ticket in line.waiting:
                now = time.monotonic()
                left_seconds = ticket.deadline - now
                if left_seconds <= 0:
                    return [ticket]
                group = self._next_group(line)
                if line.is_busy or group[0] is not ticket:
                    line.changed.wait(left_seconds)
                elif is_early():
                    line.changed.wait(min(left_seconds, POLL_SECONDS))
                elif len(line.waiting) < line.last_size and now < line.lingers_until:
                    line.changed.wait(line.lingers_until - now)
                else:
                    line.is_busy = True
                    return group
        return []

    def _next_group(self, line: _Line[W, R]) -> list[_Ticket[W, R]]:
        works = [None if ticket.goes_alone else ticket.work for ticket in line.waiting]
        return [line.waiting[index] for index in self._choose(works)]

    def _serve(self, line: _Line[W, R], group: Sequence[_Ticket[W, R]], do: Callable[[list[W]], Sequence[R]]) -> None:
        results: Sequence[R] = ()
        try:
            results = do([ticket.work for ticket in group if ticket.work is not None])
        except (Away, Denied) as error:
            self._tell_all(line, error)
        except Exception:
            if len(group) == 1:
                raise
            for ticket in group:  # each alone: what is wrong with one must not stop the others
                ticket.goes_alone = True
        finally:
            with line.changed:
                for ticket, result in zip(group, results, strict=False):
                    ticket.results.append(result)
                line.last_size, line.lingers_until = len(group), time.monotonic() + LINGER_SECONDS
                line.waiting = [ticket for ticket in line.waiting if not (ticket.results or ticket.error)]
                line.is_busy = False
                line.changed.notify_all()

    def _tell_all(self, line: _Line[W, R], error: StoreError) -> None:
        with line.changed:
            for ticket in line.waiting:
                ticket.error = error

    def __len__(self) -> int:
        """How many keys somebody works or waits at."""
        return sum(1 for line in self._lines.values() if line.users)
