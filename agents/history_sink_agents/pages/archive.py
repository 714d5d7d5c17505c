"""What pages need of the archive: proof that a message is there, and the message again."""

from history_sink import Fault, HistorySink, HistorySinkError, Malformed, PointerHandle, SessionId
from history_sink_agents.pages.content import read_content
from history_sink_agents.pages.page import Page


class Unproven(HistorySinkError):
    """The archive is not known to hold a message. The text says why, without content."""


class Archive:
    """The log of one session, as a sink reaches it."""

    def __init__(
        self, sink: HistorySink, session_id: SessionId, branch: str | None = None, timeout_seconds: float = 10.0
    ) -> None:
        """Make one; nobody is asked yet.

        Args:
            sink: The sink that has saved the history, or another one that reaches the same workers.
            session_id: The session whose log has the history, message by message, from the first on.
            branch: A branch as `HistorySink.status` names it. None: the log that the sink's session is on.
            timeout_seconds: How long to wait for each answer of a worker, in seconds.
        """
        self._sink = sink
        self._session_id = session_id
        self._branch = branch
        self._timeout_seconds = timeout_seconds

    def locate(self, number: int, key: str) -> tuple[PointerHandle, bytes]:
        """Find message `number`, and read it to prove that it is the one with this key.

        Raises:
            Unproven: It is not there, not the same, or nobody could tell.
        """
        seconds = self._timeout_seconds
        try:
            handle = self._sink.pointer(
                self._session_id, messages=(number, number + 1), timeout_seconds=seconds, branch=self._branch
            )
        except HistorySinkError as error:
            raise Unproven(str(error)) from None
        answer = self._sink.resolve(handle, seconds)
        if isinstance(answer, Fault):
            raise Unproven(str(answer))
        if not is_same(answer, key):
            raise Unproven(f"the log has another message {number}")
        return handle, answer

    def resolve(self, handle: PointerHandle, key: str) -> bytes | Fault:
        """The line that a pointer leads to, or why it cannot be had. Never raises."""
        answer = self._sink.resolve(handle, self._timeout_seconds)
        if isinstance(answer, bytes) and not is_same(answer, key):
            return Fault("backend_error", f"{handle.key}: what is there is not the message that was evicted")
        return answer


def locate(archive: Archive | None, number: int, key: str) -> tuple[PointerHandle, bytes]:
    """As `Archive.locate`. Raises `Unproven` where there is no archive, too."""
    if archive is None:
        raise Unproven("no archive was given")
    return archive.locate(number, key)


def read_page(archive: Archive | None, number: int, page: Page) -> bytes | Fault:
    """The line of message `number`, whose page this is, or why it cannot be had. Never raises."""
    if archive is not None and page.handle is not None:
        return archive.resolve(page.handle, page.key)
    try:
        return locate(archive, number, page.key)[1]
    except Unproven as error:
        return Fault("backend_error", str(error))


def is_same(line: bytes, key: str) -> bool:
    """Whether a line is the message with this key."""
    try:
        return read_content(line).key == key
    except Malformed:
        return False
