"""Long texts in pieces: the engine's time grows with the square of what it takes for candidates in one text."""

import re
from collections.abc import Iterator

CHUNK_CHARACTERS = 4096
_BLOCK_CHARACTERS = 16_384
_BREAK = re.compile(r"[^\w+/=.~-]")
_BEGIN, _END = "-----BEGIN", "-----END"


def cut(text: str) -> Iterator[str]:
    """Pieces that make the text again. None ends within a word, nor within a key's block of usual length."""
    at = 0
    while len(text) - at > 2 * CHUNK_CHARACTERS:
        end = _find_end(text, at)
        yield text[at:end]
        at = end
    yield text[at:]


def _find_end(text: str, at: int) -> int:
    first, last = at + CHUNK_CHARACTERS, at + 2 * CHUNK_CHARACTERS
    end = text.find("\n", first, last) + 1 or text.find(" ", first, last) + 1
    if not end:
        found = _BREAK.search(text, first)
        end = found.end() if found else len(text)
    begun = text.rfind(_BEGIN, at, end)
    if begun >= 0 and text.find(_END, begun, end) < 0:
        stop = text.find(_END, end, begun + _BLOCK_CHARACTERS)
        if stop >= 0:
            end = text.find("\n", stop) + 1 or len(text)
    return end
