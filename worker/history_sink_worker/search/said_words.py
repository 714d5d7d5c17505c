"""Which words somebody said in a message, kept with it in two bytes each: enough to count those that a question has.

Two words may have the same two bytes. One in 65,000 that is counted wrongly moves a message a little, and no more.
"""

from array import array
from collections.abc import Iterable
from zlib import crc32


def pack(words: Iterable[str]) -> bytes:
    """Each word once, as its two bytes."""
    return array("H", {number_of(word) for word in words}).tobytes()


def count(packed: bytes, numbers: frozenset[int]) -> int:
    """How many of the words with these numbers are among them."""
    return len(numbers.intersection(array("H", packed)))


def number_of(word: str) -> int:
    """The two bytes that stand for a word."""
    return crc32(word.encode("utf-8", "replace")) & 0xFFFF
