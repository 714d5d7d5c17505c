"""Session ids: what callers give for one, one for any text, and the text again.

A legal text is its own id. In others, each run of what an id may not have becomes its UTF-8 in hexadecimal, between
``_.`` and ``_``: ``org/repo#12`` is ``org_.2f_repo_.23_12``. What would be too long is cut, and ends in a hash.
"""

import re
from hashlib import sha256
from typing import TypeAlias
from uuid import UUID

from history_sink.errors import Malformed
from history_sink.protocol.contract import SESSION_CHARACTERS, check_session

SessionId: TypeAlias = str | UUID | int
"""What names a session: a legal id, or a UUID or an integer, which stand for their texts."""

_HASH_DIGITS = 40
_ESCAPE = re.compile(r"_\.((?:[0-9a-f]{2})*)_")
_HASHED = re.compile(rf"_\.[0-9a-f]{{{_HASH_DIGITS}}}\Z")
# A dot behind a run belongs to it: ``_.`` is then in no id but where an escape or the hash begins.
_TO_ESCAPE = re.compile(r"(?:\A\.|_\.|[^A-Za-z0-9._-])(?:\.|_\.|[^A-Za-z0-9._-])*")
REMEDY = "history_sink.session_id(text) makes one of any text"


def session_id(text: SessionId) -> str:
    """A legal session id for any text, a different one for each.

    Args:
        text: whatever names the session elsewhere: a path, a URL, a title.

    Returns:
        The text itself where it is legal, unless it looks like what this function makes of another; else a spelling
        that `session_text` reads again; of a text that would be too long, its beginning and a hash.

    Raises:
        Malformed: `text` is neither a text, a UUID nor an integer.
    """
    text = _as_text(text)
    if _is_legal(text) and not _ESCAPE.search(text) and not _HASHED.search(text):
        return text
    spelt = _TO_ESCAPE.sub(lambda run: _escape(run[0]), text) if text else _escape("")
    if len(spelt) <= SESSION_CHARACTERS:
        return spelt
    digits = sha256(_encode(text)).hexdigest()[:_HASH_DIGITS]
    return f"{spelt[: SESSION_CHARACTERS - 2 - _HASH_DIGITS]}_.{digits}"


def session_text(session: str) -> str | None:
    """The text that `session_id` has made `session` of; None where it was too long, or somebody else made the id."""
    if _HASHED.search(session):
        return None
    try:
        text = _ESCAPE.sub(lambda found: bytes.fromhex(found[1]).decode("utf-8", "surrogatepass"), session)
    except UnicodeDecodeError:
        return None
    return text if session_id(text) == session else None


def take_session(given: object) -> str:
    """The id that a caller means: a text, or a UUID's or an integer's. Raises `Malformed`, with a remedy."""
    try:
        return check_session(_as_text(given))
    except Malformed as error:
        raise Malformed(f"{error}; {REMEDY}") from None


def name_fault(given: object) -> str:
    """The kind of an id that is refused, so that each kind is said once."""
    if not isinstance(given, str):
        return type(given).__name__
    return "empty" if not given else "long" if len(given) > SESSION_CHARACTERS else "characters"


def show_session(given: object) -> str:
    """What may stand for an id in a receipt, legal or not."""
    try:
        return _as_text(given)[:SESSION_CHARACTERS]
    except Malformed:
        return type(given).__name__


def _as_text(given: object) -> str:
    if isinstance(given, str):
        return str.__str__(given)  # of an enumeration's member, the text that it is
    if isinstance(given, UUID):
        return str(given)
    if not isinstance(given, int) or isinstance(given, bool):
        raise Malformed(f"a session id is a text, a UUID or an integer, not {type(given).__name__}")
    try:
        return int.__repr__(given)
    except ValueError:
        raise Malformed("an integer with more digits than Python writes is no session id") from None


def _is_legal(text: str) -> bool:
    try:
        check_session(text)
    except Malformed:
        return False
    return True


def _escape(run: str) -> str:
    return f"_.{_encode(run).hex()}_"


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
