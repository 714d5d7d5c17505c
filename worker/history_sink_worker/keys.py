"""The store's keys, and the files that some of them are in."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from history_sink.protocol.names import NAMESPACE
from history_sink.protocol.secret_files import SUFFIX, read_secrets

FIELDS = {
    f"{NAMESPACE}S3_ACCESS_KEY": "access_key",
    f"{NAMESPACE}S3_SECRET_KEY": "secret_key",
    f"{NAMESPACE}S3_SESSION_TOKEN": "session_token",
}
"""Of `Keys`, by the variables that they are in."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What requests are signed with; `session_token` None: keys that are not for a time only."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """The keys' files, by variable, as far as they are in files."""

    paths: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, env: Mapping[str, str]) -> Self:
        """Those that `env` names."""
        named = {variable: env.get(variable + SUFFIX, "").strip() for variable in FIELDS}
        return cls(tuple((variable, path) for variable, path in named.items() if path))

    def stamp(self) -> tuple[object, ...]:
        """Another one once a file was written to, or has another in its place, as Kubernetes does it."""
        return tuple(_stamp(path) for _, path in self.paths)

    def read(self, keys: Keys) -> Keys:
        """`keys`, and in them what the files hold now. Raises ConfigurationError, which quotes no secret."""
        found = read_secrets({variable + SUFFIX: path for variable, path in self.paths}, tuple(FIELDS))
        return replace(keys, **{FIELDS[variable]: found[variable] for variable, _ in self.paths})


def _stamp(path: str) -> object:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
