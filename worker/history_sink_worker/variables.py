"""The variables of an environment, and what is wrong with them, to be said all at once."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from history_sink.errors import ConfigurationError
from history_sink.protocol.names import DEFAULT_PREFIX, NAMESPACE, normal_prefix
from history_sink_worker.floors import check_floor, for_tests

T = TypeVar("T")


class Variables:
    """Reads variables and collects what is wrong, so that it can all be said at once.

    An empty or blank variable is a missing one: compose files and systemd units write them so.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._missing: list[str] = []
        self._malformed: list[str] = []
        self._is_unsafe = False
        self._is_unsafe = self.get("ALLOW_UNSAFE_TIMES", for_tests, False)

    def get(self, name: str, parse: Callable[[str], T], default: T) -> T:
        """`parse` raises ValueError with a text that goes on "<variable> must be …"."""
        text = self._env.get(NAMESPACE + name, "").strip()
        if not text:
            return default
        try:
            value = parse(text)
            if not self._is_unsafe:
                check_floor(name, value)
            return value
        except ValueError as error:
            self._malformed.append(f"{NAMESPACE}{name} must be {error}")
            return default

    def need(self, name: str, parse: Callable[[str], str]) -> str:
        if not self._env.get(NAMESPACE + name, "").strip():
            self._missing.append(NAMESPACE + name)
        return self.get(name, parse, "")

    def allow(self, name: str, parse: Callable[[str], str]) -> str:
        """Like `need`, where it may be missing."""
        return self.get(name, parse, "")

    def prefix(self) -> str:
        try:
            return normal_prefix(self._env.get(f"{NAMESPACE}S3_PREFIX"))
        except ConfigurationError as error:
            self._malformed.append(str(error))
            return DEFAULT_PREFIX

    def check(self) -> None:
        missing = [f"not set: {', '.join(self._missing)}"] if self._missing else []
        if missing or self._malformed:
            raise ConfigurationError("; ".join(missing + self._malformed))
