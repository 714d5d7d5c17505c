"""Random keys of sessions, each wrapped by a master in a file of its own. Who deletes the file deletes the session."""

import base64
import json
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from history_sink import ConfigurationError

_KEY_BYTES = 64
_BINDING = b"history-sink wrapped session key"


class SessionKeys:
    """The folder. Any number of processes may use it."""

    def __init__(self, folder: Path, masters: Mapping[str, bytes]) -> None:
        self._folder = folder
        self._masters = masters

    def get_or_make(self, session: str, master_id: str) -> bytes:
        """The session's key; a new one is wrapped by that master, and on disk before it is used.

        Raises:
            ConfigurationError: It cannot be kept, or cannot be unwrapped.
        """
        if (key := self.get(session)) is not None:
            return key
        if self.is_destroyed(session):
            raise ConfigurationError(f"the key of session {session} was destroyed: nothing more is sealed for it")
        key = secrets.token_bytes(_KEY_BYTES)
        if self._write(session, master_id, key, is_new=True):
            return key
        found = self.get(session)  # another process was first
        if found is None:
            raise ConfigurationError(f"the key of session {session} came and went")
        return found

    def get(self, session: str) -> bytes | None:
        """The key, if there is one. Raises `ConfigurationError` for one that cannot be unwrapped."""
        try:
            entry = json.loads(self._find(session).read_bytes())
            if entry.get("destroyed") is True:
                return None
            master, wrapped = self._masters[entry["master"]], base64.b64decode(entry["wrapped"], validate=True)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigurationError(f"the key of session {session} cannot be read: {error.strerror}") from None
        except KeyError as error:
            raise ConfigurationError(f"the key of session {session} needs master {error.args[0]}") from None
        except (ValueError, TypeError):
            raise ConfigurationError(f"the key of session {session} is damaged") from None
        return _unwrap(master, session, wrapped)

    def sessions(self) -> Iterator[str]:
        """The sessions that have a key here."""
        names = (path.name.removesuffix(".key") for path in sorted(self._folder.glob("*.key")))
        return (name for name in names if not self.is_destroyed(name))

    def rewrap(self, session: str, master_id: str) -> None:
        """Wrap the same key by another master. Raises `ConfigurationError`."""
        key = self.get(session)
        if key is not None:
            self._write(session, master_id, key, is_new=False)

    def destroy(self, session: str) -> bool:
        """Delete the key; False where there is none. A mark in its place keeps a writer from making another one.

        Otherwise an agent that goes on with the session would archive it again, whole, under a new key.
        """
        path = self._find(session)
        try:
            size_bytes = path.stat().st_size
            if self.is_destroyed(session):
                return False
            with path.open("r+b") as file:
                file.write(bytes(size_bytes))
                file.flush()
                os.fsync(file.fileno())
        except FileNotFoundError:
            return False
        self._put(session, {"session": session, "destroyed": True}, is_new=False)
        return True

    def is_destroyed(self, session: str) -> bool:
        """Whether its key was destroyed here."""
        try:
            return json.loads(self._find(session).read_bytes()).get("destroyed") is True
        except (OSError, ValueError, AttributeError):
            return False

    def _find(self, session: str) -> Path:
        if session != Path(session).name or session.startswith("."):
            raise ConfigurationError(f"{session!r} is no session")
        return self._folder / f"{session}.key"

    def _write(self, session: str, master_id: str, key: bytes, *, is_new: bool) -> bool:
        """Whole or not at all, and on disk; False where `is_new` and there is one."""
        wrapped = base64.b64encode(_wrap(self._masters[master_id], session, key)).decode()
        return self._put(session, {"session": session, "master": master_id, "wrapped": wrapped}, is_new=is_new)

    def _put(self, session: str, entry: Mapping[str, object], *, is_new: bool) -> bool:
        path, draft = self._find(session), self._folder / f".{session}.{secrets.token_hex(4)}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(number, "w") as file:
                file.write(json.dumps(entry) + "\n")
                file.flush()
                os.fsync(file.fileno())
            if is_new:
                os.link(draft, path)  # fails where there is one
                draft.unlink()
            else:
                draft.replace(path)
            _sync(self._folder)
        except FileExistsError:
            draft.unlink(missing_ok=True)
            return False
        except OSError as error:
            raise ConfigurationError(f"the key of session {session} cannot be kept: {error.strerror}") from None
        return True


def _sync(folder: Path) -> None:
    if sys.platform == "win32":  # no folder can be opened there
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _wrap(master: bytes, session: str, key: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

    return AESSIV(master).encrypt(key, [_BINDING, session.encode()])


def _unwrap(master: bytes, session: str, wrapped: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

    try:
        return AESSIV(master).decrypt(wrapped, [_BINDING, session.encode()])
    except InvalidTag:
        raise ConfigurationError(f"the key of session {session} is damaged, or another session's") from None
