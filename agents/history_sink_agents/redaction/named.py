"""What stands behind a secret's name where the engine does not look: in prose, diffs, options, tables and tags."""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

from history_sink_agents.redaction.code_context import is_harmless
from history_sink_agents.redaction.placeholders import PLACEHOLDER, hide

LABEL = hide("contextual_secret")

_WORDS = ("passw", "passph", "secret", "token", "api", "access_key", "access key", "credential", "bearer")
_TAIL = re.compile(
    r"""(?:passw(?:or)?d|passphrase|secret|token|api[_ -]?key|access[_ ]key|credential|bearer)s?
    (?P<rest>[A-Za-z0-9_-]{0,40})["'`*]{0,2}
    (?P<link>[ \t]*(?:=>|:=|[=:|>])[ \t]*|,|[ \t]+(?:is|to|as|was)[ \t]*:?[ \t]+|[ \t]+)
    ["'`]?(?P<value>[^\s"'`<>|,;\\]{8,200})""",
    re.VERBOSE | re.IGNORECASE,
)
_BEFORE = re.compile(r"(?:^|\s)--?[\w-]*$")
_SEEN_CHARACTERS = 40
_LETTER, _DIGIT = re.compile(r"[A-Za-z]"), re.compile(r"\d")


_JWT = re.compile(r"eyJ[\w-]{16,}\.eyJ[\w-]{16,}\.[\w-]{16,}")  # the engine takes a full stop behind it for a part
_JWT_LABEL = hide("jwt")


def hide_named(
    text: str, allow: Iterable[re.Pattern[str]] = (), is_harmless: Callable[[str, int, int], bool] = is_harmless
) -> str:
    """The text without such values, but for those that a pattern of `allow` matches as a whole."""
    parts: list[str] = []
    done = 0
    for start, end in _find(text, is_harmless):
        if start >= done and not any(each.fullmatch(text, start, end) for each in allow):
            parts += (text[done:start], LABEL)
            done = end
    text = "".join((*parts, text[done:])) if parts else text
    return hide_jwts(text, allow) if ".eyJ" in text else text


def hide_jwts(text: str, allow: Iterable[re.Pattern[str]]) -> str:
    """The text without JWTs."""

    def replace(found: re.Match[str]) -> str:
        return found[0] if any(each.fullmatch(found[0]) for each in allow) else _JWT_LABEL

    return _JWT.sub(replace, text)


def _find(text: str, is_harmless: Callable[[str, int, int], bool]) -> Iterator[tuple[int, int]]:
    low = text.lower()
    if len(low) != len(text):
        low = text.replace("\u0130", "I").lower()  # the one letter whose small form is longer
    starts = sorted({at for word in _WORDS if word in low for at in _find_all(low, word)})
    for at in starts:
        if (found := _TAIL.match(text, at)) and _is_secret(text, at, found):
            start, end = found.span("value")
            if not is_harmless(text, start, end):
                yield start, end


def _find_all(text: str, word: str) -> Iterator[int]:
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + len(word))


def _is_secret(text: str, at: int, found: "re.Match[str]") -> bool:
    value = found["value"]
    if not found["link"].strip() and not _is_told(text, at, found):
        return False
    return _is_random(value) and not PLACEHOLDER.search(value)


def _is_told(text: str, at: int, found: "re.Match[str]") -> bool:
    """Whether a space alone is enough between name and value: behind ``Bearer``, of an option, or before a quote."""
    is_quoted = text[found.start("value") - 1] in "'\""
    return is_quoted or found[0][:6].lower() == "bearer" or _BEFORE.search(text, max(0, at - 40), at) is not None


def _is_random(value: str) -> bool:
    """Letters and digits mixed, as nobody writes names."""
    if not (_DIGIT.search(value) and _LETTER.search(value)):
        return False
    kinds = ["d" if each.isdigit() else "a" if each.isalpha() else "s" for each in value[:_SEEN_CHARACTERS]]
    changes = sum(before != after and "d" in (before, after) for before, after in pairwise(kinds))
    return changes >= 2 and len(set(value)) >= 6
