"""Credentials in a protocol's or a program's notation: headers, cookies, URLs, SQL, `.netrc`, Kubernetes' secrets."""

import base64
import re
from collections.abc import Callable, Collection, Iterator, Sequence

from history_sink_agents.redaction.randomness import is_no_word, is_random

Span = tuple[int, int]
Shape = tuple[re.Pattern[str], Callable[[str], bool]]
"""What begins at a word, and what its value has to look like."""

_LINE_CHARACTERS = 300
_BLOCK_CHARACTERS = 8000
_MARGIN = r"[+\-> \t\d|]*"  # what a diff, a quotation or `cat -n` puts before a line
_QUOTE = r"""\\*["']"""
_VALUE = r"(?P<value>[^\s\"'\\`]{6,200})"
_IS = r"""["'\\]{0,4}[ \t]*[:=,][ \t]*["'\\]{0,4}"""


def _shape(pattern: str, is_one: Callable[[str], bool], flags: re.RegexFlag = re.IGNORECASE) -> Shape:
    return re.compile(pattern, flags), is_one


_SHAPES: dict[bytes, Sequence[Shape]] = {
    b"identified": (
        _shape(rf"identified(?:\s+with\s+\S+)?\s+(?:by|as)(?:\s+password)?\s*{_QUOTE}{_VALUE}", is_no_word),
    ),
    b"authorization": (
        _shape(rf"authorization{_IS}basic[ \t]+(?P<value>[A-Za-z0-9+/_-]{{8,}}=*)", is_no_word),
        _shape(
            rf"authorization{_IS}(?:[A-Za-z-]{{2,20}}[ \t]+)?"
            r"(?P<value>(?!AWS4-)[^\s\"'\\`,$=]{8,2000}={0,2})(?![,$=])",
            is_random,
        ),
    ),
    b"auth": (
        _shape(rf"AUTH[ \t]+(?:\w+[ \t]+)?(?:{_QUOTE})?(?P<value>[^\s\"'\\`]{{8,200}})", is_random, re.NOFLAG),
        _shape(rf"auth{_IS}\([ \t]*{_QUOTE}[^\"'\\\s]*{_QUOTE}[ \t]*,[ \t]*{_QUOTE}{_VALUE}", is_no_word),
        _shape(rf"auth{_IS}(?P<value>[A-Za-z0-9+/_-]{{12,2000}}=*)(?![\w.(\[])", is_random),
    ),
    b"requirepass": (_shape(rf"requirepass[ \t]+(?:{_QUOTE})?{_VALUE}", is_no_word),),
    b"pass:": (_shape(rf"(?<=[ =])pass:{_VALUE}", is_no_word, re.NOFLAG),),
    b"htpasswd": (
        _shape(rf"htpasswd[ \t]+(?:-\w+[ \t]+)*-\w*b\w*[ \t]+\S+[ \t]+\S+[ \t]+(?:{_QUOTE})?{_VALUE}", is_no_word),
    ),
    b"login": (_shape(rf"login\s{_MARGIN}\S+\s{_MARGIN}(?:account\s+\S+\s{_MARGIN})?password\s+{_VALUE}", is_no_word),),
    b"age-secret-key-1": (_shape(r"(?P<value>AGE-SECRET-KEY-1[0-9A-Z]{50,60})", is_random, re.NOFLAG),),
    b":5432:": (_shape(rf":5432:[\w.*-]+:[\w.@*-]+:{_VALUE}", is_no_word),),
    b"curestring": (_shape(rf"cureString[ \t]+(?:-String[ \t]+)?(?:{_QUOTE})?{_VALUE}", is_no_word),),
    b"://": (
        _shape(r"://[^\s:/@\"'`<>\\]*:(?P<value>[^\s/@\"'`<>\\]{6,200})@", is_random),
        _shape(r"://\S{1,500}?[?&;]sig=(?P<value>[\w%+/=-]{20,200})", is_random),
        _shape(r"://hooks\.slack\.com/(?:services|workflows)/(?P<value>[A-Z]\w{6,}/\w{6,}/\w{16,})", is_random),
    ),
}
_SIGNS: dict[bytes, Sequence[bytes]] = {
    b"fied": (b"identified",),
    b"auth": (b"authorization", b"auth"),
    b"pass": (b"requirepass", b"pass:", b"htpasswd", b"password-stdin", b"chpasswd"),
    b"login": (b"login",),
    b"cret": (b"age-secret-key-1",),
    b"cookie": (b"cookie",),
    b"://": (b"://",),
    b":5432:": (b":5432:",),
    b"curestring": (b"curestring",),
}
"""Words by the sign that tells of them: one look in place of several where there is none."""

