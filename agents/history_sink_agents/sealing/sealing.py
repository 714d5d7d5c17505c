"""The filter: a line in, its envelope out. Nobody reads it who has no key, nor moves, drops or alters it unseen."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from history_sink import ConfigurationError
from history_sink_agents.restored import find_own_state_folder
from history_sink_agents.sealing.begun import Begun
from history_sink_agents.sealing.envelope import PLACE_BYTES, Envelope, bind
from history_sink_agents.sealing.keyring import Keyring, SessionKey, read_keyring
from history_sink_agents.sealing.opening import Opener

_RULE = "seal=siv1:"


class Sealing:
    """A filter for `HistorySink(filters=[…])`. It is to be the last: what comes behind it sees envelopes."""

    def __init__(self, keyring: Keyring, state_folder: Path | None = None) -> None:
        """Make a filter.

        Args:
            keyring: The masters.
            state_folder: Where it is noted under which master each session began, so that it stays with it when the
                master is rotated. None: the user's state folder.

        Raises:
            ConfigurationError: The extra is missing.
        """
        require_extra()
        self._keyring = keyring
        self._opener = Opener(keyring)
        self._begun = Begun(state_folder or find_own_state_folder(os.environ))

    def for_session(self, session_id: str) -> "SessionSealing":
        """The filter of one session. Raises `ConfigurationError` where its key is not here."""
        master_id = self._begun.find_or_note(session_id, self._keyring.current)
        return SessionSealing(session_id, self._keyring.key_to_write(session_id, master_id))

    def for_rules(self, session_id: str, rules: str) -> "SessionSealing | None":
        """The filter of a session whose log was begun with the key that `rules` name; None where that is not here."""
        named = next((each for each in rules.split(",") if each.startswith(_RULE)), "")
        key = self._keyring.find(session_id, named.removeprefix(_RULE))
        return SessionSealing(session_id, key) if key else None

    def open_lines(self, session_id: str, lines: Iterable[bytes], is_whole: bool) -> Iterator[bytes]:
        """As `history_sink.Opener`, for the sink that it is a filter of. Raises `NotOpened`."""
        return self._opener.open_lines(session_id, lines, is_whole)

    def __call__(self, line: bytes) -> bytes:
        """Raises `ConfigurationError`: a line is sealed as one of a session's."""
        raise ConfigurationError("a line is sealed for a session, and none was named")


class SessionSealing:
    """Seals the lines of one session."""

    def __init__(self, session_id: str, key: SessionKey) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV

        self._session = session_id
        self._key_id = key.key_id
        self.rules = _RULE + key.key_id
        self._cipher = AESSIV(key.key)

    def __call__(self, line: bytes) -> bytes:
        """As the first line of a history."""
        return self.filter_at(line, bytes(PLACE_BYTES))

    def filter_at(self, line: bytes, before: bytes) -> bytes:
        """As the line behind those whose chain is `before`."""
        place = before[:PLACE_BYTES]
        return Envelope(self._key_id, place, self._cipher.encrypt(line, bind(self._session, place))).write()


def make_filter(environment: Mapping[str, str] | None = None) -> Sealing:
    """The filter that the variables describe. Raises `ConfigurationError`."""
    environment = os.environ if environment is None else environment
    return Sealing(read_keyring(environment), find_own_state_folder(environment))


def require_extra() -> None:
    """Raises `ConfigurationError` where cryptography is missing."""
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise ConfigurationError("sealing needs the extra: pip install 'history-sink[seal]'") from None
