"""Redaction: secrets out of each line, in the producer's process, before anything else is done with it."""

from history_sink_agents.redaction.configuration import make_filter
from history_sink_agents.redaction.redaction import Redaction

__all__ = ["Redaction", "make_filter"]