_FROM_ECHO = re.compile(
    rf"(?:echo|printf)[ \t]+(?:-n[ \t]+|'%s'[ \t]+)?(?:{_QUOTE})?(?:\w+:)?(?P<value>[^\s\"'\\|]{{6,200}})"
    rf"(?:{_QUOTE})?[ \t]*\|[^|\n]*$"
)
_COOKIES = re.compile(rf"cookie{_IS}`?(?P<pairs>[\w.%-]{{1,64}}=[^\n\"'`\\]{{8,2000}})", re.IGNORECASE)
_PAIR = re.compile(r"(?P<name>[\w.%-]{1,64})=(?P<value>[^\s;,\"'\\`]{8,4000})")
_ATTRIBUTE = re.compile(r"expires|max-age|path|domain|samesite|version|_g.*", re.IGNORECASE)
_OF_KUBERNETES = re.compile(r"kind[\"'\\]{0,4}:[ \t]*[\"'\\]{0,4}Secret\b")
_DATA = re.compile(r"(?:(?<!\w)|(?<=\\n))data[\"'\\]{0,4}:")
_ENTRY = re.compile(r"(?<=:)[ \t]*[\"'\\]{0,4}(?P<value>[A-Za-z0-9+/]{8,}={0,2})(?![\w:.-])")


def find(text: str, low: bytes, signs: Collection[bytes]) -> Iterator[Span]:
    """Where such values are; `low` is the text in small letters, a byte a character, `signs` what it has of these."""
    for sign, words in _SIGNS.items():
        if sign in signs:
            for word in words:
                done = 0
                for at in _find_all(low, word):
                    for span in _FINDERS.get(word, _find_shapes)(text, at, word) if at >= done else ():
                        done = max(done, span[1])
                        yield span
    if b"cret" in signs and _OF_KUBERNETES.search(text):
        yield from _find_in_kubernetes(text)


def _find_shapes(text: str, at: int, word: bytes) -> Iterator[Span]:
    for pattern, is_one in _SHAPES[word]:
        if (found := pattern.match(text, at)) and is_one(found["value"]):
            yield found.span("value")


def _find_all(low: bytes, word: bytes) -> Iterator[int]:
    at = low.find(word)
    while at >= 0:
        yield at
        at = low.find(word, at + len(word))


def _find_cookies(text: str, at: int, word: bytes) -> Iterator[Span]:
    del word
    if found := _COOKIES.match(text, at):
        for pair in _PAIR.finditer(text, *found.span("pairs")):
            if not _ATTRIBUTE.fullmatch(pair["name"]) and is_random(pair["value"]):
                yield pair.span("value")


def _find_echoed(text: str, at: int, word: bytes) -> Iterator[Span]:
    """What is piped into a program that reads a password."""
    del word
    line = max(0, text.rfind("\n", 0, at) + 1, at - _LINE_CHARACTERS)
    if (found := _FROM_ECHO.search(text, line, at)) and is_no_word(found["value"]):
        yield found.span("value")


def _find_in_kubernetes(text: str) -> Iterator[Span]:
    """What stands under ``data:`` in base64, and is a text."""
    done = 0
    for block in _DATA.finditer(text):
        start, done = max(block.end(), done), block.end() + _BLOCK_CHARACTERS
        for entry in _ENTRY.finditer(text, start, done):
            if _is_text_in_base64(entry["value"]):
                yield entry.span("value")


def _is_text_in_base64(value: str) -> bool:
    try:
        return base64.b64decode(value, validate=True).decode().isprintable()
    except ValueError:
        return False


_FINDERS = {b"cookie": _find_cookies, b"password-stdin": _find_echoed, b"chpasswd": _find_echoed}
