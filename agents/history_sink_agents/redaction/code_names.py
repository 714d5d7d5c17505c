"""What stands behind a secret's name in source code, and is a name, an expression or a number."""

import re
from collections.abc import Callable

_EXPRESSION = re.compile(
    r"[$%&*@!(]*(?=\d*[A-Za-z_$])[\w$]+(?:(?:\.|->|::|\?\.)[A-Za-z_$][\w$]*)+(?:[(\[{<].*)?"  # opts.RefreshToken, a::b
    r"|[(*&\[]*[\w$.]*[)\]}]*[\w$.]*[(\[{].*"  # getToken(), tokens[0], (*Credential)(nil), []byte{0x03
    r"|\$\w+|\$[({].*|<[^>]*>?|\{\{.*|%[({]?\w+.*|0x[0-9a-fA-F]+|[\d._-]+",  # $TOKEN, ${TOKEN}, <token>, {{ token }}
    re.DOTALL,
)
_PLACE = re.compile(
    r"(?:https?:/)?(?:/[\w.:%-]{1,24})+/?|[\w-]+\.(?:com|org|io|net|dev)/.*|(?:arn|urn):.*|.*/aws4_request.*|AKIA[,/].*",
    re.DOTALL,
)
_CONSTANT = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
_LONGEST_CHARACTERS = 200
_IDENTIFIER = re.compile(r"[$@&*(]*[A-Za-z_][A-Za-z_-]*")
_OWN_WORD = re.compile(r"token|secret|passw|key|cred|auth|pwd|user", re.IGNORECASE)
_WORD = re.compile(r"[A-Z]{2,}(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_VOWEL = re.compile(r"[aeiouy\d]", re.IGNORECASE)
_SEPARATORS = re.compile(r"[_\-./: ]+")


def is_made_of_words(text: str) -> bool:
    """Whether it reads as names do: humps of letters, most of them long, and few digits."""
    words = [word for part in _SEPARATORS.split(text) for word in _WORD.findall(part)]
    letters = [word for word in words if not word.isdigit()]
    if len(letters) < 2 or len(text) - sum(map(len, words)) > len(_SEPARATORS.findall(text)):
        return False
    digits = sum(len(word) for word in words if word.isdigit())
    long_ones = sum(len(word) for word in letters if len(word) >= 4)
    return (
        digits <= max(1, len(letters) // 2)
        and long_ones * 2 > sum(map(len, letters))
        and all(len(word) >= 2 for word in letters)
    )


def is_spoken(text: str) -> bool:
    """As `is_made_of_words`, and each long one has a vowel. Since the third version of the rules."""
    return is_made_of_words(text) and all(
        _VOWEL.search(word) for part in _SEPARATORS.split(text) for word in _WORD.findall(part) if len(word) >= 4
    )


def is_a_name(text: str, start: int, end: int, is_words: Callable[[str], bool] = is_made_of_words) -> bool:
    """Whether ``text[start:end]`` reads as code.

    In quotes it is a literal, and counts as a name only where it consists of words: random letters have short humps.
    """
    if end - start > _LONGEST_CHARACTERS:
        return False
    secret = text[start:end].rstrip(")]};,:")
    if _PLACE.fullmatch(secret) or _CONSTANT.fullmatch(secret):
        return True
    if text[max(0, start - 1) : start] not in ("'", '"', "`"):
        if _EXPRESSION.fullmatch(secret):
            return True
        if _IDENTIFIER.fullmatch(secret) and (_OWN_WORD.search(secret) or _is_in_code(text, start, end)):
            return True
    return is_words(secret)


def _is_in_code(text: str, start: int, end: int) -> bool:
    """A bare word with a space before it, or with what goes on behind it: in a file of settings neither is there."""
    return text[max(0, start - 1) : start] == " " or text[end : end + 1] in (",", ")", ";", "(", ".", "[", "{")
