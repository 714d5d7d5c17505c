"""Which words somebody said in a message, kept with it in two bytes each: enough to count those that a question has.

Two words may have the same two bytes. One in 65,000 that is counted wrongly moves a message a little, and no more.
"""

from array import array
from collections.abc import Iterable
from zlib import crc32


def pack(words: Iterable[bytes]) -> bytes:
    """Each word once, as its two bytes, in the order of the words: the same for the same text in each process."""
    return array("H", array("I", map(crc32, dict.fromkeys(words))).tobytes())[::2].tobytes()  # of each four bytes two


def count(packed: bytes, numbers: frozenset[int]) -> int:
    """How many of the words with these numbers are among them."""
    return len(numbers.intersection(array("H", packed)))


def number_of(word: str) -> int:
    """The two bytes that stand for a word."""
    return array("H", pack([word.encode("utf-8", "replace")]))[0]
