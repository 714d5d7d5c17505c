"""Tells in each session's manifest which file each of its logs is, so that a restore can put it back."""

from collections.abc import Mapping
from hashlib import sha256

from history_sink import HistorySink, LogEnd, NotFound, Unavailable
from history_sink_agents.formats.manifest import make_line
from history_sink_agents.formats.names import name_manifest
from history_sink_agents.watch.attach import Place
from history_sink_agents.watch.deliveries import Deliveries, Parted, Unconfirmed

_ATTEMPTS = 3


class Manifests:
    """Safe for threads, as long as no two of them are at files of one session."""

    def __init__(self, sink: HistorySink, timeout_seconds: float) -> None:
        self._sink = sink
        self._timeout_seconds = timeout_seconds
        self._ends: dict[str, LogEnd] = {}

    def tell(self, session: str, facts: Mapping[str, object], told: str) -> str:
        """Append the line of these facts, unless it is there.

        Args:
            session: The session id of the file that the facts are about.
            facts: What a restore must know.
            told: The hash that an earlier call has returned for the file, or "".

        Returns:
            The hash of the line.

        Raises:
            Unavailable, Unconfirmed: Try again later.
            Deleted: An operator has deleted the manifest.
        """
        line = make_line(facts)
        digest = sha256(line).hexdigest()[:16]
        if digest == told:
            return digest
        name = name_manifest(session)
        for _ in range(_ATTEMPTS):
            end = self._ends.get(name)
            if end is None:
                end = self._sink.resume(name, self._timeout_seconds)
            if not told and end.messages and self._has(name, line):
                self._ends[name] = end
                return digest
            try:
                self._append(name, line, end)
                return digest
            except Parted:
                self._ends.pop(name, None)
        raise Unconfirmed

    def _append(self, name: str, line: bytes, end: LogEnd) -> None:
        receipt = self._sink.extend(name, (line,), end)
        if receipt.end is None or not receipt.messages:
            raise Unavailable(receipt.reason or receipt.state)
        deliveries = Deliveries(
            self._sink, name, lambda place: self._ends.__setitem__(name, place.end), self._timeout_seconds
        )
        deliveries.add(receipt.task_ids, receipt.bytes, Place(0, receipt.end))
        deliveries.finish()

    def _has(self, name: str, line: bytes) -> bool:
        """Whether the manifest has the line; it is short, and read only where the watch has forgotten."""
        try:
            return line in b"".join(self._sink.read(name, self._timeout_seconds)).splitlines(keepends=True)
        except NotFound:
            return False
