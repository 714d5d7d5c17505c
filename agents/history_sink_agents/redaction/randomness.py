"""Whether a value looks drawn, and not written: by its letters alone. Since the third version of the rules."""

import re
from itertools import pairwise

from history_sink_agents.redaction.placeholders import PLACEHOLDER

_SEEN_CHARACTERS = 40
_READ_CHARACTERS = 200
_LETTER, _DIGIT = re.compile(r"[A-Za-z]"), re.compile(r"\d")
_WORD = re.compile(r"[A-Z]?[a-z]+(?:[ _.-][A-Z]?[a-z]+)*[!.?]?|[A-Z]+(?:_[A-Z]+)*|[\d.:_-]+|(.)\1*")
_NO_CODE = re.compile(r"[^.:(){}\[\],;<>]+")
_CASES = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[a-z])")


def is_mixed(value: str) -> bool:
    """Letters and digits mixed, as nobody writes names."""
    if not (_DIGIT.search(value) and _LETTER.search(value)):
        return False
    kinds = ["d" if each.isdigit() else "a" if each.isalpha() else "s" for each in value[:_SEEN_CHARACTERS]]
    changes = sum(before != after and "d" in (before, after) for before, after in pairwise(kinds))
    return changes >= 2 and len(set(value)) >= 6


def is_random(value: str) -> bool:
    """Letters and digits mixed, or large and small letters in a disorder that no name has."""
    value = value[:_READ_CHARACTERS]
    if PLACEHOLDER.search(value):
        return False
    return is_mixed(value) or (
        _NO_CODE.fullmatch(value) is not None
        and len(_CASES.findall(value)) >= max(4, len(value) // 4)
        and len(set(value)) >= 8
    )


def is_no_word(value: str) -> bool:
    """For what can only be a password by where it stands: anything but a word, a constant or a number."""
    return not _WORD.fullmatch(value) and not PLACEHOLDER.search(value) and len(set(value)) >= 5
