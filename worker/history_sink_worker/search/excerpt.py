"""The piece of a message that shows why it was found, with the places that match. Pure."""

import re
import unicodedata
from collections.abc import Sequence

from history_sink_worker.search.question import Terms
from history_sink_worker.search.word_parts import find_humps

EXCERPT_CHARACTERS = 280
LOOKED_THROUGH = 300_000
"""So many characters of one message are looked through for the best place."""
_WORD = re.compile(r"[^\W_]+")

Mark = tuple[int, int]


def make_excerpt(text: str, terms: Terms) -> tuple[str, list[Mark]]:
    """At most `EXCERPT_CHARACTERS` of `text`, and the half-open ranges in it that match."""
    head = text[:LOOKED_THROUGH]
    marks = _find_marks(head, terms)
    start, end = _choose_window(head, marks)
    piece = text[start:end]
    inside = [(a - start, b - start) for a, b, _ in marks if a >= start and b <= end]
    return piece, inside


def _find_marks(text: str, terms: Terms) -> list[tuple[int, int, str]]:
    """Matches in their order: from, to, and the word that is matched. None overlaps another."""
    folded = _fold(text)
    words = {*terms.words, *(word for phrase in terms.phrases for word in phrase)}
    pieces, pairs = words | {*terms.pieces}, set(terms.pairs)
    found = []
    for match in _WORD.finditer(folded):
        word = match.group()
        if word in words:
            found.append((match.start(), match.end(), word))
        elif pairs and not word.isascii():
            found += _find_pairs(word, match.start(), pairs)
        elif humps := find_humps(text[match.start() : match.end()]):
            found += _find_pieces(humps.split(" "), match.start(), pieces)
    return found


def _find_pairs(word: str, start: int, pairs: set[str]) -> list[tuple[int, int, str]]:
    found: list[tuple[int, int, str]] = []
    for at in range(len(word)):
        pair = next((word[at : at + size] for size in (2, 1) if word[at : at + size] in pairs), None)
        if pair is None:
            continue
        if found and found[-1][1] >= start + at:  # pairs overlap: what they match is one place
            found[-1] = (found[-1][0], start + at + len(pair), found[-1][2] + pair[-1:])
        else:
            found.append((start + at, start + at + len(pair), pair))
    return found


def _find_pieces(humps: Sequence[str], start: int, pieces: set[str]) -> list[tuple[int, int, str]]:
    found, at = [], start
    for piece in humps:
        if piece.lower() in pieces:
            found.append((at, at + len(piece), piece.lower()))
        at += len(piece)
    return found


def _choose_window(text: str, marks: Sequence[tuple[int, int, str]]) -> tuple[int, int]:
    """The first of the places with the most different words in it."""
    best, best_count, left = (0, 0), 0, 0
    for right in range(len(marks)):
        while marks[right][1] - marks[left][0] > EXCERPT_CHARACTERS:
            left += 1
            if left > right:
                break
        count = len({word for _, _, word in marks[left : right + 1]})
        if count > best_count:
            best, best_count = (marks[left][0], marks[right][1]), count
    spare = max(0, EXCERPT_CHARACTERS - (best[1] - best[0]))
    start = max(0, best[0] - spare // 3)
    return start, min(len(text), start + EXCERPT_CHARACTERS)


def _fold(text: str) -> str:
    """The text as it is compared, character by character: lower case, without accents."""
    if text.isascii():
        return text.lower()
    return "".join(map(_fold_character, text))


def _fold_character(character: str) -> str:
    plain = unicodedata.normalize("NFKD", character)[:1].lower()
    return plain if len(plain) == 1 else character
