"""When a broker that is away is spoken of: as it goes, once a minute, and as it comes back. Pure."""

SAY_AGAIN_SECONDS = 60.0


class Outage:
    """One at a time. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._began_at: float | None = None
        self._said_at = float("-inf")
        self._met_at = float("-inf")

    def meet(self, now: float) -> float | None:
        """A try has failed. For how long it has been so if that is to be said now, else None."""
        if self._began_at is None:
            self._began_at, self._said_at = now, float("-inf")
        self._met_at = now
        if now - self._said_at < SAY_AGAIN_SECONDS:
            return None
        self._said_at = now
        return now - self._began_at

    def end(self, now: float) -> float | None:
        """A try has succeeded. How long the outage was, None if there was none."""
        began_at, self._began_at = self._began_at, None
        return None if began_at is None else now - began_at

    def pause_seconds(self, now: float, pause_seconds: float) -> float:
        """How long to wait before the next try, so that tries are so far apart: nothing after the first failure."""
        return max(0.0, min(pause_seconds, self._met_at + pause_seconds - now))
