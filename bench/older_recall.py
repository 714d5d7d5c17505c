"""The older program's ranking, written anew from its description, to be measured beside ours.

Documents of four messages in a row, the last 128 of a session; a vector of 96 numbers without a model; 0.8 of the share
of the question's words that occur, 0.2 of the cosine.
"""

import hashlib
import math
import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

_WORD = re.compile(r"[A-Za-z0-9_]+")
_MESSAGES, _DOCUMENTS, _BYTES, _PART_BYTES, _WORDS, _DIMENSIONS = 4, 128, 4096, 2048, 512, 96
_STOP = {
    "a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "has", "in", "is", "it", "of", "on", "or", "that",
    "the", "to", "was", "with",
}  # fmt: skip
_CANDIDATES = 40


class OlderRecall:
    """All sessions' documents in memory."""

    def __init__(self) -> None:
        self._places: list[tuple[str, int]] = []
        self._words: list[set[str]] = []
        self._texts: list[list[str]] = []
        self._by_word: dict[str, list[int]] = defaultdict(list)

    def add(self, session: str, messages: Sequence[tuple[str, str]]) -> None:
        """A session's messages: what was said, and what was done, of which 2 KiB count."""
        starts = range(0, len(messages), _MESSAGES)
        for start in list(starts)[-_DOCUMENTS:]:
            parts = [said + "\n" + done[:_PART_BYTES] for said, done in messages[start : start + _MESSAGES]]
            words = _WORD.findall("\n---\n".join(parts)[:_BYTES].lower())[:_WORDS]
            number = len(self._places)
            self._places.append((session, start))
            self._words.append(set(words))
            self._texts.append(words)
            for word in set(words):
                self._by_word[word].append(number)

    def search(self, query: str, limit: int) -> list[tuple[str, int]]:
        """Session and first message of the documents, the best first."""
        words = [word for word in _WORD.findall(query.lower()) if word not in _STOP][:64]
        shares: dict[int, int] = defaultdict(int)
        for word in set(words):
            for number in self._by_word.get(word, ()):
                shares[number] += 1
        best = sorted(shares, key=lambda number: -shares[number])[:_CANDIDATES]
        asked = _embed(words)
        scores = {
            number: 0.8 * shares[number] / max(1, len(set(words))) + 0.2 * max(0.0, _cosine(asked, self._texts[number]))
            for number in best
        }
        return [self._places[number] for number in sorted(best, key=lambda number: -scores[number])[:limit]]


def _embed(words: Sequence[str]) -> list[float]:
    vector = [0.0] * _DIMENSIONS
    pairs = [f"{one} {other}" for one, other in pairwise(words)]
    for tokens, weight in ((words, 1.0), (pairs, 0.65)):
        for at, token in enumerate(tokens):
            digest = hashlib.sha256(token.encode()).digest()
            for each in range(3):
                sign = 1.0 if digest[2 * each] & 1 else -1.0
                vector[digest[2 * each + 1] % _DIMENSIONS] += sign * weight / (1 + at / 128)
    return vector


def _cosine(asked: Sequence[float], words: Sequence[str]) -> float:
    other = _embed(words)
    size = math.sqrt(sum(x * x for x in asked)) * math.sqrt(sum(x * x for x in other))
    return sum(x * y for x, y in zip(asked, other, strict=True)) / size if size else 0.0
