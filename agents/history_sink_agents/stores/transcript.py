"""Entries of the Claude Agent SDK as lines, and the summary that the SDK makes of them."""

from dataclasses import dataclass, replace
from typing import cast

import claude_agent_sdk as sdk

from history_sink_agents.stores.lines import read_objects, write_object
from history_sink_agents.stores.shared_log import Written


def write_entries(entries: list[sdk.SessionStoreEntry]) -> list[bytes]:
    """A line of each entry, without its newline.

    Raises:
        ValueError: An entry is no JSON object; the text has its number and nothing of it.
    """
    if not isinstance(entries, (list, tuple)):
        raise ValueError(f"entries is a list of JSON objects, not {type(entries).__name__}")
    return [write_object(entry, f"entry {number}") for number, entry in enumerate(entries)]


def read_entries(name: str, data: bytes) -> list[sdk.SessionStoreEntry]:
    """The entries of a transcript in their order. A uuid that comes again is the same entry, delivered twice."""
    seen: set[str] = set()
    entries = []
    for entry in read_objects(name, data):
        uuid = entry.get("uuid")
        if isinstance(uuid, str):
            if uuid in seen:
                continue
            seen.add(uuid)
        entries.append(cast("sdk.SessionStoreEntry", entry))
    return entries


@dataclass(frozen=True, slots=True)
class Folded:
    """The SDK's summary of a transcript's first `end` bytes."""

    session: str
    end: int = 0
    summary: sdk.SessionSummaryEntry | None = None

    def fold(self, name: str, project_key: str, written: Written) -> "Folded":
        """The summary with what was read behind `end`."""
        if written.end == self.end:
            return self
        key: sdk.SessionKey = {"project_key": project_key, "session_id": self.session}
        summary = sdk.fold_session_summary(self.summary, key, read_entries(name, written.data))
        return replace(self, end=written.end, summary=summary)

    def encode(self, mtime_ms: int) -> sdk.SessionSummaryEntry:
        """What the SDK lists: written at `mtime_ms` by the store's clock."""
        assert self.summary is not None
        return {"session_id": self.session, "mtime": mtime_ms, "data": dict(self.summary["data"])}
