"""What is said of a build while it goes on: a build that is silent looks like one that hangs."""

from history_sink_worker import log
from history_sink_worker.search.draft import Done

EVERY_SECONDS = 10.0
_log = log.get("history_sink_worker")


class Progress:
    """Tells at most so often. Times are monotonic seconds."""

    def __init__(self, done: Done, began_at: float) -> None:
        self._done = done
        self._began_at = self._told_at = began_at

    def tell(self, now: float, objects: int, is_first: bool) -> None:
        """Messages, bytes and the rate so far, of a first build or of what was missed."""
        if now - self._told_at >= EVERY_SECONDS and self._done.messages:
            self._told_at = now
            what = "search index is being built" if is_first else "search index catches up"
            _log.info(what, **self._measure(now), objects=objects)

    def end(self, now: float, what: str) -> None:
        """The same at its end."""
        _log.info(what, **self._measure(now))

    def _measure(self, now: float) -> dict[str, int]:
        seconds = max(0.001, now - self._began_at)
        return {
            "messages": self._done.messages,
            "bytes": self._done.size_bytes,
            "messages_per_second": round(self._done.messages / seconds),
        }
