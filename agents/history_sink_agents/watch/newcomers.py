"""Which sessions the store cannot have: at the first start of a watch most are new, and need not be asked about."""

import threading
import time
from collections import Counter
from collections.abc import Callable

from history_sink import HistorySink, HistorySinkError

ASKED_FIRST = 20
"""So many of an agent's sessions are asked about one by one. Then the names of all are listed, a thousand at a time."""

MOST_NAMES = 50_000
"""An archive of more is not listed: the names would take more memory than the questions take time."""

LASTING_SECONDS = 600.0
_PAGE = 1000


class Newcomers:
    """Safe for threads. It may be wrong where somebody else archives the same session at this time.

    Then the outcome of an upload says so, and the file is looked at again.
    """

    def __init__(self, sink: HistorySink, timeout_seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._sink = sink
        self._timeout_seconds = timeout_seconds
        self._now = now
        self._lock = threading.Lock()
        self._asked: Counter[str] = Counter()
        self._names: dict[str, set[int] | None] = {}  # hashes: two alike cost a question
        self._until: dict[str, float] = {}

    def is_new(self, session: str) -> bool:
        """Whether the store is known to have nothing of a session."""
        agent = session.partition(".")[0]
        with self._lock:
            self._let_expire(agent)
            self._asked[agent] += 1
            is_due = self._asked[agent] > ASKED_FIRST and agent not in self._names
            if is_due:
                self._names[agent] = None  # not by two threads
        if is_due:
            names = self._list(f"{agent}.")
            with self._lock:
                self._names[agent], self._until[agent] = names, self._now() + LASTING_SECONDS
        with self._lock:
            known = self._names.get(agent)
            return known is not None and hash(session) not in known

    def forget(self) -> None:
        """Ask about each session again: the store is away, and lines that nobody asked for would fill the queue."""
        with self._lock:
            self._names.clear()
            self._until.clear()
            self._asked.clear()

    def note(self, session: str) -> None:
        """Something of the session may be in the store from now on."""
        with self._lock:
            known = self._names.get(session.partition(".")[0])
            if known is not None:
                known.add(hash(session))

    def _let_expire(self, agent: str) -> None:
        """After a while the names are no longer those of the store: then it is all as at the start."""
        now = self._now()
        if self._until.get(agent, now) < now:
            del self._until[agent], self._names[agent], self._asked[agent]

    def _list(self, prefix: str) -> set[int] | None:
        names: set[int] = set()
        after = ""
        try:
            while len(names) <= MOST_NAMES:
                page = self._sink.list_sessions(after, _PAGE, self._timeout_seconds, prefix=prefix, fields=())
                names.update(hash(each.session) for each in page.sessions)
                if page.next_after is None:
                    return names
                after = page.next_after
        except HistorySinkError:  # then each is asked about
            pass
        return None
