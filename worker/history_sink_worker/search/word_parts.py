"""Parts of words that people ask for: humps of camelCase, and neighbours where no spaces are written. Pure."""

import re
import unicodedata

_CLASS = bytes(
    b"a"[0] if 97 <= code <= 122 else b"A"[0] if 65 <= code <= 90 else b"0"[0] if 48 <= code <= 57 else b" "[0]
    for code in range(256)
)
_HUMPS = (b"aA", b"AAa", b"aaa0", b"AAA0")
"""What a word with a hump looks like where a letter is ``a`` or ``A`` and a digit ``0``. Not ``a0``: so are hashes."""
_PIECES = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_LONGEST = 80
_KNOWN = 50_000
# Scripts that write no spaces between words: Thai to Myanmar, Khmer, kana, Han, Hangul and what goes with them.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+"
)
_NEVER_UNSPACED = bytes(code for code in range(256) if code < 0xE0 or code == 0xE2)
"""No such byte of UTF-8 begins a character of these scripts. E2 begins arrows, lines and dashes, of which tools' output
is full."""
_pieces: dict[bytes, str] = {}


def find_parts(plain: str) -> str:
    """The parts of all words of a text that was made plain by `normalise`."""
    raw = plain.encode("utf-8", "replace")
    humps = _find_humps(raw)
    if plain.isascii() or not _may_be_unspaced(raw):
        return humps
    pairs = [pair for run in _UNSPACED.findall(plain) for pair in pairs_of(run)]
    return f"{humps} {' '.join(pairs)}" if pairs else humps


def normalise(text: str) -> str:
    """The plain text: one spelling of each character, and a space around each run without spaces."""
    if text.isascii():
        return text
    plain = unicodedata.normalize("NFKC", text)
    return _UNSPACED.sub(_set_apart, plain) if _may_be_unspaced(plain.encode("utf-8", "replace")) else plain


def find_humps(text: str) -> str:
    """The pieces of each word with humps, each word once: ``HTTP Server 2`` for ``HTTPServer2``."""
    return _find_humps(text.encode("utf-8", "replace"))


def pairs_of(run: str) -> list[str]:
    """The neighbours in a run of such a script, two by two; a character that stands alone is itself."""
    return [run[at : at + 2] for at in range(max(1, len(run) - 1))]


def is_unspaced(word: str) -> bool:
    """Whether a word is a run of such a script."""
    return _UNSPACED.fullmatch(word) is not None


def _may_be_unspaced(raw: bytes) -> bool:
    return bool(raw.translate(None, _NEVER_UNSPACED))


def _set_apart(run: re.Match[str]) -> str:
    return f" {run.group()} "


def _find_humps(raw: bytes) -> str:
    shape = raw.translate(_CLASS)
    if not shape.translate(None, b"a "):
        return ""
    words: dict[bytes, None] = {}
    for hump in _HUMPS:
        at = shape.find(hump)
        while at >= 0:
            start, end = shape.rfind(b" ", 0, at) + 1, shape.find(b" ", at)
            end = len(shape) if end < 0 else end
            if end - start <= _LONGEST:
                words[raw[start:end]] = None
            at = shape.find(hump, end)
    return " ".join(map(_split, words))


def _split(word: bytes) -> str:
    found = _pieces.get(word)
    if found is None:
        if len(_pieces) >= _KNOWN:
            _pieces.clear()
        found = _pieces[word] = " ".join(_PIECES.findall(word.decode()))
    return found
