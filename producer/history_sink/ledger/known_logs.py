"""The logs of one session that this process knows, and the decision which of them a history belongs on."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from history_sink.ledger.junctions import Points
from history_sink.protocol.chain import Junction, shorten
from history_sink.protocol.contract import branch_name, check_branch
from history_sink.protocol.status import LogStatus

KEPT_LOGS = 8
"""How many branches are remembered. Each undo opens a branch. A redo to a forgotten branch opens a new one."""


@dataclass(slots=True)
class KnownLog:
    """What this process knows of one log.

    `points` are the junctions of the history that the log holds, or that was handed over for it. The log may hold more.
    `confirmed` counts the messages that the store has said it holds. `parted` counts the messages that the log shares
    with this history before it goes another way; None: it is not known to go another way. `end` is the log's (offset,
    chain16) in the store, as the store told it last. `holds_more`: the log goes on after this history, and it is not
    known yet whether the agent's next messages are the ones that the log has there. `saved` counts the messages up to
    the end of the last upload. `appended` are the ranges of messages that streams carry, as far as the store has not
    confirmed them; no upload does. `resend` is the first message of those that uploads are to carry once more.
    """

    branch: str | None
    points: Points
    confirmed: int = 0
    parted: int | None = None
    end: tuple[int, str] | None = None
    holds_more: bool = False
    saved: int = 0
    appended: list[tuple[int, int]] = field(default_factory=list)
    resend: int | None = None

    @property
    def is_blank(self) -> bool:
        """Whether it is a branch that was opened, and that nothing was handed over for."""
        return self.branch is not None and not len(self.points) and self.parted is None

    @property
    def sure(self) -> int:
        """How many messages of `points` are on the log, or will be when workers have stored what was handed over."""
        return len(self.points) if self.parted is None else self.parted

    def is_start_of(self, history: Points) -> bool:
        """Whether `history` continues this log: it has all messages that are known to be on the log, and more."""
        return self.points.count_common(history) == len(self.points) < len(history)

    def is_shorter_than(self, common: int, asked: Points) -> bool:
        """Whether `asked` continues this log, and the store has its first `common` messages, and all confirmed ones.

        Then those messages take this log's place, also where some that were handed over are lost. But not where streams
        carry some of the lost ones.
        """
        is_lost = common < len(self.points)
        return self.is_start_of(asked) and self.confirmed <= common and not (is_lost and self.appended)

    def learn(self, told: LogStatus, asked: Points) -> None:
        """Take in the store's answer about this log. The question was about the history `asked`."""
        self.end = (told.bytes, told.chain)
        is_asked = self.points.count_common(asked) == len(asked)
        end = self.points.find(*self.end)
        if end:
            self.confirm(end)
            self.parted, self.holds_more = None, False
        elif is_asked and told.common >= asked.end.offset:
            self.confirm(len(asked))
            self.parted = self.confirmed
            self.holds_more = told.bytes > self.points.end.offset
        elif is_asked:
            self.part(told.common)
            self.end = (told.bytes, told.chain)

    @property
    def firm(self) -> int:
        """How many messages lie where they are counted, but for a log that parts: no other writer's are between."""
        return self.appended[0][0] if self.appended else len(self.points)

    def confirm(self, messages: int) -> None:
        """Note that the store has the first `messages` messages."""
        self.confirmed = max(self.confirmed, messages)
        self.appended = [each for each in self.appended if each[1] > self.confirmed]

    def graft(self, sequel: Points) -> None:
        """Note that a stream carries the messages of `sequel`, which follow the others."""
        start = len(self.points)
        self.points.join(sequel)
        self.appended.append((start, len(self.points)))
        self.parted, self.holds_more = None, False

    def compare_end(self, told: LogStatus, asked: Points) -> None:
        """Part where the log in the store has an end that is not among `points`, whose end is a guess."""
        if self.parted is None and self.points.find(told.bytes, told.chain) is None:
            common = min(asked.find(told.common) or 0, self.points.count_common(asked))
            self.part(self.points[common].offset)
            self.end = (told.bytes, told.chain)

    def replace(self, points: Points) -> None:
        """Note that the store has the log as in `points`, and nothing more."""
        self.points, self.confirmed, self.parted, self.holds_more = points, len(points), None, False
        self.saved, self.appended, self.resend = 0, [], None

    def skip(self, messages: int) -> int | None:
        """The first message from `messages` on that uploads, and not streams, carry. None: there is no such one."""
        for start, stop in self.appended:
            messages = stop if start <= messages < stop else messages
        return messages if messages < len(self.points) else None

    def count_resent(self) -> int:
        """How many messages behind `resend` come before the next that a stream carries."""
        start = self.resend or 0
        return next((each for each, _ in self.appended if each > start), len(self.points)) - start

    def part(self, offset: int) -> None:
        """The log in the store goes another way after `offset`."""
        # What the store has confirmed stays there for ever. A late answer may tell of fewer messages than that.
        self.parted = max(min(self.points.find(offset) or 0, self.sure), self.confirmed)
        self.end, self.holds_more = None, False  # they were learnt before this news


