"""Everything that history-sink raises on purpose."""


class HistorySinkError(Exception):
    """The root of all errors raised by this package."""


class ConfigurationError(HistorySinkError, ValueError):
    """A setting is missing or malformed. The text names the variable, never its value."""


class BadMessage(HistorySinkError, ValueError):
    """A message that cannot become a line of the log. The text never quotes the message."""


class Malformed(HistorySinkError, ValueError):
    """A value from outside (handle, fault, payload, outcome) that has not the shape it must have."""


class Unavailable(HistorySinkError):
    """The broker, or every worker behind it, did not answer in time."""


class Denied(Unavailable):
    """The broker is there, and does not let this user do what was asked."""


class NoAnswer(Unavailable):
    """The broker is there, and no worker has answered in time."""


class Expired(Unavailable):
    """A worker took a question for too old, though somebody waits for its answer: a clock is wrong."""


class WorkerFailed(Unavailable):
    """A worker has answered, with an error: its store may be away."""
