"""A message as kombu writes it to Redis: JSON, with the task's body in base64."""

import re
from secrets import token_hex
from typing import Any

from kombu.transport.virtual.base import Base64 as StockBase64
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads

try:
    from pybase64 import b64decode  # four times as fast
except ImportError:  # an environment that was made before the extra asked for it
    from base64 import b64decode  # type: ignore[assignment]

LONG_BYTES = 16 * 1024
_OPENING = re.compile(rb'\{\s{0,9}"body"\s{0,9}:\s{0,9}"')
_STANDS_IN = token_hex(16)
"""For the body. Another key of that name, behind it, is the one that counts."""


class Base64(StockBase64):
    """kombu's codec, for bodies that may be decoded already."""

    def decode(self, s: Any) -> bytes:
        return s if isinstance(s, bytes) else bytes(super().decode(s))


def read_envelope(data: bytes) -> Any:
    """What kombu's `loads` makes of a message, but with the bytes of a long body in place of its base64.

    Most of a long message is base64, which holds neither a quote nor an escape. Raises what `loads` raises.
    """
    found = _read_long(data) if len(data) >= LONG_BYTES else None
    return loads(bytes_to_str(data)) if found is None else found


def _read_long(data: bytes) -> dict[str, Any] | None:
    """None for what is of another form, or not strictly base64: kombu and `json` are the ones to judge it."""
    opening = _OPENING.match(data)
    if opening is None:
        return None
    end = data.find(b'"', opening.end())
    try:
        body = b64decode(memoryview(data)[opening.end() : end], validate=True)
        found = loads(f'{{"body": "{_STANDS_IN}"' + data[end + 1 :].decode())
    except (ValueError, RecursionError):
        return None
    if not body or not isinstance(found, dict) or found.get("body") != _STANDS_IN:
        return None
    properties = found.get("properties")
    if not isinstance(properties, dict) or properties.get("body_encoding") != "base64":
        return None
    return {**found, "body": body}
