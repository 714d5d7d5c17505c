"""A `ConversationStore` of pydantic-ai on a sink: each conversation is a log, and each of its revisions a line."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import TypeVar

from history_sink_agents.stores.extras import name_extra

try:
    from pydantic_ai import conversation_store as sdk
except ModuleNotFoundError as missing:
    raise name_extra(__name__, "pydantic-ai", missing) from None

from history_sink import HistorySink
from history_sink_agents.stores.conversation_log import FoldedConversation, write_deletion, write_line
from history_sink_agents.stores.names import check_namespace, join, read_part, spell
from history_sink_agents.stores.shared_log import SharedLog
from history_sink_agents.stores.turns import Turns, run_in_thread

KEPT_CONVERSATIONS = 256
"""So many are remembered with their entries; of these a call reads what is new."""

T = TypeVar("T")


class ConversationStore(sdk.ConversationStore):
    """What pydantic-ai loads conversations from, and saves them to.

    Each conversation is the log ``<namespace>.<conversation>``. Of writers that save one revision, the store lets one
    be first; the others get the SDK's `ConversationConflict`. Nothing is overwritten: `delete` ends a conversation, and
    what it held stays in the archive until an operator deletes the log. So a fork's history outlives its source.
    """

    def __init__(self, sink: HistorySink, *, namespace: str = "pydantic-ai", wait_seconds: float = 10.0) -> None:
        """Make a store on a sink, which the caller closes.

        Args:
            sink: Where conversations go.
            namespace: What the logs' names begin with, 1 to 40 of ``A-Z a-z 0-9 -`` without a dash in front.
            wait_seconds: How long a call waits for the store.

        Raises:
            ValueError: The namespace or `wait_seconds` cannot be.
        """
        self._namespace = check_namespace(namespace)
        self._logs = SharedLog(sink, wait_seconds)
        self._turns = Turns()
        self._known: OrderedDict[str, FoldedConversation] = OrderedDict()

    async def read_record(self, conversation_id: str) -> sdk.ConversationRecord | None:
        """The record as the store has it now; None where there is none, or it was deleted.

        Raises:
            ValueError: The id cannot be.
            Unavailable: No worker has answered, or the store is away.
        """
        return deepcopy((await self._do(conversation_id, lambda: self._read_on(conversation_id))).record)

    async def read_records(
        self, *, scope: str | None = None, limit: int | None = None
    ) -> Sequence[sdk.ConversationRecord]:
        """The records, newest first. They are read in the order of their last write by the store's clock. Raises as
        `read_record`."""
        prefix = self._namespace + "."
        found = await run_in_thread(lambda: [*self._logs.find(prefix, "last_write")])
        found.sort(key=lambda each: each.last_write or 0.0, reverse=True)
        records: list[sdk.ConversationRecord] = []
        for each in found:
            if limit is not None and len(records) >= limit:
                break
            conversation_id = read_part(each.session.removeprefix(prefix))
            record = await self.read_record(conversation_id) if conversation_id else None
            if record is not None and (scope is None or record.scope == scope):
                records.append(record)
        return sorted(records, key=lambda record: record.updated_at, reverse=True)

    async def write_record(
        self,
        record: sdk.ConversationRecord,
        *,
        new_entries: Sequence[sdk.ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        """Write a record and its new entries as one line, where the log ends with `expected_revision`.

        Raises:
            ConversationConflict: Another revision is stored, or there is no entry `record.head_id`.
            TimeoutError: The queue has it, and no worker has said in time what became of it: load to find out.
            Unavailable: The broker did not take it.
            NotStored: An operator has deleted the log.
        """
        line, conversation_id = write_line(record, new_entries), record.conversation_id
        new_ids = {entry.id for entry in new_entries}

        def act() -> None:
            folded = self._expect(conversation_id, expected_revision)
            if record.head_id is not None and record.head_id not in new_ids:
                sources = [*folded.sources, *([record.forked_from] if record.forked_from else [])]
                if self._find_entry(record.head_id, [conversation_id, *sources]) is None:
                    raise sdk.ConversationConflict(conversation_id)
            self._write(conversation_id, folded, line)

        await self._do(conversation_id, act)

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        """End a conversation. What it held stays in the archive. Raises as `write_record`."""

        def act() -> None:
            self._write(
                conversation_id, self._expect(conversation_id, expected_revision), write_deletion(expected_revision)
            )

        await self._do(conversation_id, act)

    async def read_entry(self, entry_id: str) -> sdk.ConversationEntry:
        """An entry of a conversation that this store has read, or of one that it was forked from.

        Raises:
            LookupError: None of these has it.
            Unavailable: As `read_record`.
        """
        (entry,) = await self.read_history(entry_id, limit=1)
        return entry

    async def read_history(self, head_id: str | None, *, limit: int | None = None) -> list[sdk.ConversationEntry]:
        """The entries up to `head_id` in their order, or the last `limit` of them. Raises as `read_entry`."""
        return await run_in_thread(lambda: deepcopy(self._walk(head_id, limit)))

    def _walk(self, head_id: str | None, limit: int | None) -> list[sdk.ConversationEntry]:
        entries: list[sdk.ConversationEntry] = []
        entry_id = head_id
        while entry_id is not None and (limit is None or len(entries) < limit):
            entry = self._find_entry(entry_id, [*reversed(self._known)])
            if entry is None:
                raise LookupError(f"no conversation that was read has the entry {entry_id}")
            entries.append(entry)
            entry_id = entry.parent_id
        return entries[::-1]

    async def _do(self, conversation_id: str, act: Callable[[], T]) -> T:
        name = self._name(conversation_id)
        async with self._turns.take(name):
            return await run_in_thread(act)

    def _name(self, conversation_id: str) -> str:
        return join([self._namespace, spell(conversation_id)])

    def _read_on(self, conversation_id: str) -> FoldedConversation:
        """The conversation as the store has it now."""
        name = self._name(conversation_id)
        folded = self._known.get(conversation_id) or FoldedConversation()
        written = self._logs.read(name, folded.end.bytes)
        if written is None:
            folded = FoldedConversation()
        elif written.end > folded.end.bytes:
            folded.fold(name, written)
        self._known[conversation_id] = folded
        self._known.move_to_end(conversation_id)
        while len(self._known) > KEPT_CONVERSATIONS:
            self._known.popitem(last=False)
        return folded

    def _expect(self, conversation_id: str, revision: str | None) -> FoldedConversation:
        """What is known, where that has this revision: the store says later if it still has. Else what it has now."""
        folded = self._known.get(conversation_id)
        if folded is None or folded.revision != revision:
            folded = self._read_on(conversation_id)
        if folded.revision != revision:
            raise sdk.ConversationConflict(conversation_id)
        return folded

    def _write(self, conversation_id: str, folded: FoldedConversation, line: bytes) -> None:
        end = self._logs.append_after(self._name(conversation_id), line, folded.end)
        if end is None:
            raise sdk.ConversationConflict(conversation_id)
        folded.take(line, end)

    def _find_entry(self, entry_id: str, conversation_ids: Sequence[str]) -> sdk.ConversationEntry | None:
        todo, seen = [*conversation_ids], set[str]()
        while todo:
            conversation_id = todo.pop(0)
            if conversation_id in seen:
                continue
            seen.add(conversation_id)
            folded = self._known.get(conversation_id) or self._read_on(conversation_id)
            if entry_id in folded.entries:
                return folded.entries[entry_id]
            todo += folded.sources
        return None
