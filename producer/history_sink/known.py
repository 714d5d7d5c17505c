"""The logs of one session that this process knows something about, and which of them a history belongs on."""

from collections.abc import Iterator
from dataclasses import dataclass

from history_sink.chain import Junction, shorten
from history_sink.contract import branch_name, check_branch
from history_sink.points import Points
from history_sink.status import LogStatus

KEPT_LOGS = 8
"""Beside the main log. An undo opens a branch; who undoes more often than this, and then redoes, opens another."""


@dataclass(slots=True)
class KnownLog:
    """One log, as far as it is known: the history that it holds at least, or that was handed over for it.

    `confirmed` counts the messages that the store has said it holds. `parted`: how many it shares with this
    history before it goes another way, None when it does not. `end` is the store's own (offset, chain16), as last
    told. `holds_more`: it goes on behind this history, and whether that is another way is not known yet.
    """

    branch: str | None
    points: Points
    confirmed: int = 0
    parted: int | None = None
    end: tuple[int, str] | None = None
    holds_more: bool = False

    @property
    def is_blank(self) -> bool:
        """Whether it is a branch that was opened, and nothing was handed over for it."""
        return self.branch is not None and not len(self.points) and self.parted is None

    @property
    def sure(self) -> int:
        """How many messages of `points` are on the log, or will be when all is done that was handed over."""
        return len(self.points) if self.parted is None else self.parted

    def is_start_of(self, history: Points) -> bool:
        """Whether `history` goes on where this log ends, as far as it is known."""
        return self.points.count_common(history) == len(self.points) < len(history)

    def learn(self, told: LogStatus, asked: Points) -> None:
        """Take in what the store tells of this log, which was asked about the history `asked`."""
        self.end = (told.bytes, told.chain)
        is_asked = self.points.count_common(asked) == len(asked)
        end = self.points.find(*self.end)
        if end:
            self.confirmed, self.parted, self.holds_more = max(self.confirmed, end), None, False
        elif is_asked and told.common >= asked.end.offset:
            self.confirmed = self.parted = max(self.confirmed, len(asked))
            self.holds_more = told.bytes > self.points.end.offset
        elif is_asked:
            self.part(told.common)
            self.end = (told.bytes, told.chain)

    def part(self, offset: int) -> None:
        """The store's log goes another way behind `offset`."""
        # What is confirmed is there for ever; an answer may know of fewer common messages, never of others.
        self.parted = max(min(self.points.find(offset) or 0, self.sure), self.confirmed)
        self.end, self.holds_more = None, False  # it is older than this news


class KnownLogs:
    """The main log and some branches, those used last at the end."""

    def __init__(self) -> None:
        self.current = KnownLog(None, Points())
        self._logs: dict[str | None, KnownLog] = {None: self.current}
        self._spent: set[str] = set()  # names that a history would choose anew, were their logs forgotten

    def __iter__(self) -> Iterator[KnownLog]:
        return iter(self._logs.values())

    def get(self, branch: str | None) -> KnownLog | None:
        return self._logs.get(branch)

    def learn(self, told: LogStatus, asked: Points) -> None:
        """Take in what the store tells of one log, which was asked about the history `asked`."""
        end = asked.find(told.bytes, told.chain)
        common = (asked.find(told.common) or 0) if end is None else end
        if told.branch and end is None and (asked.find(*_junction_of(told.branch)) or 0) > common:
            self._spent.add(told.branch)  # and yet the log goes another way, or is not known to go this one so far
        log = self._logs.get(told.branch)
        if log is not None and len(log.points) and not (log.is_start_of(asked) and log.confirmed <= common):
            log.learn(told, asked)
            return
        log = KnownLog(told.branch, asked.prefix(common), common, end=(told.bytes, told.chain))
        if end is None:
            log.parted, log.holds_more = common, common == len(asked)
        if told.branch == self.current.branch:
            self.current = log
        self._keep(log)

    def choose(self, history: Points) -> tuple[KnownLog, int]:
        """The log that `history` belongs on, and how many of its messages are there already.

        That is a log that it extends or that holds it, else a new branch.

        The new branch is named after the junction behind the first line that is not on the log which shares most
        with it, so it differs from the name of every branch that is known.
        """
        best, most, is_home = self.current, -1, False
        for log in (self.current, *self._logs.values()):
            if log.is_blank:
                continue  # its name is of a history that came to nothing
            common, fits = _place(history, log)
            if (fits, common) > (is_home, most):
                best, most, is_home = log, common, fits
        if not is_home:
            best, most = self._open(history, most), 0
        elif best.holds_more and len(history) > most:
            # The store was asked and has not answered. Most likely it goes this way; if not, a worker says `diverged`.
            best.parted, best.holds_more = None, False
        self._keep(best)
        return best, most

    def _open(self, history: Points, common: int) -> KnownLog:
        for messages in range(common + 1, len(history) + 1):
            branch = name_branch(history[messages])
            if branch not in self._spent and (branch not in self._logs or self._logs[branch].is_blank):
                return KnownLog(branch, Points())
        return KnownLog(branch, Points())  # every name is taken: by logs that a foreign writer filled

    def _keep(self, log: KnownLog) -> None:
        """Make `log` the one used last; forget what was opened in vain, and the oldest."""
        self._logs.pop(log.branch, None)
        self._logs[log.branch] = log
        for branch, other in [*self._logs.items()][:-1]:
            is_needed = other is self.current or branch is None
            if not is_needed and (other.is_blank or len(self._logs) > KEPT_LOGS + 1):
                del self._logs[branch]


def name_branch(junction: Junction) -> str:
    """The branch of a history whose first line off the log that it leaves ends at `junction`."""
    return branch_name(junction.offset, shorten(junction.chain))


def _junction_of(branch: str) -> tuple[int, str]:
    """What a branch is named after. Raises `Malformed`."""
    check_branch(branch)
    offset, _, chain16 = branch.partition("-")
    return int(offset), chain16


def _place(history: Points, log: KnownLog) -> tuple[int, bool]:
    """How many messages of `history` are on `log`, and whether it can be saved there."""
    end = history.find(*log.end) if log.parted is not None and log.end else None
    if end:  # a redo: what was off the history asked about is on this one
        log.points, log.confirmed, log.parted, log.holds_more = history.prefix(end), end, None, False
    common = min(history.count_common(log.points), log.sure)
    return common, common == len(history) or (common == len(log.points) and (log.parted is None or log.holds_more))
