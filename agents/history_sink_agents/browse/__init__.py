"""A session's turns as files, for `grep` and for people: ``turn-0007-user.md``, and a manifest with their bytes."""

from history_sink_agents.browse.context import Browsed, context_browse
from history_sink_agents.browse.export import Exported, export
from history_sink_agents.browse.manifest import ForeignFile

__all__ = ["Browsed", "Exported", "ForeignFile", "context_browse", "export"]
