"""Claims: which messages this process has taken from a Redis broker, and what it still owes there.

A claim is an entry in kombu's own ``unacked`` (a hash: id -> ``[message, exchange, routing key]``)
and ``unacked_index`` (a sorted set: id -> when it was last renewed, by the server's clock). One
script pops a message and writes its claim, so there is no instant at which a crash loses it; stock
kombu pops first and records afterwards. Stock workers can give our claims back, and we theirs.

A `Claims` outlives channels and connections: a task that runs across a reconnect keeps its claim,
and what could not be sent while Redis was away is sent when it is back.
"""

import logging
import threading
import uuid
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from celery.worker import state as celery_state
from redis.exceptions import RedisError, ResponseError

from history_sink_worker.outage import Outage
from history_sink_worker.redis_transport.endings import Ending, tell
from history_sink_worker.redis_transport.returns import BrokerAccess, Return, give_back, park
from history_sink_worker.redis_transport.scripts import DEFER, SWEEP
from history_sink_worker.redis_transport.teller import Teller

logger = logging.getLogger(__name__)

# Says whose claim it is: ours are renewed, so ours that are not renewed are abandoned.
_OURS = "claim-"
# Whose message waits for its time, and for no process: that it comes back is no sign of a worker that died.
_DEFERRED = f"{_OURS}later-"
LINGER_SECONDS = 0.005
"""Redis may be told of an end so much later while this process has other tasks in hand: more of them go at once."""
_Errors = tuple[type[Exception], ...]


