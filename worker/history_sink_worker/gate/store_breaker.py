"""Whether uploads are taken, and what reads are told: decided from what tasks and probes have met. Pure."""

from dataclasses import dataclass

from history_sink_worker.store import Away, Denied, StoreError

SUSPICIOUS_SECONDS = 2.0
"""A task that takes longer may be waiting for a store that hangs."""
_LOOK_AGAIN_SECONDS = 5.0
_RELAPSE_SECONDS = 5.0
_LONGEST_HOLD_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ProbeFinding:
    """What a probe met that read, and what one met that wrote; None: nothing. (A full store still reads well.)"""

    reading: StoreError | None = None
    writing: StoreError | None = None


class StoreBreaker:
    """Shut by the first upload that the store keeps out, opened by a probe that gets through.

    Times are Unix seconds.
    """

    def __init__(self) -> None:
        self.reason: StoreError | None = None
        """What is waited for; None: uploads are taken."""
        self.reading: StoreError | None = None
        """What keeps reads from their answers, as far as probes can tell."""
        self.shut_at = 0.0
        self._opened_at = 0.0
        self._looked_at = 0.0
        self._hold_until = 0.0
        self._relapses = 0

    @property
    def is_open(self) -> bool:
        """Whether uploads are taken."""
        return self.reason is None

    def meet(self, error: object, began_at: float, now: float) -> bool:
        """A task that began at `began_at` has met `error`. Returns whether the store is to be probed."""
        if not self.is_open or not isinstance(error, (Away, Denied)):
            return False
        if began_at >= self._opened_at:  # else of an outage that is over, for all we know: the probe decides
            self._shut(error, now)
        return True

    def suspect(self, running_seconds: float, now: float) -> bool:
        """The longest task has been running for so long. Returns whether the store is to be probed."""
        if not self.is_open or running_seconds < SUSPICIOUS_SECONDS or now - self._looked_at < _LOOK_AGAIN_SECONDS:
            return False
        self._looked_at = now
        return True

    def learn(self, finding: ProbeFinding, now: float) -> None:
        """A probe has come back, or is overdue."""
        self._looked_at, self.reading = now, finding.reading
        if finding.writing is not None and self.is_open:
            self._shut(finding.writing, now)
        elif finding.writing is not None:
            self.reason = finding.writing
        elif not self.is_open and now >= self._hold_until:
            self.reason, self._opened_at = None, now

    def _shut(self, reason: StoreError, now: float) -> None:
        # A store that throttles lets probes through, and then not the uploads. Each time it is left alone for longer.
        self._relapses = self._relapses + 1 if now - self._opened_at < _RELAPSE_SECONDS else 0
        self._hold_until = now + min(2.0**self._relapses - 1, _LONGEST_HOLD_SECONDS)
        self.reason, self.shut_at = reason, now
