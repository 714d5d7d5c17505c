"""Tells in each session's manifest which file each of its logs is, so that a restore can put it back."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from hashlib import sha256

from history_sink import HistorySink, LogEnd, NotFound, Unavailable
from history_sink_agents.formats.manifest import make_line
from history_sink_agents.formats.names import name_manifest
from history_sink_agents.watch.attach import Place
from history_sink_agents.watch.deliveries import Deliveries, Parted, Unconfirmed
from history_sink_agents.watch.newcomers import Newcomers

_ATTEMPTS = 3

KEPT_ENDS = 256
"""The ends of so many manifests are remembered. A session's files mostly come together."""


class Telling:
    """One line on its way into a manifest. `digest` is its hash."""

    def __init__(self, manifests: "Manifests", name: str, line: bytes, digest: str) -> None:
        self.digest = digest
        self._manifests = manifests
        self._name = name
        self._line = line
        self._deliveries: Deliveries | None = None

    def begin(self, end: LogEnd) -> None:
        """Hand the line over. Raises `Unavailable`."""
        self._deliveries = self._manifests.append(self._name, self._line, end)

    def finish(self) -> None:
        """Wait until the store has the line. Raises `Unavailable`, `Unconfirmed`, `Deleted`."""
        for _ in range(_ATTEMPTS):
            if self._deliveries is None:
                return
            try:
                self._deliveries.finish()
                return
            except Parted:  # somebody else has appended to it
                self.begin(self._manifests.ask(self._name))
        raise Unconfirmed


class Manifests:
    """Safe for threads, as long as no two of them are at files of one session."""

    def __init__(self, sink: HistorySink, newcomers: Newcomers, timeout_seconds: float) -> None:
        self._sink = sink
        self._newcomers = newcomers
        self._timeout_seconds = timeout_seconds
        self._ends: OrderedDict[str, LogEnd] = OrderedDict()
        self._lock = threading.Lock()

    def tell(self, session: str, facts: Mapping[str, object], told: str) -> Telling:
        """Begin to append the line of these facts, unless it is there.

        Args:
            session: The session id of the file that the facts are about.
            facts: What a restore must know.
            told: The hash that an earlier call has had for the file, or "".

        Returns:
            The line on its way; `finish` waits for the store.

        Raises:
            Unavailable: Try again later.
        """
        line, name = make_line(facts), name_manifest(session)
        telling = Telling(self, name, line, sha256(line).hexdigest()[:16])
        if telling.digest == told:
            return telling
        end = self._ends.get(name)
        if end is None:
            end = LogEnd() if self._newcomers.is_new(name) else self.ask(name)
        self._newcomers.note(name)
        if not told and end.messages and self._has(name, line):
            self._remember(name, end)
        else:
            telling.begin(end)
        return telling

    def ask(self, name: str) -> LogEnd:
        """Where a manifest ends in the store. Raises `Unavailable`."""
        end = self._sink.resume(name, self._timeout_seconds)
        self._sink.forget(name)  # `extend` keeps no session, and of ten thousand manifests `resume` would
        return end

    def append(self, name: str, line: bytes, end: LogEnd) -> Deliveries:
        """Hand over a line that follows `end`. Raises `Unavailable`."""
        receipt = self._sink.extend(name, (line,), end)
        if receipt.end is None or not receipt.messages:
            raise Unavailable(receipt.reason or receipt.state)
        self._ends.pop(name, None)

        def confirm(place: Place) -> None:
            self._remember(name, place.end)

        deliveries = Deliveries(self._sink, name, confirm, self._timeout_seconds)
        deliveries.add(receipt.task_ids, receipt.bytes, Place(0, receipt.end))
        return deliveries

    def _remember(self, name: str, end: LogEnd) -> None:
        with self._lock:
            self._ends[name] = end
            while len(self._ends) > KEPT_ENDS:
                self._ends.popitem(last=False)

    def _has(self, name: str, line: bytes) -> bool:
        """Whether the manifest has the line, as filters make it. It is read only where the watch has forgotten."""
        try:
            stored = b"".join(self._sink.read(name, self._timeout_seconds, stored=True)).splitlines(keepends=True)
        except NotFound:
            return False
        end = LogEnd()
        for each in stored:
            chain = sha256(bytes.fromhex(end.chain) + each).hexdigest()
            if self._sink.measure((line,), end, session_id=name).chain == chain:
                return True
            end = LogEnd(end.messages + 1, end.bytes + len(each), chain)
        return False
