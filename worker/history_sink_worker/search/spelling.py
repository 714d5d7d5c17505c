"""How the words of a text are spelt in an index: small letters and digits without accents, a space between each two.

So an index splits at spaces and does no more: what a word is, and how it is spelt, is settled here, for texts and for
questions alike.
"""

import tantivy

from history_sink_worker.search.word_parts import normalise

LONGEST_WORD_BYTES = 1024
"""A longer one is in no index, so that a question for it finds nothing."""
_SPELT = bytes(code if code >= 0x80 or chr(code).isalnum() else ord(" ") for code in range(256)).lower()
_ASCII = bytes(range(0x80))
_FEW = 20
"""So many different characters are looked for one after the other; more cost less when each place is looked at."""
_MOST_KNOWN = 50_000


def words_of(plain: str) -> bytes:
    """The words of a text that was made plain by `normalise`, as UTF-8."""
    raw = plain.encode("utf-8", "replace")
    if not plain.isascii():
        foreign = set(raw.translate(None, _ASCII).decode())
        if len(foreign) > _FEW:
            raw = plain.translate(_letters).encode("utf-8", "replace")
        else:
            for character in foreign:
                raw = raw.replace(character.encode(), _letters[ord(character)].encode())
    return _drop_long(raw.translate(_SPELT))


def tokenize(text: str) -> list[str]:
    """The words of any text."""
    return words_of(normalise(text)).decode().split()


def _drop_long(words: bytes) -> bytes:
    at = 0
    while at + LONGEST_WORD_BYTES < len(words):
        at = words.rfind(b" ", at, at + LONGEST_WORD_BYTES + 1) + 1
        if not at:
            return b" ".join(word for word in words.split() if len(word) <= LONGEST_WORD_BYTES)
    return words


class _Letters(dict[int, str]):
    """By character: how it is spelt, as tantivy's filters have it; a space for what is no letter and no digit."""

    def __init__(self) -> None:
        super().__init__((code, chr(code)) for code in _ASCII)
        builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        self._analyzer = builder.filter(tantivy.Filter.lowercase()).filter(tantivy.Filter.ascii_fold()).build()

    def __missing__(self, code: int) -> str:
        if len(self) >= _MOST_KNOWN:
            self.clear()
        found = self[code] = "".join(self._analyzer.analyze(chr(code))) or " "
        return found


_letters = _Letters()
