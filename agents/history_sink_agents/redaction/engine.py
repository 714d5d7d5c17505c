"""Layer 2: redact-secret behind a seam. Any function from text to text can take its place."""

import re
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, TypeAlias

from history_sink import ConfigurationError
from history_sink_agents.redaction.chunks import CHUNK_CHARACTERS, cut
from history_sink_agents.redaction.code_context import is_harmless
from history_sink_agents.redaction.placeholders import PLACEHOLDER, hide

Engine: TypeAlias = Callable[[str], str]
"""Takes a text, and returns it with a placeholder (`hide`) in the place of each secret. It keeps no state."""

IsHarmless: TypeAlias = Callable[[str, int, int], bool]
"""Whether a part of a text is no secret, though it stands behind a secret's name."""

PINNED = "0.1.0b15"
"""Another version finds other secrets, and so makes other bytes of the same history."""

_GENERIC = "generic-token"
_LEAST_CHARACTERS = 8
_HALVES = re.compile("[\ud800-\udfff]")


class RedactSecret:
    """The engine by default. `allow`: what matches one of these patterns as a whole is no secret."""

    name = f"redact-secret-{PINNED}"

    def __init__(self, allow: Iterable[re.Pattern[str]] = (), is_harmless: IsHarmless = is_harmless) -> None:
        self._allow = tuple(allow)
        self._is_harmless = is_harmless

    @cached_property
    def _scan(self) -> Callable[[str], list[Any]]:
        from importlib.metadata import version

        try:
            import redact_secret
        except ImportError:
            raise ConfigurationError("redaction needs the extra: pip install 'history-sink[redact]'") from None
        if (found := version("redact-secret")) != PINNED:
            raise ConfigurationError(f"redaction needs redact-secret=={PINNED}, and {found} is installed")

        def scan(text: str) -> list[Any]:
            try:
                return redact_secret.scan(text)
            except redact_secret.InvalidInputError:  # it takes no halves of surrogate pairs; offsets stay the same
                return redact_secret.scan(_HALVES.sub("\ufffd", text))

        return scan

    def check(self) -> None:
        """Load it. Raises `ConfigurationError` where it is missing or another version."""
        self._scan  # noqa: B018  # loads it

    def __call__(self, text: str) -> str:
        """Replace each finding."""
        if len(text) <= 2 * CHUNK_CHARACTERS:
            return self._replace(text)
        return "".join(map(self._replace, cut(text)))

    def _replace(self, text: str) -> str:
        parts: list[str] = []
        done = 0
        for finding in self._scan(text):
            start, end = finding.start, finding.end
            if start < done or not self._counts(finding, text, start, end):
                continue
            parts += (text[done:start], hide(finding.type))
            done = end
        return "".join((*parts, text[done:])) if parts else text

    def _counts(self, finding: Any, text: str, start: int, end: int) -> bool:
        secret = text[start:end]
        if len(PLACEHOLDER.sub("", secret)) < _LEAST_CHARACTERS and PLACEHOLDER.search(secret):
            return False
        if any(each.fullmatch(secret) for each in self._allow):
            return False
        return finding.detector != _GENERIC or not self._is_harmless(text, start, end)
