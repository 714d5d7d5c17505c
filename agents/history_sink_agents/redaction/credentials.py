"""Credentials by where they stand: behind a name that says so, in options, headers, URLs, SQL and files of settings.

Since the third version of the rules, in the place of `named`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from history_sink_agents.redaction import options, shapes
from history_sink_agents.redaction.code_context import is_left_open
from history_sink_agents.redaction.named import hide_jwts, hide_spans
from history_sink_agents.redaction.randomness import is_random

Span: TypeAlias = tuple[int, int]

_SIGNS = tuple(
    map(
        re.compile,
        (
            rb"p(?:ass|w|sk)",
            rb"k(?:ey|en)",
            rb"c(?:ret|redential|ookie|urestring)",
            rb"bearer",
            rb"auth",
            rb"login",
            rb":(?://|5432:)",
            rb"f(?:ied)",
        ),
    )
)
"""What tells of all these credentials. One letter and then a choice is one look for several words."""

_NAMES = {b"ken": 2, b"cret": 2, b"pass": 0, b"pw": 0, b"psk": 0, b"key": 0, b"credential": 0, b"bearer": 0}
"""How far before its sign a name begins."""

_QUOTES = r"""["'`*\\]{0,6}"""
_MARGIN = (
    r"(?:\r?\n|\\{1,4}n)[+\-> \t\d|]*"  # a line's end, and what a diff, a quotation or `cat -n` puts before the next
)
_LINKS = (
    r"[ \t]*(?:=>|:=|[=:|>])[ \t]*(?:\|MARGIN|N(?='))?",
    r",(?=\S)",
    r"[ \t]+(?:is|to|as|was)[ \t]*:?[ \t]+",
    r"[ \t]+(?:for|to|of|on|at)[ ][^\n.:,;\"'`]{1,40}?[ ](?:is|was|:)[ ]",
    r",[ \t]+(?=\\*[\"'])",
    r"[ \t]+value[ \t]*=[ \t]*",
    r"[ \t]*\{MARGINdefault[ \t]*=[ \t]*",
    r"(?:\\{1,4}r)?(?:MARGIN(?:\\{1,4}r)?){2}",
    r"[ \t]+",
)
_MORE_LINKS = (
    r"[ \t]*:[ \t]*&?(?:'static[ ])?str(?:ing)?[ \t]*=[ \t]*",  # of Rust and TypeScript
    r"[ \t]*(?:\|\||\?\?)=?[ \t]*(?=\\*[\"'`])",  # process.env.TOKEN || "…"
    r"[ \t]*:[ \t]*[|>][+-]?MARGIN",  # a block of YAML
    r",[ \t]+\\*[\"']?value\\*[\"']?[ \t]*:[ \t]*",  # {name: TOKEN, value: …}
    r"</key>(?:MARGIN)?<string>",  # a property list
)


def _make_tail(links: Iterable[str]) -> re.Pattern[str]:
    """What begins at a name: its end, a link, and a value."""
    link = "|".join(links).replace("MARGIN", _MARGIN)
    return re.compile(
        r"(?:(?:pass(?:w(?:or)?d|phrase|code)|secret|token|key(?![_-]?ids?)|credential|bearer)s?"
        rf"(?P<rest>[A-Za-z0-9_.-]{{0,40}})|(?:pass|pwd?|psk)(?=[^\w.-])){_QUOTES}[\])]?(?P<link>{link})"
        r"(?:\\*[\"'`](?P<quoted>[^\s\"'`\\]{8,2000})|(?P<bare>(?![-:$])[^\s\"'`<>|,;\\&]{8,2000}))",
        re.IGNORECASE,
    )


_KEYS = "api|access|account|shared|private|signing|encryption|master|service|admin|auth|secret|app|db|ssh"
_MORE_KEYS = (
    "storage|fernet|crypto|jwt|hmac|aes|cipher|license|deploy|webhook|subscription|functions?|cosmos|tls|ssl|rsa"
)


def _make_key(words: str) -> re.Pattern[str]:
    """What stands before ``key`` where that is a secret's name."""
    return re.compile(rf"(?:{words})[_ -]?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Grammar:
    """How names and values stand together."""

    tail: re.Pattern[str]
    key: re.Pattern[str]
    definition: re.Pattern[str]


THIRD = Grammar(
    _make_tail(_LINKS),
    _make_key(_KEYS),
    re.compile(r"\b(?:define|setenv|putenv|set_env)\([ \t]*\\*[\"'][\w.-]*$", re.IGNORECASE),
)
FOURTH = Grammar(
    _make_tail((*_LINKS, *_MORE_LINKS)),
    _make_key(f"{_KEYS}|{_MORE_KEYS}"),
    re.compile(
        r"(?:\b(?:define|setenv|putenv|set_env|getenv|setdefault|environ\.get|values)[ \t]*\([ \t]*\\*[\"']"
        r"|[\[,][ \t]*\\*[\"']--?)[\w.-]*$",  # ["--token", "…"]
        re.IGNORECASE,
    ),
)
_OPTION = re.compile(r"(?:^|[\s\"'`])--?[\w-]*$")
_COMMAND = re.compile(
    r"\b(?:ENV|ARG|set|config|configure set|export|setx|wifi connect)[ \t]+(?:--\w+[ \t]+)*[^\n]{0,40}$"
)
_CONSTANT = re.compile(r"[A-Z0-9_]+_$")


def hide_credentials(
    text: str, allow: Iterable[re.Pattern[str]], is_harmless: Callable[[str, int, int], bool], grammar: Grammar
) -> str:
    """The text without such values, but for those that a pattern of `allow` matches as a whole."""
    low = text.encode("ascii", "replace").lower()  # a byte a character, so that places are the same
    signs = [sign for each in _SIGNS for sign in each.finditer(low)]
    named: Iterable[Span] = _find_named(text, signs, grammar)
    named = [span for span in named if not (is_harmless(text, *span) or is_left_open(text, *span))]
    placed = [*options.find(text), *shapes.find(text, low, {sign[0] for sign in signs})]
    placed = [span for span in placed if not is_left_open(text, *span)]
    text = hide_spans(text, sorted(named + placed), allow)
    return hide_jwts(text, allow) if ".eyJ" in text else text


def _find_named(text: str, signs: Iterable[re.Match[bytes]], grammar: Grammar) -> Iterator[Span]:
    for sign in signs:
        if (back := _NAMES.get(sign[0])) is None:
            continue
        at = max(0, sign.start() - back)
        if sign[0] == b"key" and not grammar.key.search(text, max(0, at - 12), at):
            continue
        found = grammar.tail.match(text, at)
        if found and _is_told(text, at, found, grammar):
            kind = "quoted" if found["quoted"] else "bare"
            is_cell = found["link"] == ","  # of a table: an assignment is none
            if is_random(found[kind]) and not (is_cell and "=" in found[kind]):
                yield found.span(kind)


def _is_told(text: str, at: int, found: "re.Match[str]", grammar: Grammar) -> bool:
    """Whether what stands between name and value says that one belongs to the other; a space alone seldom does."""
    link = found["link"]
    if link.startswith(", ") and ":" not in link:
        return grammar.definition.search(text, max(0, at - 60), at) is not None
    if link.strip() or "\n" in link:
        return True
    if found["quoted"] or found[0][:6].lower() == "bearer":
        return True
    return any(each.search(text, max(0, at - 60), at) for each in (_OPTION, _COMMAND, _CONSTANT))
