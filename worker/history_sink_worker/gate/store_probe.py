"""Probes of the store: one after the other until it is known what to make of it."""

import random
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from queue import Empty, SimpleQueue

from history_sink.protocol.contract import MAINTENANCE_QUEUE, UPLOAD_QUEUE
from history_sink.protocol.tenants import kinds_of
from history_sink_worker.archive.names import PROBE
from history_sink_worker.gate.store_breaker import ProbeFinding
from history_sink_worker.service.service import Service
from history_sink_worker.store import Away, Delete, Put, StoreError
from history_sink_worker.task_errors import unexpected

PAUSE_SECONDS = (0.5, 1.5)
"""Between one probe and the next, at random: workers that lost their store together do not come back together."""
_MOST_AT_A_TIME = 25

_KINDS = frozenset((UPLOAD_QUEUE, MAINTENANCE_QUEUE))
"""Whose tasks write to the store, and wait for it."""


def is_for_readers(queues: Collection[str]) -> bool:
    """Whether a worker that takes `queues` only reads."""
    return not _KINDS & kinds_of(queues)


def find_writing(queues: Collection[str]) -> list[str]:
    """Those of `queues` whose tasks write to the store."""
    return [queue for queue in queues if not is_for_readers((queue,))]


def look(work: Service, token: str, is_reader: bool = False) -> ProbeFinding:
    """Ask the store for a small LIST and a small PUT. `token` names the object, which is deleted again.

    `is_reader`: a LIST only. Credentials that may not write would keep the gate shut for ever.
    """
    home = f"{work.settings.prefix}{PROBE}"
    key = f"{home}{token}"
    try:
        work.store.check_bucket(home)
    except StoreError as error:
        return ProbeFinding(error, error)
    if is_reader:
        return ProbeFinding()
    try:
        # Created, or still there from a probe whose answer was lost: it has been written to.
        work.store.perform(Put(key, b"probe\n", {}))
    except StoreError as error:
        return ProbeFinding(None, error)
    with suppress(StoreError):  # what stays is deleted when a worker starts: see `probe`
        work.store.perform(Delete((key,)))
    return ProbeFinding()


class StoreProbe:
    """A thread that starts probes as long as they are needed. Each runs in a thread of its own: one may hang.

    That matters where a store answers on new connections only: a probe on an old one hangs as long as an upload would.
    """

    def __init__(
        self,
        look: Callable[[], ProbeFinding],
        learn: Callable[[ProbeFinding], bool],
        patience_seconds: Callable[[], float],
    ) -> None:
        """`learn` is told what was found and says whether to go on.

        After `patience_seconds` a probe is overdue, which is a finding too; it still counts when it does come back.
        """
        self._look, self._learn, self._patience_seconds = look, learn, patience_seconds
        self._lock = threading.Lock()
        self._is_running = False
        self._ending = threading.Event()
        self._probes: list[threading.Thread] = []

    def begin(self) -> None:
        """Probe at once, and go on; nothing if that is being done."""
        with self._lock:
            if not self._is_running and not self._ending.is_set():
                threading.Thread(target=self._run, name="store-probe", daemon=True).start()
                self._is_running = True

    def end(self) -> None:
        """No more probes, for good."""
        self._ending.set()

    def _run(self) -> None:
        # Of this run only: what an earlier one's probes find when they come back is old.
        findings: SimpleQueue[ProbeFinding] = SimpleQueue()
        try:
            while not self._ending.is_set():
                sent_at = time.monotonic()
                self._send(findings)
                finding = self._wait(findings)
                with self._lock:  # so that nobody counts on a run that has just come to its end
                    if not self._learn(finding):
                        self._is_running = False
                        return
                self._ending.wait(max(0.0, sent_at + random.uniform(*PAUSE_SECONDS) - time.monotonic()))
        except BaseException:
            self._is_running = False
            raise

    def _send(self, findings: "SimpleQueue[ProbeFinding]") -> None:
        self._probes = [probe for probe in self._probes if probe.is_alive()]
        if len(self._probes) < _MOST_AT_A_TIME:
            probe = threading.Thread(target=self._probe, args=(findings,), name="probe", daemon=True)
            probe.start()
            self._probes.append(probe)

    def _probe(self, findings: "SimpleQueue[ProbeFinding]") -> None:
        try:
            findings.put(self._look())
        except Exception as error:  # noqa: BLE001  # nothing that a probe can meet opens the gate
            trouble = Away(f"a probe failed: {unexpected(error)}")
            findings.put(ProbeFinding(trouble, trouble))

    def _wait(self, findings: "SimpleQueue[ProbeFinding]") -> ProbeFinding:
        patience_seconds = self._patience_seconds()
        try:
            return findings.get(timeout=patience_seconds)
        except Empty:
            overdue = Away(f"LIST and PUT of a probe: no answer from the store within {patience_seconds:g} s")
            return ProbeFinding(overdue, overdue)
