"""All that a value on the wire holds: what is packed, encoded or wrapped in it, too."""

import base64
import binascii
import json
import zlib
from collections.abc import Iterator
from typing import Any

import msgpack  # type: ignore[import-untyped]


def unwrap(value: Any) -> Iterator[bytes]:
    """The bytes of `value`, and of all that can be read out of them, layer by layer."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from unwrap(key)
            yield from unwrap(each)
    elif isinstance(value, (list, tuple, set)):
        for each in value:
            yield from unwrap(each)
    elif isinstance(value, (str, bytes)):
        data = value.encode() if isinstance(value, str) else value
        yield data
        for inner in _read(data):
            yield from unwrap(inner)


def _read(data: bytes) -> Iterator[Any]:
    if data[:1] in (b"{", b"["):
        try:
            yield json.loads(data)
        except ValueError:
            return
    elif data[:1] == b"x":
        try:
            yield zlib.decompress(data)
        except zlib.error:
            return
    elif data[:1] in (b"\x92", b"\x93"):  # a list of two or three, as Celery's bodies are
        try:
            yield msgpack.unpackb(data)
        except (ValueError, msgpack.UnpackException):
            return
    elif len(data) > 20:
        try:
            yield base64.b64decode(data, validate=True)
        except binascii.Error:
            return
