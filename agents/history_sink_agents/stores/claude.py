"""A `SessionStore` of the Claude Agent SDK on a sink: transcripts go into the archive, and are resumed from there."""

from collections.abc import Callable, Iterator, Sequence
from typing import cast

from history_sink_agents.stores.extras import name_extra

try:
    import claude_agent_sdk as sdk
    from claude_agent_sdk.types import SessionListSubkeysKey
except ModuleNotFoundError as missing:
    raise name_extra(__name__, "claude", missing) from None

from history_sink import HistorySink, SessionSummary
from history_sink_agents.stores.names import check_namespace, join, read_part, shorten, spell
from history_sink_agents.stores.shared_log import NotStored, SharedLog, Written
from history_sink_agents.stores.transcript import Folded, read_entries, write_entries
from history_sink_agents.stores.turns import Turns, run_in_thread


class SessionStore(sdk.SessionStore):
    """What `ClaudeAgentOptions(session_store=…)` takes.

    Each transcript is a log of its own, named ``<namespace>.<project>.<session>``, and behind a further dot the path of
    a subagent's. `append` returns when the store has the entries. Any number of processes may use one archive.
    """

    def __init__(
        self,
        sink: HistorySink,
        *,
        namespace: str = "claude-sdk",
        wait_seconds: float = 1.0,
        delete_logs: Callable[[Sequence[str]], object] | None = None,
    ) -> None:
        """Make a store on a sink, which the caller closes.

        Args:
            sink: Where transcripts go.
            namespace: What all names of its logs begin with, 1 to 40 of ``A-Z a-z 0-9 -`` without a dash in front: one
                for each tenant, since the SDK's key does not name one.
            wait_seconds: How long `append` waits for the store, and a question for a worker's answer.
            delete_logs: Deletes the logs with these names, with an operator's rights. A process of an agent has none;
                without it `delete` raises.

        Raises:
            ValueError: The namespace or `wait_seconds` cannot be.
        """
        self._namespace = check_namespace(namespace)
        self._logs = SharedLog(sink, wait_seconds)
        self._delete_logs = delete_logs
        self._turns = Turns()
        self._folded: dict[str, Folded] = {}

    async def append(self, key: sdk.SessionKey, entries: list[sdk.SessionStoreEntry]) -> None:
        """Add entries to a transcript, and return when the store has them.

        Raises:
            ValueError: The key or an entry cannot be.
            TimeoutError: The queue has them, and no worker has confirmed them in time. They are not lost, and the SDK
                does not try again.
            Unavailable: The broker is away. A second try does not write an entry twice.
            NotStored: The session was deleted.
        """
        name, lines = self._name(key), write_entries(entries)
        if lines:
            async with self._turns.take(name):
                await run_in_thread(lambda: self._logs.append(name, lines))

    async def load(self, key: sdk.SessionKey) -> list[sdk.SessionStoreEntry] | None:
        """All entries of a transcript, each uuid once; None where there is none.

        Raises:
            ValueError: The key cannot be.
            Unavailable: No worker has answered, or the store is away.
        """
        name = self._name(key)
        written = await run_in_thread(lambda: self._logs.read(name))
        return read_entries(name, written.data) if written else None

    async def list_sessions(self, project_key: str) -> list[sdk.SessionStoreListEntry]:
        """The sessions of a project, with the time of their last write by the store's clock. Raises as `load`."""
        found = await run_in_thread(lambda: [*self._find_sessions(project_key, "last_write")])
        return [{"session_id": session, "mtime": _to_ms(summary.last_write or 0.0)} for session, summary in found]

    async def list_session_summaries(self, project_key: str) -> list[sdk.SessionSummaryEntry]:
        """The summaries of a project's sessions, as the SDK folds them. Raises as `load`.

        They are folded here from the transcripts themselves, so nobody has to keep them up. This store remembers how
        far it has read each transcript, and reads what is new.
        """
        return await run_in_thread(lambda: [*self._summarise(project_key)])

    async def list_subkeys(self, key: SessionListSubkeysKey) -> list[str]:
        """The paths of a session's further transcripts. Raises as `load`."""
        prefix = self._name(key) + "."
        found = await run_in_thread(lambda: [*self._logs.find(prefix, "last_write")])
        paths = (read_part(each.session.removeprefix(prefix)) for each in found)
        return [path for path in paths if path is not None]

    async def delete(self, key: sdk.SessionKey) -> None:
        """Delete a transcript, and with a session's main one all others of it. Their names are never used again.

        Raises:
            ValueError: The key cannot be.
            NotStored: This store was given no `delete_logs`. The text has the names of the logs, for the operator.
            Unavailable: No worker has answered.
        """
        name = self._name(key)

        def act() -> None:
            beside = [] if key.get("subpath") else [each.session for each in self._logs.find(name + ".")]
            names = [name, *beside]
            if self._delete_logs is None:
                raise NotStored(f"not deleted: only an operator can: history-sink-worker delete {' '.join(names)}")
            self._delete_logs(names)
            for each in names:
                self._folded.pop(each, None)

        await run_in_thread(act)

    def _name(self, key: sdk.SessionKey | SessionListSubkeysKey) -> str:
        given = cast("dict[str, str]", key)
        for field in ("project_key", "session_id", "subpath"):
            if (field != "subpath" or field in given) and not (isinstance(given.get(field), str) and given[field]):
                raise ValueError(f"a key has a text as {field}, not {given.get(field)!r:.40}")
        beside = [spell(given["subpath"])] if "subpath" in given else []
        return join([self._namespace, shorten(given["project_key"]), spell(given["session_id"]), *beside])

    def _find_sessions(self, project_key: str, *fields: str) -> Iterator[tuple[str, SessionSummary]]:
        prefix = join([self._namespace, shorten(project_key)]) + "."
        for summary in self._logs.find(prefix, *fields):
            session = read_part(summary.session.removeprefix(prefix))  # None for a subagent's: it has a further dot
            if session is not None:
                yield session, summary

    def _summarise(self, project_key: str) -> Iterator[sdk.SessionSummaryEntry]:
        # The SDK compares these times with those of `list_sessions`, whose cheaper listing counts a fold.
        listed = {session: each.last_write or 0.0 for session, each in self._find_sessions(project_key, "last_write")}
        for session, summary in self._find_sessions(project_key, "last_write", "bytes"):
            name, at = summary.session, max(summary.last_write or 0.0, listed.get(session, 0.0))
            folded = self._folded.get(name) or Folded(session)
            written: Written | None = Written(b"", folded.end, folded.end, at)
            if folded.end != summary.bytes:
                written = self._logs.read(name, folded.end)
            if written is None:  # deleted meanwhile
                continue
            folded = self._folded[name] = folded.fold(name, project_key, written)
            if folded.summary is None:  # strays alone
                continue
            yield folded.encode(_to_ms(max(at, written.last_write)))


def _to_ms(unix_seconds: float) -> int:
    return int(unix_seconds * 1000)