class Claims:
    """What this process holds and owes at one broker. No method raises because Redis is away."""

    def __init__(self, broker: BrokerAccess) -> None:
        self.broker = broker
        """How the claims' broker is reached now."""
        self._held: dict[str, float] = {}
        self._orphans: set[str] = set()
        self._finished: set[str] = set()
        self._acked: set[str] = set()
        self._endings: deque[Ending] = deque()
        self._entrusted: set[str] = set()
        self._owed: dict[str, Return] = {}
        self._is_turning = self._has_news = False
        # Celery's handler of SIGQUIT cancels what runs, which may give messages back while this thread is settling.
        self._settling = threading.RLock()
        self._teller = Teller(self._settle, self._linger_seconds)
        self._swept_at = float("-inf")
        self._outage = Outage()

    def connect(self, broker: BrokerAccess) -> None:
        """Go on over a new connection; the next sweep is due."""
        self.broker, self._swept_at = broker, float("-inf")

    def hold(self, claim: str) -> None:
        """Renew `claim` from now on."""
        self._held[claim] = monotonic()

    def release(self, claim: str) -> None:
        """Its message is done. If Redis cannot be told now, it is told later: otherwise another worker
        would do the message once more."""
        self._forget(claim)
        if claim in self._entrusted:
            self._entrusted.discard(claim)
            return
        self._acked.add(claim)
        self._has_news = True
        if not self._is_turning:
            self._settle()

    def end(self, ending: Ending) -> None:
        """Its task has done its work. Redis is told so soon, of all that end meanwhile at once; nobody waits for it.

        From any thread, and before its `release`, which then has nothing to tell. If Redis is away, it is told later.
        """
        self._entrusted.add(ending.claim)
        self._endings.append(ending)
        self._teller.ask()

    def holds(self, claim: str) -> bool:
        """Whether this process has `claim`, here."""
        return claim in self._held

    def give_back(self, claim: str, *, as_last: bool = False, abandoned: bool = False) -> None:
        """Its message goes back to its queue, to be taken next (or last); if Redis is away, later.

        `abandoned`: it took its worker down with it, which counts (`max_abandoned`).
        """
        self._forget(claim)
        self._owed[claim] = Return("LPUSH" if as_last else "RPUSH", abandoned)
        self._settle()

    def disown(self, claims: Iterable[str]) -> None:
        """Their channel has closed. Celery drops the messages that it has not started: those go back.
        It goes on with the tasks that run: those keep their claims."""
        running = _running_claims()
        for claim in list(claims):
            if claim in running:
                self._orphans.add(claim)
            else:
                self._forget(claim)
                self._owed[claim] = Return()
        self._settle()

    def park(self, claim: str, queue: str, message: bytes, reason: str) -> None:
        """Move a message that no worker can take into the list ``<queue>.dead``, as it is."""
        self._forget(claim)
        with self.tolerating():
            park(self.broker, claim, queue, message, reason)

    def defer(self, claim: str, seconds: float) -> None:
        """Its message goes back to its queue in so many seconds, and costs no process anything until then."""
        self._forget(claim)
        keys, timeout = self.broker.keys, self.broker.visibility_timeout_seconds
        self._owed[claim] = Return()  # unless Redis takes it now
        with self.tolerating():
            later = _DEFERRED + claim.removeprefix(_OURS)
            self.broker.client.eval(DEFER, 2, keys.unacked, keys.index, claim, later, seconds - timeout)
            self._owed.pop(claim, None)

    def sweep(self, broker: BrokerAccess) -> None:
        """Pay what is owed, renew what is held, give back what others have abandoned; by an open channel."""
        now = monotonic()
        if now - self._swept_at < sweep_seconds(broker.visibility_timeout_seconds) / 2:
            return
        self.broker, self._swept_at = broker, now
        self._settle()
        self._disown_finished()
        with self.tolerating():
            for claim in self.renew():
                # What has waited goes to the end: a backlog that cannot be worked off must not stay before the rest.
                how = Return("LPUSH") if claim.startswith(_DEFERRED) else Return(abandoned=True)
                with self.tolerating((ResponseError,)):
                    give_back(broker, claim, how)

    def renew(self) -> list[str]:
        """Renew what is held; whose time has run out. From any thread. Raises `RedisError`, `OSError`."""
        broker, now = self.broker, monotonic()
        # A task that hangs must not keep its message for ever: from then on it is as if dead.
        alive = [c for c, at in self._held.copy().items() if now - at < broker.visibility_max_seconds]
        limits = (broker.visibility_timeout_seconds, broker.visibility_max_seconds, _OURS)
        late = broker.client.eval(SWEEP, 2, broker.keys.index, broker.keys.swept, *limits, *alive)
        return [claim.decode() for claim in late]

    def close(self) -> None:
        """The process ends, so every message goes back. (A cold shutdown closes channels while tasks
        run. A message that is not given back would count as abandoned.)"""
        for claim in list(self._held):
            self._forget(claim)
            self._owed[claim] = Return()
        self._settle()

    def _forget(self, claim: str) -> None:
        self._held.pop(claim, None)
        self._orphans.discard(claim)

    def _disown_finished(self) -> None:
        # A task that was cancelled never acks. One that has just ended is about to: its ack is
        # queued in the event loop, so the second sweep decides.
        finished = self._orphans - _running_claims()
        for claim in finished & self._finished:
            self.give_back(claim)
        self._finished = finished

    def turn(self) -> None:
        """Called at each turn of an event loop: tells Redis of all that was released in it at once.

        In a thread beside it, as the answer waits for the disk, and the loop has messages to take meanwhile.
        """
        self._is_turning = True
        if self._has_news:  # what could not be told once waits for the next sweep
            self._has_news = False
            self._teller.ask()

    def _linger_seconds(self) -> float:
        return LINGER_SECONDS if len(self._held) > len(self._entrusted) else 0.0

    def _settle(self) -> None:
        with self._settling, self.tolerating():
            self._tell_endings()
            while self._owed:
                claim, how = next(iter(self._owed.items()))
                try:
                    give_back(self.broker, claim, how)
                except (RedisError, OSError):
                    self._owed[claim] = self._owed.pop(claim, how)  # if it alone is refused, the others go first
                    raise
                self._owed.pop(claim, None)
            self._outage.end(monotonic())  # the next one is told of at once

    def _tell_endings(self) -> None:
        endings = [self._endings.popleft() for _ in range(len(self._endings))]
        acked = [*self._acked, *(ending.claim for ending in endings)]
        if not acked:
            return
        try:
            tell(self.broker, endings, acked)
        except BaseException:  # an exit, too: it must not leave their claims without them
            self._endings.extendleft(reversed(endings))  # no more than there was room for
            raise
        self._acked.difference_update(acked)

    @contextmanager
    def tolerating(self, errors: _Errors = (RedisError, OSError)) -> Iterator[None]:
        """Log an error instead of raising it."""
        # Acks come from callbacks in Celery's event loop, where an exception ends the worker.
        try:
            yield
        except errors as error:
            owed = len(self._acked) + len(self._endings) + len(self._owed)
            level = logging.DEBUG if self._outage.meet(monotonic()) is None else logging.WARNING
            logger.log(level, "the broker can't be told about %d claims yet: %s", owed, error)


def new_claim() -> str:
    """An id of its own for each delivery, so that a late ack can't end the next one's claim."""
    return _OURS + uuid.uuid4().hex


def sweep_seconds(visibility_timeout_seconds: float) -> float:
    """How often to sweep: so often that one that fails costs no claim."""
    return min(5.0, visibility_timeout_seconds / 6)


def _running_claims() -> set[str]:
    # `.data.copy()`: tasks are added by the threads that run them, during any Python loop of ours.
    active: Any = celery_state.active_requests
    requests = [ref() for ref in active.data.copy()]
    return {request.message.delivery_tag for request in requests if request is not None}
