"""Sealing: lines that nobody reads without the key, in the queue, in the store, and in backups of both."""

from history_sink_agents.sealing.envelope import NotOpened
from history_sink_agents.sealing.keyring import Keyring, read_keyring
from history_sink_agents.sealing.opening import OpenedLog, Opener
from history_sink_agents.sealing.reading import open_session
from history_sink_agents.sealing.sealing import Sealing, make_filter

__all__ = ["Keyring", "NotOpened", "OpenedLog", "Opener", "Sealing", "make_filter", "open_session", "read_keyring"]
