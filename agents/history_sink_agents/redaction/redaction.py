"""The filter: a line in, the line without its secrets out."""

import copy
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from history_sink import ConfigurationError, Filtered
from history_sink_agents.redaction.code_context import (
    DEFAULT_PASSWORD,
    is_certainly_code,
    is_code,
    is_harmless,
)
from history_sink_agents.redaction.code_names import is_a_name
from history_sink_agents.redaction.credentials import FOURTH, THIRD, hide_credentials
from history_sink_agents.redaction.engine import Engine, IsHarmless, RedactSecret
from history_sink_agents.redaction.line_walk import cache_short, redact_line
from history_sink_agents.redaction.named import hide_named
from history_sink_agents.redaction.placeholders import PLACEHOLDER, count, hide
from history_sink_agents.redaction.record import Record
from history_sink_agents.redaction.secret_names import LEAST_CHARACTERS, find_values
from history_sink_agents.restored import find_own_state_folder

WALK = "4"
"""The version of all that is not the engine. Whatever makes other bytes of a line makes it another."""


@dataclass(frozen=True, slots=True)
class _Version:
    """What the versions differ in."""

    is_harmless: IsHarmless
    hide: Callable[[str, Iterable[re.Pattern[str]], IsHarmless], str]
    allow: tuple[re.Pattern[str], ...] = ()


_VERSIONS: Mapping[str, _Version] = {
    "1": _Version(is_a_name, hide_named),
    "2": _Version(is_harmless, hide_named),
    "3": _Version(is_code, partial(hide_credentials, grammar=THIRD), (DEFAULT_PASSWORD,)),
    WALK: _Version(is_certainly_code, partial(hide_credentials, grammar=FOURTH), (DEFAULT_PASSWORD,)),
}
"""Sessions that were begun by an older one go on by it."""

_RULE = "redact="


class Redaction:
    """A filter for `HistorySink(filters=[…])`: it replaces secrets by placeholders such as ``[REDACTED:jwt]``.

    The same line becomes the same bytes wherever `rules` and the exact values are the same. A line without a secret
    keeps its bytes. Any number of threads may use it. `rules` names engine, version and configuration.
    """

    def __init__(
        self,
        *,
        environment: Mapping[str, str] | None = None,
        values: Iterable[str] = (),
        patterns: Mapping[str, str] | None = None,
        allow: Iterable[str] = (),
        engine: Engine | None = None,
        state_folder: Path | None = None,
    ) -> None:
        """Make a filter; it goes by what the environment holds now.

        Args:
            environment: Variables whose names say that their values are secrets. None: the process's.
            values: More exact values, of 8 characters or more.
            patterns: Regular expressions of your own, by the name that stands in their placeholder.
            allow: What matches one of these regular expressions as a whole is no secret. Exact values stay secrets.
            engine: A function from text to text in place of redact-secret; `allow` is then its own business.
            state_folder: Where it is noted with which rules each session began. None: the user's state folder.

        Raises:
            ConfigurationError: A pattern cannot be read, a value is too short, or the extra is missing.
        """
        environment = os.environ if environment is None else environment
        patterns, allow, values = dict(patterns or {}), sorted(allow), [*values]
        self._allowed = [_compile("in allow", each) for each in allow]
        self._has_own_engine = engine is not None
        self._version = _VERSIONS[WALK]
        self._engine = engine or RedactSecret((*self._allowed, *self._version.allow), self._version.is_harmless)
        if isinstance(self._engine, RedactSecret):
            self._engine.check()
        self._patterns = [(hide(name), _compile(name, patterns[name])) for name in sorted(patterns)]
        if any(len(value) < LEAST_CHARACTERS for value in values):
            raise ConfigurationError(f"an exact value to redact has at least {LEAST_CHARACTERS} characters")
        found = {**dict.fromkeys(values, "VALUE"), **find_values(environment)}
        self._values = [(value, self._label(found[value], value)) for value in sorted(found, key=_longest_first)]
        self._short = cache_short(self._scrub)
        self._older: dict[str, Redaction] = {}
        own = hashlib.sha256(json.dumps([patterns, allow], sort_keys=True).encode()).hexdigest()[:8]
        self._kind = f"{getattr(self._engine, 'name', 'own')}/{own}"
        self.rules = f"{_RULE}{WALK}/{self._kind}"
        self._record = Record(state_folder or find_own_state_folder(environment))

    def for_session(self, session_id: str) -> "Redaction":
        """Itself, or one by the rules that the session began with here. Warns where it began with other rules."""
        begun = self._record.find_rules(session_id)
        found = self.for_rules(session_id, f"{_RULE}{begun}") if begun else None
        found = found or self
        self._record.check(session_id, found.rules.removeprefix(_RULE), [value for value, _ in self._values])
        return found

    def for_rules(self, session_id: str, rules: str) -> "Redaction | None":
        """One by the rules that are named for a log; None where it has not this engine and configuration."""
        del session_id
        named = next((each.removeprefix(_RULE) for each in rules.split(",") if each.startswith(_RULE)), "")
        walk, _, kind = named.partition("/")
        if kind != self._kind or walk not in _VERSIONS:
            return None
        if walk == WALK:
            return self
        if walk not in self._older:
            self._older[walk] = self._go_back(walk)
        return self._older[walk]

    def _go_back(self, walk: str) -> "Redaction":
        older = copy.copy(self)
        older.rules = f"{_RULE}{walk}/{self._kind}"
        older._version = _VERSIONS[walk]
        if not self._has_own_engine:
            older._engine = RedactSecret((*self._allowed, *older._version.allow), older._version.is_harmless)
        older._short = cache_short(older._scrub)
        return older

    def __call__(self, line: bytes) -> bytes:
        """The line without its secrets, and how many there were by rule; the very line where there is none."""
        text = line.decode("utf-8", "surrogateescape")
        after = redact_line(text, self._scrub, self._short)
        if after == text:
            return line
        return Filtered(after.encode("utf-8", "surrogateescape"), count(after) - count(text))

    def _scrub(self, text: str) -> str:
        for value, label in self._values:
            if value in text:
                text = text.replace(value, label)
        for label, pattern in self._patterns:
            text = pattern.sub(partial(self._replace, label), text)
        version = self._version
        return version.hide(self._engine(text), (*self._allowed, *version.allow), version.is_harmless)

    def _replace(self, label: str, found: re.Match[str]) -> str:
        secret = found[0]
        is_done = not secret or PLACEHOLDER.search(secret) or any(each.fullmatch(secret) for each in self._allowed)
        return secret if is_done else label

    def _label(self, name: str, value: str) -> str:
        """The placeholder that the engine has for it, so that machines without the variable make the same of it."""
        found = PLACEHOLDER.fullmatch(self._engine(f"{name}={value}").removeprefix(f"{name}="))
        return found[0] if found else hide("environment")


def _longest_first(value: str) -> tuple[int, str]:
    return -len(value), value


def _compile(name: str, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigurationError(f"the pattern {name} cannot be read: {error.msg}") from None
