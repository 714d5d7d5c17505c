"""What keeps a session from being restored."""

from history_sink import HistorySinkError


class Refused(HistorySinkError):
    """Nothing was written. The text says why, and names what is missing or in the way."""


class Absent(HistorySinkError):
    """The archive has no such session of an agent's. The text names it."""
