"""Which logs an index is to look at, how far each is known to reach, and since when something is missing. Pure."""

from collections.abc import Iterator

from history_sink_worker.archive.names import Log


class Wanted:
    """Logs are taken one after the other, those first that somebody waits for. Times are Unix seconds."""

    def __init__(self) -> None:
        self.since: float | None = None
        """Since when an index has lacked something; None: it lacks nothing."""
        self._offsets: dict[Log, int] = {}
        self._put_off: dict[Log, tuple[float, int]] = {}
        self._urgent: set[Log] = set()

    def __len__(self) -> int:
        return len(self._offsets) + len(self._put_off)

    @property
    def is_pressing(self) -> bool:
        """Whether there is one to be taken now."""
        return bool(self._offsets)

    @property
    def is_urgent(self) -> bool:
        """Whether somebody waits for one, or for what was read of it."""
        return bool(self._urgent)

    def add(self, log: Log, offset: int, now: float, is_urgent: bool = False) -> None:
        """A log reaches `offset`, the furthest of which counts; 0: nobody says how far."""
        known = self._offsets.get(log)
        self._offsets[log] = offset if known is None else 0 if 0 in (known, offset) else max(known, offset)
        if is_urgent:
            self._urgent.add(log)
        if self.since is None:
            self.since = now

    def put_off(self, log: Log, offset: int, until: float) -> None:
        """It could not be read now."""
        self._put_off[log] = until, offset

    def take(self, now: float) -> Iterator[tuple[Log, int]]:
        """Each log that is wanted now, and how far it reaches. Whoever stops taking leaves the others wanted."""
        for log in [log for log, (at, _) in self._put_off.items() if at <= now]:
            self.add(log, self._put_off.pop(log)[1], now)
        for log in sorted(self._offsets, key=lambda log: log not in self._urgent):
            yield log, self._offsets.pop(log)

    def note_commit(self) -> None:
        """What was taken can be seen."""
        self._urgent &= self._offsets.keys()
        if not self:
            self.since = None
