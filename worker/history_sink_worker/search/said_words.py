"""Which words somebody said in a message, kept with it in two bytes each: enough to count those that a question has.

Two words may have the same two bytes. One in 65,000 that is counted wrongly moves a message a little, and no more.
"""

from array import array
from collections.abc import Iterable
from zlib import crc32

_LOW_BITS = 0xFFFF


def pack(words: Iterable[bytes]) -> bytes:
    """Each word once, as its two bytes, in the order of the words: the same for the same text in each process."""
    return array("H", [crc32(word) & _LOW_BITS for word in dict.fromkeys(words)]).tobytes()


def count(packed: bytes, numbers: frozenset[int]) -> int:
    """How many of the words with these numbers are among them."""
    return len(numbers.intersection(array("H", packed)))


def number_of(word: str) -> int:
    """The two bytes that stand for a word."""
    return crc32(word.encode("utf-8", "replace")) & _LOW_BITS
