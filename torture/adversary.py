"""Carries the schedule out: does each thing at its time, and ends it when its time is up."""

import heapq
import itertools
import time
from collections import Counter
from collections.abc import Callable

import redis
from kombu.exceptions import OperationalError

from torture.faults import FAULTS, Missed
from torture.memory import Sample
from torture.scene import Scene
from torture.schedule import Event

_MEASURE_SECONDS = 1.0
_AGAIN_SECONDS = 0.5
_TRIES = 20


class Adversary:
    """`did` counts, by name, what was done; `samples` are of the workers at work."""

    def __init__(self, scene: Scene, events: list[Event], tell: Callable[[str], None]) -> None:
        self.did: Counter[str] = Counter()
        self.samples: list[Sample] = []
        self._scene, self._events, self._tell = scene, events, tell
        self._numbers = itertools.count()
        self._began = 0.0
        self._due: list[tuple[float, int, Callable[[], object]]] = []

    @property
    def _now(self) -> float:
        return time.monotonic() - self._began

    def run(self, seconds: float) -> None:
        """All of the schedule. Returns after `seconds`, perhaps in the middle of some faults."""
        self._began = time.monotonic()
        for event in self._events:
            self._later(event.at_seconds, lambda event=event: self._act(event))  # type: ignore[misc]
        self._measure()
        while self._now < seconds:
            self._scene.tend()
            while self._due and self._due[0][0] <= self._now < seconds:
                self._try(heapq.heappop(self._due)[2])
            time.sleep(0.01)

    def _later(self, at_seconds: float, act: Callable[[], object]) -> None:
        heapq.heappush(self._due, (at_seconds, next(self._numbers), act))

    def _try(self, act: Callable[[], object]) -> None:
        """What Redis is needed for waits until it is there."""
        try:
            act()
        except (redis.RedisError, OperationalError):
            self._later(self._now + _AGAIN_SECONDS, act)

    def _measure(self) -> None:
        for worker in self._scene.workers:
            rss_bytes = worker.measure()
            if worker.is_ready and worker.pid:
                self.samples.append(Sample(worker.process.name, worker.pid, self._now, rss_bytes))
        self._later(self._now + _MEASURE_SECONDS, self._measure)

    def _act(self, event: Event, tries: int = _TRIES) -> None:
        length = f" for {event.seconds:.1f} s" if event.seconds else ""
        line = f"{event.act} {event.target}{length}".replace(" None", "")
        try:
            undo = FAULTS[event.act](self._scene, event)
        except Missed:
            if tries > 1:
                self._later(self._now + _AGAIN_SECONDS, lambda: self._act(event, tries - 1))
            else:
                self._tell(f"{self._now:7.2f}  {line}: nothing there to do it to")
            return
        if undo is not None:
            self._later(self._now + event.seconds, undo)
        self.did[event.act] += 1
        self._tell(f"{self._now:7.2f}  {line}")
