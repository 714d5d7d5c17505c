"""What is never touched: signatures, encrypted content, ids and images. Their bytes make an agent's resume work."""

import re
from functools import lru_cache
from typing import Literal

_SEALED = frozenset(
    {"signature", "thoughtSignature", "thought_signature", "encrypted_content", "encryptedContent", "reasoning_opaque"}
)
_BLOBS = frozenset({"data", "blob", "bytes", "base64"})
_ID = re.compile(r"(?:^|_)(?:uu|gu)?ids?$|[a-z](?:Uu|UU)?I[Dd]s?$|[a-z](?:Uuid|UUID)$")
_PLAIN_ID = re.compile(r"[A-Za-z0-9._:/@#|-]{1,256}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_=-]*")
_IMAGES = ("iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR", "JVBERi0", "Qk0", "SUkq", "PHN2Zy")
_BLOB_CHARACTERS = 512


@lru_cache(4096)
def _kind_of(key: str) -> Literal["sealed", "blob", "id"] | None:
    if key in _SEALED:
        return "sealed"
    if key in _BLOBS:
        return "blob"
    return "id" if _ID.search(key) and "access" not in key.lower() else None


def is_opaque(key: str, text: str) -> bool:
    """Whether a string is to stay as it is. Prose under such a key is no signature, and is looked at."""
    kind = _kind_of(key)
    if kind == "id":
        return _PLAIN_ID.fullmatch(text) is not None
    if kind == "sealed":
        return _BASE64.fullmatch(text) is not None
    if kind == "blob":
        return (text.startswith(_IMAGES) or len(text) >= _BLOB_CHARACTERS) and _BASE64.fullmatch(text) is not None
    if text.startswith("data:"):
        head, comma, body = text.partition(",")
        return bool(comma) and head.endswith(";base64") and _BASE64.fullmatch(body) is not None
    return False
