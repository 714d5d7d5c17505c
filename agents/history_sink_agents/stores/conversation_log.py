"""Conversations of pydantic-ai as lines: each write of a record with its new entries is one, and so is a deletion."""

import json
import logging
import re
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_ai.conversation_store import ConversationEntry, ConversationRecord
from pydantic_ai.messages import ModelMessagesTypeAdapter

from history_sink import LogEnd, Unavailable
from history_sink_agents.stores.shared_log import Written

log = logging.getLogger(__name__)

_RECORDS = TypeAdapter(ConversationRecord)
_SURROGATE = re.compile("[\ud800-\udfff]")


def write_line(record: ConversationRecord, entries: Sequence[ConversationEntry]) -> bytes:
    """The line of one write: a record, and the entries that its history adds.

    Half a surrogate pair, as of a text that was cut, becomes U+FFFD: pydantic reads no JSON that has one.
    """
    messages = ModelMessagesTypeAdapter.dump_python([entry.message for entry in entries], mode="json")
    line = {
        "record": _RECORDS.dump_python(record, mode="json"),
        "entries": [
            {"id": entry.id, "parent_id": entry.parent_id, "kind": entry.kind, "message": message}
            for entry, message in zip(entries, messages, strict=True)
        ],
    }
    return _SURROGATE.sub("\ufffd", json.dumps(line, ensure_ascii=False, separators=(",", ":"))).encode()


def write_deletion(revision: str) -> bytes:
    """The line that says that the conversation with this revision is no more."""
    return json.dumps({"deleted": revision}).encode()


class FoldedConversation:
    """What a conversation's log says, up to `end`: its record, and all entries that were ever written to it."""

    def __init__(self) -> None:
        self.record: ConversationRecord | None = None
        self.entries: dict[str, ConversationEntry] = {}
        self.end = LogEnd()
        self.last_write = 0.0
        self.sources: list[str] = []
        """The conversations that this one, or one before it of the same id, was forked from."""

    @property
    def revision(self) -> str | None:
        """The record's; None where there is none."""
        return self.record.revision if self.record else None

    def fold(self, name: str, written: Written) -> None:
        """Go on with what was read behind `end`. A line of somebody else's is left out, and logged.

        Raises:
            Unavailable: The worker is too old to tell where the log ends.
        """
        if written.log_end is None:
            raise Unavailable(f"{name}: the worker is too old to tell where the log ends")
        for line in written.data.split(b"\n")[:-1]:
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                log.warning("history-sink: %s: a line is no write of pydantic-ai's: %s", name, _name_error(error))
        self.end, self.last_write = written.log_end, written.last_write

    def take(self, line: bytes, end: LogEnd) -> None:
        """Go on with a line that was written just now, and ends at `end`."""
        self._take(json.loads(line))
        self.end = end

    def _take(self, line: Any) -> None:
        if "deleted" in line:
            self.record = None
            return
        record = _RECORDS.validate_json(json.dumps(line["record"]))
        written = line["entries"]
        messages = ModelMessagesTypeAdapter.validate_json(json.dumps([each["message"] for each in written]))
        for each, message in zip(written, messages, strict=True):
            self.entries[each["id"]] = ConversationEntry(
                id=each["id"], parent_id=each["parent_id"], message=message, kind=each["kind"]
            )
        if record.forked_from is not None and record.forked_from not in self.sources:
            self.sources.append(record.forked_from)
        self.record = record


def _name_error(error: Exception) -> str:
    """Its kind, and for a validation how many problems there are: its text may have words of the message."""
    return f"{error.error_count()} problems" if isinstance(error, ValidationError) else type(error).__name__
