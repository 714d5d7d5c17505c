"""A `Session` of the OpenAI Agents SDK on a sink: a log of what was added, popped and cleared."""

import json
from typing import Any, cast

from history_sink_agents.stores.extras import name_extra

try:
    from agents.items import TResponseInputItem
    from agents.memory import SessionSettings
except ModuleNotFoundError as missing:
    raise name_extra(__name__, "openai-agents", missing) from None

from history_sink import HistorySink
from history_sink_agents.stores.lines import write_object
from history_sink_agents.stores.names import check_namespace, join, spell
from history_sink_agents.stores.operations import FoldedList, is_operation, write_clear, write_pop
from history_sink_agents.stores.shared_log import SharedLog
from history_sink_agents.stores.turns import Turns, run_in_thread


class Session:
    """What `Runner.run(…, session=…)` takes.

    It is the log ``<namespace>.<session>``, which only grows: what is popped, cleared or compacted away is no longer
    among the items, and stays in the archive.
    """

    def __init__(
        self,
        session_id: str,
        sink: HistorySink,
        *,
        namespace: str = "openai-agents",
        session_settings: SessionSettings | None = None,
        wait_seconds: float = 10.0,
    ) -> None:
        """Make a session on a sink, which the caller closes.

        Args:
            session_id: Any text that names the conversation.
            sink: Where it goes.
            namespace: What the log's name begins with, 1 to 40 of ``A-Z a-z 0-9 -`` without a dash in front.
            session_settings: The SDK's, such as how many items `get_items` returns where nobody says.
            wait_seconds: How long a call waits for the store.

        Raises:
            ValueError: The id, the namespace or `wait_seconds` cannot be.
        """
        self.session_id = session_id
        self.session_settings: SessionSettings | None = session_settings or SessionSettings()
        self._name = join([check_namespace(namespace), spell(session_id)])
        self._logs = SharedLog(sink, wait_seconds)
        self._turns = Turns()
        self._list = FoldedList()

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """The newest `limit` items in their order, as they are now in the store; all of them where nobody limits them.

        Raises:
            Unavailable: No worker has answered, or the store is away.
        """
        count = limit if limit is not None or self.session_settings is None else self.session_settings.limit
        async with self._turns.take(self._name):
            await run_in_thread(self._read_on)
            return cast("list[TResponseInputItem]", self._list.get_last(count))

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Add items at the end, and return when the store has them.

        Raises:
            ValueError: An item is no JSON object.
            TimeoutError: The queue has them, and no worker has confirmed them in time. They are not lost; a second try
                with the same items does not add them twice.
            Unavailable: The broker is away. A second try does not add an item twice.
            NotStored: The session was deleted.
        """
        lines = [_write_item(item, number) for number, item in enumerate(items)]
        if lines:
            async with self._turns.take(self._name):
                await run_in_thread(lambda: self._logs.append(self._name, lines))

    async def pop_item(self) -> TResponseInputItem | None:
        """Take the newest item away, and return it; None where there is none. Raises as `add_items`."""
        async with self._turns.take(self._name):
            return cast("TResponseInputItem | None", await run_in_thread(self._pop))

    async def clear_session(self) -> None:
        """Take all items away. Raises as `add_items`."""
        async with self._turns.take(self._name):
            await run_in_thread(self._clear)

    def _read_on(self, waited_for: str = "") -> None:
        written = self._logs.read(self._name, self._list.end)
        if written is None:  # never written, or deleted
            self._list = FoldedList()
        elif written.end > self._list.end:
            self._list.fold(written.data, written.end, waited_for)

    def _pop(self) -> Any:
        """Another process may pop at the same time: whose pop comes first in the log has the newest item."""
        self._read_on()
        while self._list.lines:
            number, line = write_pop()
            self._logs.append(self._name, [line])
            self._read_on(number)
            taken = self._list.popped.pop(number, None)
            if taken is None:
                return None
            try:
                return json.loads(taken)
            except ValueError:
                continue  # a line of somebody else's, as SQLiteSession skips it
        return None

    def _clear(self) -> None:
        self._read_on()
        if self._list.lines:
            self._logs.append(self._name, [write_clear()])


def _write_item(item: TResponseInputItem, number: int) -> bytes:
    if isinstance(item, dict) and is_operation(cast("dict[str, Any]", item)):
        raise ValueError(f"item {number} has the type {item.get('type')!r}, which this store keeps for itself")
    return write_object(item, f"item {number}")
