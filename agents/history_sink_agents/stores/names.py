"""Names of logs, made of parts such as a project, a session and a path within it.

A part is spelt without dots, so that a dot ends it: sessions of one project then have names that begin alike, and one
listing finds them. A letter or digit stands for itself, and so does a dash that is not the first character; any other
byte becomes ``_`` and two hexadecimal digits.
"""

import re
from collections.abc import Sequence
from hashlib import sha256

LONGEST = 200
"""Characters of a session id of this library."""

NAMESPACE_CHARACTERS = 40
SHORTENED_CHARACTERS = 38
"""What is left of a part that may be cut: its end, and a hash of the whole."""

_HASH_DIGITS = 12
_TO_ESCAPE = re.compile(rb"\A-|[^A-Za-z0-9-]")
_ESCAPED = re.compile(rb"_([0-9a-f]{2})")


def spell(part: str) -> str:
    """One part of a name, from which `read_part` makes the text again.

    Args:
        part: Any text that is not empty.

    Returns:
        Letters, digits, dashes and underscores.

    Raises:
        ValueError: It is no text, or empty.
    """
    if not isinstance(part, str) or not part:
        raise ValueError(f"a part of a name is a text that is not empty, not {type(part).__name__}")
    return _TO_ESCAPE.sub(lambda found: b"_%02x" % found[0][0], part.encode("utf-8", "surrogatepass")).decode()


def shorten(part: str) -> str:
    """One part of a name, cut where it is long; then nothing makes the text again. Raises as `spell`."""
    spelt = spell(part)
    if len(spelt) <= SHORTENED_CHARACTERS:
        return spelt
    digits = sha256(part.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
    kept = spelt[-(SHORTENED_CHARACTERS - _HASH_DIGITS - 2) :]
    # Two underscores are in no part that is whole, so no text is spelt as another's short form.
    return f"{'x' if kept[0] == '-' else kept[0]}{kept[1:]}__{digits}"


def read_part(spelt: str) -> str | None:
    """The text that `spell` has made `spelt` of; None where it did not."""
    try:
        text = _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), spelt.encode()).decode(
            "utf-8", "surrogatepass"
        )
    except UnicodeError:
        return None
    return text if text and spell(text) == spelt else None


def check_namespace(namespace: str) -> str:
    """What all names of a store's logs begin with. Raises `ValueError` where it cannot be."""
    if spell(namespace) != namespace or len(namespace) > NAMESPACE_CHARACTERS:
        raise ValueError(
            f"a namespace is 1 to {NAMESPACE_CHARACTERS} of A-Z a-z 0-9 -, no dash in front: {namespace[:80]!r}"
        )
    return namespace


def join(parts: Sequence[str]) -> str:
    """The name that spelt parts make together.

    Args:
        parts: What `spell` or `shorten` returned, the first one first.

    Returns:
        A session id.

    Raises:
        ValueError: The name is longer than a session id may be.
    """
    name = ".".join(parts)
    if len(name) > LONGEST:
        raise ValueError(f"a name of {len(name)} characters; a log's name has {LONGEST} at most: {name[:60]}…")
    return name
