"""Keys: masters, from which each session's key is derived, and keys of sessions that are random and wrapped.

A masters' file has one master a line, ``<id> <base64 of 32 bytes>``; the last is for new sessions, all are for reading.
"""

import base64
import hashlib
import json
import os
import secrets
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from history_sink import ConfigurationError
from history_sink_agents.sealing.session_keys import SessionKeys

MASTER_FILE = "CODETETHER_HISTORY_SEAL_MASTER_FILE"
MASTER_COMMAND = "CODETETHER_HISTORY_SEAL_MASTER_COMMAND"
KEYS_FOLDER = "CODETETHER_HISTORY_SEAL_KEYS_FOLDER"
_MASTER_BYTES = 32
_KEY_BYTES = 64
_COMMAND_SECONDS = 30


@dataclass(frozen=True, slots=True)
class SessionKey:
    """The key of one session's lines. `key_id` says which it is, and nothing of it."""

    key_id: str
    key: bytes = field(repr=False)


class Keyring:
    """What one process may read and write."""

    def __init__(
        self,
        masters: Mapping[str, bytes],
        folder: Path | None = None,
        exported: Mapping[str, Sequence[bytes]] | None = None,
    ) -> None:
        """Make a keyring.

        Args:
            masters: By their ids, the one for new sessions last.
            folder: Sessions get random keys, which are wrapped by the master and kept there. None: derived ones.
            exported: Keys of sessions that are for reading, by session.

        Raises:
            ConfigurationError: A master has no 32 bytes.
        """
        if any(len(master) != _MASTER_BYTES for master in masters.values()):
            raise ConfigurationError("a master has 32 bytes")
        self._masters = dict(masters)
        self._exported = dict(exported or {})
        self._session_keys = SessionKeys(folder, self._masters) if folder else None

    @property
    def current(self) -> str:
        """The id of the master for new sessions. Raises `ConfigurationError` where there is none."""
        if not self._masters:
            raise ConfigurationError("there is no master to seal with, only keys to read with")
        return next(reversed(self._masters))

    def key_to_write(self, session: str, master_id: str | None = None) -> SessionKey:
        """The key of a session that begins, or that began under `master_id`.

        Raises:
            ConfigurationError: That master is not here, or its key cannot be kept.
        """
        if self._session_keys is not None:
            return _identify(self._session_keys.get_or_make(session, self.current))
        master_id = master_id or self.current
        if master_id not in self._masters:
            raise ConfigurationError(f"session {session} was begun under master {master_id}, which is not here")
        return _identify(_derive(self._masters[master_id], session))

    def find(self, session: str, key_id: str) -> SessionKey | None:
        """The key of that id, if it is here."""
        return next((key for key in self.candidates(session) if key.key_id == key_id), None)

    def describe(self, session: str, key: SessionKey) -> str:
        """Where a key is from: ``random``, or the master."""
        for name, master in self._masters.items():
            if _derive(master, session) == key.key:
                return f"master {name}"
        return "exported" if key.key in self._exported.get(session, ()) else "random"

    def candidates(self, session: str) -> Iterable[SessionKey]:
        """All keys that lines of the session may have here."""
        if self._session_keys is not None and (key := self._session_keys.get(session)):
            yield _identify(key)
        yield from map(_identify, self._exported.get(session, ()))
        for master in reversed(self._masters.values()):
            yield _identify(_derive(master, session))


def read_keyring(environment: Mapping[str, str] | None = None) -> Keyring:
    """The keyring that the variables describe.

    Args:
        environment: The variables. None: the process's.

    Returns:
        A keyring with the masters of CODETETHER_HISTORY_SEAL_MASTER_FILE, or of what the command in
        CODETETHER_HISTORY_SEAL_MASTER_COMMAND prints.

    Raises:
        ConfigurationError: Neither is set or both are, or what they give are no masters. The text holds no key.
    """
    environment = os.environ if environment is None else environment
    path, command = (environment.get(name, "").strip() for name in (MASTER_FILE, MASTER_COMMAND))
    if bool(path) == bool(command):
        raise ConfigurationError(
            f"sealing needs either {MASTER_FILE} or {MASTER_COMMAND}: `history-sink keys make` makes such a file"
        )
    text = _read_file(Path(path)) if path else _run(command)
    folder = environment.get(KEYS_FOLDER, "").strip()
    masters, exported = parse_keys(text, MASTER_FILE if path else MASTER_COMMAND)
    if not masters and not exported:
        raise ConfigurationError(f"{MASTER_FILE if path else MASTER_COMMAND} gives no key")
    return Keyring(masters, Path(folder) if folder else None, exported)


def parse_keys(text: str, where: str) -> tuple[dict[str, bytes], dict[str, list[bytes]]]:
    """The masters by their ids in the order of the lines, and exported keys by session. Raises `ConfigurationError`."""
    masters: dict[str, bytes] = {}
    exported: dict[str, list[bytes]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            if line.startswith("{"):
                entry = json.loads(line)
                key = bytes.fromhex(entry["key"])
                if len(key) != _KEY_BYTES:
                    raise ValueError
                exported.setdefault(entry["session"], []).append(key)
                continue
            name, encoded = line.split()
            master = base64.b64decode(encoded, validate=True)
        except (ValueError, KeyError, TypeError):
            raise ConfigurationError(f"{where}: line {number} is no key") from None
        if len(master) != _MASTER_BYTES or name != identify_master(master):
            raise ConfigurationError(f"{where}: line {number} is damaged: id and key do not fit")
        masters[name] = master
    return masters, exported


def make_master() -> tuple[str, str]:
    """A new master's id, and its line."""
    master = secrets.token_bytes(_MASTER_BYTES)
    name = identify_master(master)
    return name, f"{name} {base64.b64encode(master).decode()}\n"


def identify_master(master: bytes) -> str:
    """8 hex digits that say which master it is."""
    return hashlib.sha256(b"history-sink master\0" + master).hexdigest()[:8]


def _identify(key: bytes) -> SessionKey:
    return SessionKey(hashlib.sha256(b"history-sink session key\0" + key).hexdigest()[:8], key)


def _derive(master: bytes, session: str) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA512
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    info = b"history-sink siv1\0" + session.encode()
    return HKDF(algorithm=SHA512(), length=_KEY_BYTES, salt=None, info=info).derive(master)


def _read_file(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text"
        raise ConfigurationError(f"{MASTER_FILE}: {path} cannot be read: {reason}") from None


def _run(command: str) -> str:
    try:
        done = subprocess.run(
            ["sh", "-c", command], capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False
        )
    except (subprocess.TimeoutExpired, UnicodeDecodeError):
        raise ConfigurationError(f"{MASTER_COMMAND}: no masters after {_COMMAND_SECONDS} s") from None
    if done.returncode:
        raise ConfigurationError(f"{MASTER_COMMAND}: ended with status {done.returncode}")
    return done.stdout
