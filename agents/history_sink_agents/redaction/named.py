"""What stands behind a secret's name where the engine does not look: in prose, diffs, options, tables and tags."""

import re
from collections.abc import Callable, Iterable, Iterator

from history_sink_agents.redaction.code_context import is_harmless
from history_sink_agents.redaction.placeholders import PLACEHOLDER, hide
from history_sink_agents.redaction.randomness import is_mixed

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


_JWT = re.compile(r"eyJ[\w-]{16,}\.eyJ[\w-]{16,}\.[\w-]{16,}")  # the engine takes a full stop behind it for a part
_JWT_LABEL = hide("jwt")


def hide_named(
    text: str, allow: Iterable[re.Pattern[str]] = (), is_harmless: Callable[[str, int, int], bool] = is_harmless
) -> str:
    """The text without such values, but for those that a pattern of `allow` matches as a whole."""
    text = hide_spans(text, _find(text, is_harmless), allow)
    return hide_jwts(text, allow) if ".eyJ" in text else text


def hide_spans(text: str, spans: Iterable[tuple[int, int]], allow: Iterable[re.Pattern[str]]) -> str:
    """The text without what stands at `spans`, the first one first, but for what a pattern of `allow` matches whole."""
    parts: list[str] = []
    done = 0
    for start, end in spans:
        if start >= done and not any(each.fullmatch(text, start, end) for each in allow):
            parts += (text[done:start], LABEL)
            done = end
    return "".join((*parts, text[done:])) if parts else text


def hide_jwts(text: str, allow: Iterable[re.Pattern[str]]) -> str:
    """The text without JWTs."""

    def replace(found: re.Match[str]) -> str:
        return found[0] if any(each.fullmatch(found[0]) for each in allow) else _JWT_LABEL

    return _JWT.sub(replace, text)


def _find(text: str, is_harmless: Callable[[str, int, int], bool]) -> Iterator[tuple[int, int]]:
    low = text.lower()
    if len(low) != len(text):
        low = text.replace("\u0130", "I").lower()  # the one letter whose small form is longer
    starts = sorted({sign.start() for word in _WORDS for sign in re.finditer(word, low)})
    for at in starts:
        if (found := _TAIL.match(text, at)) and _is_secret(text, at, found):
            start, end = found.span("value")
            if not is_harmless(text, start, end):
                yield start, end


def _is_secret(text: str, at: int, found: "re.Match[str]") -> bool:
    value = found["value"]
    if not found["link"].strip() and not _is_told(text, at, found):
        return False
    return is_mixed(value) and not PLACEHOLDER.search(value)


def _is_told(text: str, at: int, found: "re.Match[str]") -> bool:
    """Whether a space alone is enough between name and value: behind ``Bearer``, of an option, or before a quote."""
    is_quoted = text[found.start("value") - 1] in "'\""
    return is_quoted or found[0][:6].lower() == "bearer" or _BEFORE.search(text, max(0, at - 40), at) is not None
