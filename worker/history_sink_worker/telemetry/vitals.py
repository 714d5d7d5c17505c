"""Whether a worker is live, ready, or lagging: decided from what its main process knows. Pure.

Live: it works, or waits for something that will come back; to start it anew would not help. Ready: what is sent now
would be done now. Lagging: it is ready, and yet messages have been waiting for long: that takes more workers, and not
other ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

STUCK_SECONDS = 60.0
"""A worker whose event loop has not turned for so long does not come back."""
SILENT_SECONDS = 15.0
"""A writer of an index that has not turned for so long is not at work."""
LAGGING_SECONDS = 60.0
"""A message that has been waiting for longer is late."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a queue holds. `oldest_at`: when its oldest message was sent (Unix seconds); None: it does not say."""

    messages: int
    oldest_at: float | None = None

    def age_seconds(self, now: float) -> float | None:
        """Of the oldest message; 0 if there is none; None if that cannot be known."""
        if self.messages == 0:
            return 0.0
        return None if self.oldest_at is None else max(0.0, now - self.oldest_at)


@dataclass(frozen=True, slots=True)
class Letters:
    """Dead letters in the store: how many, counted to 1,000, and the oldest one's time (Unix seconds)."""

    count: int
    oldest_at: float | None = None


@dataclass(frozen=True, slots=True)
class SearchVitals:
    """A search worker's index. Times are Unix seconds.

    `beat_at` is when its writer last said so. `behind` logs are known to have what it lacks, the first of them since
    `behind_since`. `compared_at`: when all of the bucket was last compared; None: not since the worker began.
    """

    beat_at: float
    behind: int
    behind_since: float | None
    is_rebuilding: bool
    messages: int
    index_bytes: int
    compared_at: float | None

    def lag_seconds(self, now: float) -> float:
        """For how long something has been missing, or its writer has been silent."""
        silent_seconds = now - self.beat_at
        missing_seconds = 0.0 if self.behind_since is None else now - self.behind_since
        return max(0.0, missing_seconds, silent_seconds if silent_seconds > SILENT_SECONDS else 0.0)


@dataclass(frozen=True, slots=True)
class Vitals:
    """What is known now. None where nothing is known, or there is nothing to say."""

    waits_for: str | None = None
    """Before it takes its first message: for what."""
    is_consuming: bool = False
    is_ending: bool = False
    turned_at: float | None = None
    """When the event loop last turned (Unix seconds)."""
    takes_uploads: bool = True
    writes: bool = True
    """It takes uploads, or compacts."""
    store_away: str | None = None
    """Why uploads wait."""
    reads_away: str | None = None
    """Why reads are refused."""
    refused_tenants: tuple[str, ...] = ()
    """Whose uploads wait, as the store refuses them, and not this worker."""
    broker_away: str | None = None
    forgets: tuple[str, ...] | None = None
    """Why the broker may lose what it has acknowledged; None: not known, or it is no Redis."""
    backlogs: Mapping[str, Backlog] = field(default_factory=dict)
    unacked: int | None = None
    letters: Letters | None = None
    search: SearchVitals | None = None
    pool_pids: tuple[int, ...] = ()
    """Of the processes that do the work, where they are not this one."""


@dataclass(frozen=True, slots=True)
class Health:
    """`reasons` say why it is not live, or not ready; `lagging` which messages have been waiting for how long.

    `notes` are what is wrong, and keeps it from nothing.
    """

    is_live: bool
    is_ready: bool
    reasons: tuple[str, ...]
    lagging: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def encode(self) -> dict[str, Any]:
        """For `/live` and `/ready`."""
        return {
            "live": self.is_live,
            "ready": self.is_ready,
            "lagging": bool(self.lagging),
            "reasons": [*self.reasons, *self.lagging],
            "notes": [*self.notes],
        }


def judge(vitals: Vitals, now: float) -> Health:
    """What `vitals` mean at `now` (Unix seconds)."""
    stuck_seconds = now - vitals.turned_at if vitals.is_consuming and vitals.turned_at is not None else 0.0
    is_live = stuck_seconds < STUCK_SECONDS
    reasons = [] if is_live else [f"stuck: the event loop has not turned for {stuck_seconds:.0f} s"]
    reasons += _obstacles(vitals)
    notes = [f"the broker may forget: {doubt}" for doubt in vitals.forgets or ()]
    notes += [f"the store refuses tenant {each}, whose uploads wait" for each in vitals.refused_tenants]
    return Health(is_live, not reasons, tuple(reasons), tuple(_late_queues(vitals.backlogs, now)), tuple(notes))


def _obstacles(vitals: Vitals) -> list[str]:
    if vitals.is_ending:
        return ["ending: it finishes what it is at, and takes no more"]
    if vitals.waits_for is not None:
        return [f"starting: it waits for {vitals.waits_for}"]
    found = []
    if vitals.broker_away or not vitals.is_consuming:
        found.append(f"broker away: {vitals.broker_away or 'not connected'}")
    if vitals.writes and vitals.store_away:
        found.append(f"store away, uploads wait in the queue: {vitals.store_away}")
    if vitals.reads_away and (vitals.reads_away != vitals.store_away or not vitals.writes):
        found.append(f"store away, reads are refused: {vitals.reads_away}")
    return found


def _late_queues(backlogs: Mapping[str, Backlog], now: float) -> list[str]:
    ages = {queue: (backlog, backlog.age_seconds(now)) for queue, backlog in backlogs.items()}
    return [
        f"lagging: {backlog.messages} messages in {queue}, the oldest has been waiting for {age:.0f} s"
        for queue, (backlog, age) in ages.items()
        if age is not None and age > LAGGING_SECONDS
    ]


class Chart:
    """The vitals of this process, as they change. For all threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._vitals = Vitals(waits_for="its start")
        self._is_ending = False

    def now(self) -> Vitals:
        """As they are."""
        return replace(self._vitals, is_ending=self._is_ending)

    def end(self) -> None:
        """Note that the process ends. Takes no lock: a signal's handler calls it, and may have interrupted `note`."""
        self._is_ending = True

    def note(self, **changes: Any) -> None:
        """Change some of them; see the fields of `Vitals`. Not for a signal's handler."""
        with self._lock:
            self._vitals = replace(self._vitals, **changes)


CHART = Chart()
