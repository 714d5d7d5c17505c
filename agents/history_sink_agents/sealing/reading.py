"""Sealed sessions through a sink: the store's bytes are proven by their chain first, and then opened."""

from collections.abc import Iterator

from history_sink import Fault, HistorySink
from history_sink_agents.sealing.envelope import START
from history_sink_agents.sealing.keyring import Keyring
from history_sink_agents.sealing.opening import OpenedLog, Opener

_FIRST_BYTES = 256
"""Enough of a first line to see whether it is an envelope, and of which key."""


def open_session(sink: HistorySink, session_id: str, keyring: Keyring, branch: str | None = None) -> OpenedLog:
    """Read a whole log, and open its lines as they come; see `OpenedLog`.

    Args:
        sink: Where to read it.
        session_id: The session.
        keyring: The keys.
        branch: As for `HistorySink.read`.

    Returns:
        What yields the lines, opened, each with its newline. It raises what `HistorySink.read` raises, and `NotOpened`.
    """
    return Opener(keyring).open_log(session_id, split(sink.read(session_id, branch=branch, stored=True)))


def find_key_id(sink: HistorySink, session_id: str) -> str | None:
    """The id of the key that the main log's first line is sealed with; None where it is not sealed.

    Raises what `HistorySink.pointer` raises.
    """
    answer = sink.resolve(sink.pointer(session_id, byte_range=(0, _FIRST_BYTES)), stored=True)
    if isinstance(answer, Fault):
        return None
    if not answer.startswith(START):
        return None
    return answer[len(START) :].partition(b'"')[0].decode("ascii", "replace")


def split(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Pieces of a log to its lines, each with its newline."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line + b"\n" for line in lines)
    if rest:
        yield rest
