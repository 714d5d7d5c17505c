"""Bytes on their way through Redis: packed by zlib where that is worth it, unpacked within what was promised."""

import zlib
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

from history_sink.errors import Malformed
from history_sink.protocol.chain import split_lines
from history_sink.protocol.contract import LINE_BYTES

_LEVEL = 4
"""At 6, a line of 3 KB takes half as long again, and its packed form is 3 % shorter."""

_WORTH_PACKING_BYTES = 256
"""Below this zlib's own frame eats what it saves."""

_LONG_BYTES, _PIECE_BYTES = 1024 * 1024, 64 * 1024


def pack_lines(lines: Sequence[bytes]) -> dict[str, Any]:
    """The fields of a payload that hold these lines, each with its newline."""
    body = b"".join(lines)
    packed = _deflate(body) if len(body) >= _WORTH_PACKING_BYTES else body
    squeezed = len(packed) < len(body)
    return {
        "encoding": "zlib" if squeezed else "none",
        "size_bytes": len(body),
        "lines": packed if squeezed else body,
    }


def _deflate(body: bytes) -> bytes:
    """Of a long body the packed form is in memory once: `zlib.compress` makes it in parts, and joins them."""
    if len(body) < _LONG_BYTES:
        return zlib.compress(body, _LEVEL)
    packer, packed = zlib.compressobj(_LEVEL), BytesIO()
    for start in range(0, len(body), _PIECE_BYTES):
        packed.write(packer.compress(body[start : start + _PIECE_BYTES]))
    packed.write(packer.flush())
    return packed.getvalue()  # no copy


ZLIB = "zlib"
"""How a question says that its answer may be packed so."""

_ANSWER_LEVEL = 1
_WORTH_ANSWERING_PACKED_BYTES = 64 * 1024
"""Below this the answer comes sooner as it is."""


def pack_answer(body: bytes) -> dict[str, Any] | None:
    """The fields of an answer that holds these bytes; None where they are better sent as they are."""
    if len(body) < _WORTH_ANSWERING_PACKED_BYTES:
        return None
    packed = zlib.compress(body, _ANSWER_LEVEL)
    if len(packed) > len(body) * 3 // 4:
        return None
    return {"encoding": ZLIB, "size_bytes": len(body), "body": packed}


def unpack_answer(fields: Mapping[str, Any], most_bytes: int) -> bytes:
    """The bytes in an answer's fields, which are at most `most_bytes`. Raises `Malformed`."""
    size, packed = read_natural(fields, "size_bytes"), fields.get("body")
    if fields.get("encoding") != ZLIB or not isinstance(packed, bytes) or size > most_bytes:
        raise Malformed(f"a packed answer has encoding {ZLIB}, a body, and no more bytes than were asked for")
    body = _inflate(packed, size)
    if len(body) != size:
        raise Malformed(f"body has not the {size} bytes that size_bytes says")
    return body


def unpack_lines(fields: Mapping[str, Any]) -> tuple[bytes, ...]:
    """The lines in a payload's fields; unpacks at most `size_bytes`. Raises `Malformed`."""
    body = _unpack(fields)
    lines = split_lines(body)
    if not lines or not body.endswith(b"\n"):
        raise Malformed("lines is one or more whole lines, each ended by a newline")
    return tuple(lines)


def read_natural(fields: Mapping[str, Any], name: str) -> int:
    """The field `name`, an integer of 0 or more. Raises `Malformed`."""
    value = fields.get(name)
    if type(value) is not int or value < 0:
        raise Malformed(f"{name} is an integer, 0 or more")
    return value


def _unpack(fields: Mapping[str, Any]) -> bytes:
    size, packed, encoding = read_natural(fields, "size_bytes"), fields.get("lines"), fields.get("encoding")
    if size > LINE_BYTES:
        raise Malformed(f"size_bytes is over the limit of {LINE_BYTES}")
    if not isinstance(packed, bytes):
        raise Malformed("lines is bytes")
    if encoding == "none":
        body = packed
    elif encoding == "zlib":
        body = _inflate(packed, size)
    else:
        raise Malformed('encoding is "zlib" or "none"')
    if len(body) != size:
        raise Malformed(f"lines has not the {size} bytes that size_bytes says")
    return body


def _inflate(packed: bytes, size_bytes: int) -> bytes:
    # One byte more than promised is enough to tell a bomb; the rest of it is never unpacked.
    inflater = zlib.decompressobj()
    try:
        body = inflater.decompress(packed, size_bytes + 1)
    except zlib.error as error:
        raise Malformed(f"lines is not zlib: {error}") from None
    if not inflater.eof and len(body) <= size_bytes:
        raise Malformed("lines is zlib that ends too early")
    if inflater.unused_data:
        raise Malformed("lines is zlib with something behind it")
    return body
