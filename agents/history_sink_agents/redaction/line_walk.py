"""One line through the layers: each string as it reads, JSON within strings too, and short values beside their key."""

import re
from collections.abc import Callable
from functools import cache, lru_cache, partial

from history_sink_agents.redaction.opaque import is_opaque
from history_sink_agents.redaction.strings import Change, is_json, redact_json

Scrub = Callable[[str], str]
"""Takes a text, and returns it without its secrets."""

NAMED_CHARACTERS = 300
_CACHED_TEXTS = 8192
_PLAIN_CHARACTERS = 64
_NESTED = 8
_ROUNDS = 4
_TELLS = re.compile(
    r"pass|pwd|secret|token|key|auth|cred|dsn|ur[li]|conn|private|jwt|bearer|cookie|sign|pin$|salt|webhook|pat$|sid$|hash",
    re.IGNORECASE,
)
_ESCAPE = "\x1b"
_COLOURS = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")
_PLAIN = re.compile(r"[0-9TZ:.+-]+|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def cache_short(scrub: Scrub) -> Change:
    """What becomes of short texts, remembered."""
    return lru_cache(_CACHED_TEXTS)(partial(_redact_string, scrub, None, 0))


def redact_line(line: str, scrub: Scrub, short: Change) -> str:
    """The line without its secrets. What is no JSON is looked at as text. The same again changes nothing.

    Agents write one tool's result twice into a line, so a text that comes again in it is not looked at again.
    """
    scrub = cache(scrub)
    for _ in range(_ROUNDS):
        change = partial(_redact_string, scrub, short, 0)
        after = redact_json(line, change, short)
        after = _scrub_coloured(line, scrub) if after is None else after
        if after == line:
            break
        line = after
    return line


def _redact_string(scrub: Scrub, short: Change | None, depth: int, key: str, text: str, is_key: bool) -> str:
    if not is_key and is_opaque(key, text):
        return text
    if depth < _NESTED and text.lstrip()[:1] in ("{", "["):
        inner = redact_json(text, partial(_redact_string, scrub, short, depth + 1), short)
        if inner is not None:
            after = scrub(inner)
            return after if after == inner or is_json(after) else inner
    tells = not is_key and len(text) <= NAMED_CHARACTERS and _tells(key)
    if not tells and len(text) <= _PLAIN_CHARACTERS and _PLAIN.fullmatch(text):
        return text
    text = _scrub_coloured(text, scrub) if _ESCAPE in text else scrub(text)
    return _scrub_named(key, text, scrub) if tells else text


def _scrub_coloured(text: str, scrub: Scrub) -> str:
    """A terminal's colours hide where words begin: a text with a secret loses them."""
    bare = _COLOURS.sub("", text)
    after = scrub(bare)
    return scrub(text) if after == bare else after


@lru_cache(4096)
def _tells(key: str) -> bool:
    return _TELLS.search(key) is not None


def _scrub_named(key: str, text: str, scrub: Scrub) -> str:
    """Scanners know a password by its name only. What they change of the name itself counts for nothing."""
    named = f"{key}="
    after = scrub(named + text)
    return after.removeprefix(named) if after.startswith(named) else text
