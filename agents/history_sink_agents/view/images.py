"""Pictures inside a transcript: shown only where they are what they say, of a kind that cannot run anything."""

import binascii
import re

MOST_BYTES = 16 * 1024 * 1024
_DATA_URL = re.compile(r"data:image/(?:png|jpeg|jpg|gif|webp);base64,")
_KINDS = (("image/png", b"\x89PNG\r\n\x1a\n"), ("image/jpeg", b"\xff\xd8\xff"), ("image/gif", b"GIF8"))


def read_image(url: str) -> tuple[str, bytes] | None:
    """The type and the bytes of the picture in a data URL; None for whatever is not to be shown.

    The type is what the bytes begin with, and not what the URL says. SVG is no picture here: it may hold programs.
    """
    found = _DATA_URL.match(url)
    if found is None or len(url) * 3 // 4 > MOST_BYTES:
        return None
    try:
        body = binascii.a2b_base64(url[found.end() :], strict_mode=True)
    except ValueError:
        return None
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        return "image/webp", body
    return next(((kind, body) for kind, magic in _KINDS if body.startswith(magic)), None)
