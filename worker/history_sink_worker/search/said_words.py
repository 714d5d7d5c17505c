"""Which words somebody said in a message, kept with it in two bytes each: enough to count those that a question has.

Two words may have the same two bytes. One in 65,000 that is counted wrongly moves a message a little, and no more.
"""

import base64
from array import array
from collections.abc import Iterable
from zlib import crc32


def pack(words: Iterable[str]) -> str:
    """The words as text."""
    return base64.b64encode(array("H", {number_of(word) for word in words}).tobytes()).decode()


def count(packed: str, numbers: frozenset[int]) -> int:
    """How many of the words with these numbers are among them."""
    return len(numbers.intersection(array("H", base64.b64decode(packed)))) if packed else 0


def number_of(word: str) -> int:
    """The two bytes that stand for a word."""
    return crc32(word.encode("utf-8", "replace")) & 0xFFFF
