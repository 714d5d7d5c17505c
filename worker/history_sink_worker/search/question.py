"""A question as people type it, taken apart: words that may occur, phrases that must. Pure."""

import re
from dataclasses import dataclass

from history_sink_worker.search.spelling import tokenize
from history_sink_worker.search.word_parts import find_humps, is_unspaced, normalise, pairs_of

MOST_WORDS = 64
"""Of one question. More do not make it clearer."""
_QUOTED = re.compile(r'"([^"]*)"?|“([^”]*)”?|„([^“”]*)[“”]?')


@dataclass(frozen=True, slots=True)
class Terms:
    """`words` as the index spells them; `pieces` of words with humps; `pairs` of scripts without spaces.

    Each of the `phrases` must occur: its words as they stand side by side, or the pairs of an unspaced one.
    """

    words: tuple[str, ...] = ()
    pieces: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()
    phrases: tuple[tuple[str, ...], ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to look for."""
        return not (self.words or self.pairs or self.phrases)


def take_apart(query: str) -> Terms:
    """Read a question. Quoted words are a phrase. Nothing else has a meaning, so that no question is malformed."""
    plain = normalise(query)
    phrases = tuple(phrase for text in _quoted(plain) if (phrase := tuple(tokenize(text))))
    words: list[str] = []
    pairs: list[str] = []
    for word in tokenize(plain):
        if is_unspaced(word):
            pairs += pairs_of(word)
        else:
            words.append(word)
    pieces = [piece for piece in tokenize(find_humps(plain)) if piece not in words]
    return Terms(_unique(words), _unique(pieces), _unique(pairs), phrases[:MOST_WORDS])


def _quoted(text: str) -> list[str]:
    return ["".join(found) for found in _QUOTED.findall(text)]


def _unique(words: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))[:MOST_WORDS]