class KnownLogs:
    """The main log and some branches, in the order in which they were used; the last is the one used last."""

    def __init__(self) -> None:
        self.current = KnownLog(None, Points())
        self._logs: dict[str | None, KnownLog] = {None: self.current}
        self._spent: set[str] = set()  # names of logs that went another way: a new branch must not take one again

    def __iter__(self) -> Iterator[KnownLog]:
        return iter(self._logs.values())

    def get(self, branch: str | None) -> KnownLog | None:
        return self._logs.get(branch)

    def learn(self, told: LogStatus, asked: Points) -> None:
        """Take in the store's answer about the log in `told`. The question was about the history `asked`."""
        end = asked.find(told.bytes, told.chain)
        common = (asked.find(told.common) or 0) if end is None else end
        if told.branch and end is None and (asked.find(*_junction_of(told.branch)) or 0) > common:
            self._spent.add(told.branch)  # its name is of this history, but the log is not known to follow it so far
        log = self._logs.get(told.branch)
        if log is not None and len(log.points) and not log.is_shorter_than(common, asked):
            log.learn(told, asked)
            return
        log = KnownLog(told.branch, asked.prefix(common), common, end=(told.bytes, told.chain))
        if end is None:
            log.parted, log.holds_more = common, common == len(asked)
        if told.branch == self.current.branch:
            self.current = log
        self._keep(log)

    def choose(self, history: Points) -> tuple[KnownLog, int]:
        """Choose the log that `history` belongs on. Returns that log, and how many of its messages it has already.

        If a known log holds `history`, or ends where `history` goes on, it is that log. Otherwise it is a new branch.
        The new branch is named after a junction of `history`: the one behind its first line that is not on the log that
        shares most lines with it. So no known branch has that name.
        """
        best, most, is_home = self.current, -1, False
        for log in (self.current, *self._logs.values()):
            if log.is_blank:
                continue  # it was opened for a history that was never handed over
            common, fits = _place(history, log)
            if (fits, common) > (is_home, most):
                best, most, is_home = log, common, fits
        if not is_home:
            best, most = self._open(history, most), 0
        elif best.holds_more and len(history) > most:
            # The store was asked and has not answered yet. Most likely the log goes on as this history does. If it does
            # not, a worker will answer `diverged`.
            best.parted, best.holds_more = None, False
        self._keep(best)
        return best, most

    def _open(self, history: Points, common: int) -> KnownLog:
        for messages in range(common + 1, len(history) + 1):
            branch = name_branch(history[messages])
            if branch not in self._spent and (branch not in self._logs or self._logs[branch].is_blank):
                return KnownLog(branch, Points())
        return KnownLog(branch, Points())  # a foreign writer has filled logs of all these names

    def _keep(self, log: KnownLog) -> None:
        """Make `log` the one used last. Forget branches that nothing was handed over for, and the oldest branches."""
        self._logs.pop(log.branch, None)
        self._logs[log.branch] = log
        for branch, other in [*self._logs.items()][:-1]:
            is_needed = other is self.current or branch is None
            if not is_needed and (other.is_blank or len(self._logs) > KEPT_LOGS + 1):
                del self._logs[branch]


def name_branch(junction: Junction) -> str:
    """The name of a new branch. `junction` is behind the history's first line that is not on the log it leaves."""
    return branch_name(junction.offset, shorten(junction.chain))


def _junction_of(branch: str) -> tuple[int, str]:
    """The (offset, chain16) that a branch is named after. Raises `Malformed`."""
    check_branch(branch)
    offset, _, chain16 = branch.partition("-")
    return int(offset), chain16


def _place(history: Points, log: KnownLog) -> tuple[int, bool]:
    """How many messages of `history` are on `log`, and whether it can be saved there."""
    end = history.find(*log.end) if log.parted is not None and log.end else None
    if end:  # a redo: the log's end, which was not on the history that was asked about, is on this history
        log.replace(history.prefix(end))
    common = min(history.count_common(log.points), log.sure)
    return common, common == len(history) or (common == len(log.points) and (log.parted is None or log.holds_more))
