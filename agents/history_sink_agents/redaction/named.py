"""What stands behind a secret's name where the engine does not look: in prose, diffs, options, tables and tags."""

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

from history_sink_agents.redaction.code_names import is_a_name
from history_sink_agents.redaction.placeholders import PLACEHOLDER, hide

LABEL = hide("contextual_secret")

_WORDS = ("passw", "passph", "secret", "token", "api", "access_key", "credential", "bearer")
_TAIL = re.compile(
    r"""(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access_key|credential|bearer)s?
    (?P<rest>[A-Za-z0-9_-]{0,40})["'`*]{0,2}
    (?P<link>[ \t]*(?:=>|:=|[=:|>])[ \t]*|[ \t]+(?:is|to|as|was)[ \t]*:?[ \t]+|[ \t]+)
    ["'`]?(?P<value>[^\s"'`<>|,;\\]{8,200})""",
    re.VERBOSE | re.IGNORECASE,
)
_BEFORE = re.compile(r"(?:^|\s)--?[\w-]*$")
_LETTER, _DIGIT = re.compile(r"[A-Za-z]"), re.compile(r"\d")


def hide_named(text: str, allow: Iterable[re.Pattern[str]] = ()) -> str:
    """The text without such values, but for those that a pattern of `allow` matches as a whole."""
    parts: list[str] = []
    done = 0
    for start, end in _find(text):
        if start >= done and not any(each.fullmatch(text, start, end) for each in allow):
            parts += (text[done:start], LABEL)
            done = end
    return "".join((*parts, text[done:])) if parts else text


def _find(text: str) -> Iterator[tuple[int, int]]:
    low = text.lower()
    if len(low) != len(text):
        low = text.replace("\u0130", "I").lower()  # the one letter whose small form is longer
    starts = sorted({at for word in _WORDS if word in low for at in _find_all(low, word)})
    for at in starts:
        if (found := _TAIL.match(text, at)) and _is_secret(text, at, found):
            yield found.span("value")


def _find_all(text: str, word: str) -> Iterator[int]:
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + len(word))


def _is_secret(text: str, at: int, found: "re.Match[str]") -> bool:
    start, end = found.span("value")
    value = found["value"]
    if not found["link"].strip() and not (
        found[0][:6].lower() == "bearer" or _BEFORE.search(text, max(0, at - 40), at)
    ):
        return False
    if PLACEHOLDER.search(value) or not _is_random(value):
        return False
    return not is_a_name(text, start, end)


def _is_random(value: str) -> bool:
    """Letters and digits mixed, as nobody writes names."""
    kinds = ["d" if each.isdigit() else "a" if each.isalpha() else "s" for each in value]
    changes = sum(before != after and "d" in (before, after) for before, after in pairwise(kinds))
    return len(set(value)) >= 6 and changes >= 2 and bool(_LETTER.search(value)) and bool(_DIGIT.search(value))
