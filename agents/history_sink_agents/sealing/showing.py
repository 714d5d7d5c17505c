"""For what shows lines or gives them back: sealed ones opened where the environment has keys, else as they are."""

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial

from history_sink import Sealed, Unavailable
from history_sink_agents.sealing.envelope import START, NotOpened
from history_sink_agents.sealing.keyring import MASTER_COMMAND, MASTER_FILE, read_keyring
from history_sink_agents.sealing.opening import Opener

log = logging.getLogger("history_sink.sealing")

_KEY = re.compile(r"(?:^|/)([^/]+)(?:/branches/[^/]+)?/(?:history\.jsonl|tail/[^/]+)$")


class EnvironmentOpener:
    """The sinks' `history_sink.Opener`: it has the keys that the environment names, whenever it is asked."""

    def open_lines(self, session_id: str, lines: Iterable[bytes], is_whole: bool) -> Iterator[bytes]:
        """As `history_sink.Opener`. Raises `NotOpened`, and `ConfigurationError` for keys that cannot be read."""
        opener = _make_opener(_read_names())
        if opener is not None:
            yield from opener.open_lines(session_id, lines, is_whole)
            return
        yield from (Sealed(line) if line.startswith(START) else line for line in lines)


def open_for_show(session_id: str) -> Callable[[bytes], bytes]:
    """A function that opens a line of the session; one that cannot be opened it returns as it is.

    Raises:
        ConfigurationError: The variables name keys that cannot be read.
    """
    opener = _make_opener(_read_names())
    return partial(_try, opener, session_id) if opener else _keep


def open_piece(key: str, data: bytes) -> bytes:
    """Bytes of the log at `key`, the sealed lines that are whole in it opened where the key is here, else as they are.

    Raises:
        ConfigurationError: As `open_for_show`.
    """
    session_id = find_session(key)
    if START not in data or session_id is None:
        return data
    open_line = open_for_show(session_id)
    return b"\n".join(map(open_line, data.split(b"\n")))


def open_sealed(session_id: str, data: bytes) -> bytes:
    """A whole log's bytes, the sealed lines opened. Lines in the clear are given as they are, and logged once.

    Raises:
        Unavailable: A line cannot be opened here.
        ConfigurationError: As `open_for_show`.
    """
    if START not in data:
        return data
    open_line = open_for_show(session_id)
    stored = data.split(b"\n")[:-1]
    if not all(line.startswith(START) for line in stored):
        _tell_both(session_id)
    lines = [open_line(line) for line in stored]
    if any(line.startswith(START) for line in lines):
        raise Unavailable(f"{session_id}: a line is sealed, and there is no key here that opens it")
    return b"".join(line.removesuffix(b"\n") + b"\n" for line in lines)


@lru_cache(1024)
def _tell_both(session_id: str) -> None:
    log.warning("session %s: lines stand in the clear among sealed ones: the key does not vouch for them", session_id)


def find_session(key: str) -> str | None:
    """The session that the key of a log, a branch or a stray belongs to; None where it is none of these."""
    found = _KEY.search(key)
    return found[1] if found else None


def tell_sealed(data: bytes) -> dict[str, object]:
    """What an answer says besides, where lines in it are still sealed; nothing where none is."""
    count = sum(line.startswith(START) for line in data.split(b"\n"))
    if not count:
        return {}
    return {
        "sealed_lines": count,
        "note": f"not opened: altered, or the key is not here ({MASTER_FILE} names the keys)",
    }


def open_to_give_back(session_id: str, lines: Iterable[bytes]) -> Iterator[bytes]:
    """A whole log's lines, opened, if they are sealed.

    Raises:
        NotOpened: A line cannot be opened, no key is here, or one stands where it was not sealed for.
        ConfigurationError: As `open_for_show`.
    """
    opener = _make_opener(_read_names())
    if opener is not None:
        yield from opener.open_log(session_id, lines)
        return
    for line in lines:
        if line.startswith(START):
            raise NotOpened(f"session {session_id} is sealed, and no key is here: set {MASTER_FILE}")
        yield line


def _read_names() -> tuple[tuple[str, str], ...]:
    """The variables, as what is remembered goes by them."""
    return tuple((name, value) for name, value in os.environ.items() if name.startswith("CODETETHER_HISTORY_SEAL_"))


@lru_cache(4)
def _make_opener(variables: tuple[tuple[str, str], ...]) -> Opener | None:
    environment = dict(variables)
    if not (environment.get(MASTER_FILE) or environment.get(MASTER_COMMAND)):
        return None
    return Opener(read_keyring(environment))


def _try(opener: Opener, session_id: str, line: bytes) -> bytes:
    try:
        return opener.open_line(session_id, line)
    except NotOpened:
        return line


def _keep(line: bytes) -> bytes:
    return line
