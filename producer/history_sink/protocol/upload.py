"""The payload of the library's form of `upload_history`: lines that follow one junction of a history."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from history_sink.errors import Malformed
from history_sink.protocol.chain import ORIGIN, Junction, split_lines
from history_sink.protocol.contract import LINE_BYTES, WIRE_VERSION, check_branch

_WORTH_PACKING_BYTES = 256
"""Below this zlib's own frame eats what it saves."""


@dataclass(frozen=True, slots=True)
class Upload:
    """Lines (each with its newline) of one log, and the junction that they continue."""

    branch: str | None
    start: Junction
    lines: tuple[bytes, ...] = field(repr=False)  # a repr ends up in somebody's log

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.lines))

    def encode(self) -> dict[str, Any]:
        """The keyword arguments of the task, behind ``(session_id, None)``."""
        body = b"".join(self.lines)
        packed = zlib.compress(body, 6) if len(body) >= _WORTH_PACKING_BYTES else body
        squeezed = len(packed) < len(body)
        return {
            "v": WIRE_VERSION,
            "branch": self.branch,
            "first_message": self.start.messages,
            "offset": self.start.offset,
            "chain": self.start.chain.hex(),
            "encoding": "zlib" if squeezed else "none",
            "size_bytes": len(body),
            "lines": packed if squeezed else body,
        }

    @classmethod
    def decode(cls, fields: Mapping[str, Any]) -> "Upload":
        """Read the keyword arguments; unpacks at most `size_bytes`. Raises `Malformed`."""
        start = Junction(
            _natural(fields, "first_message"), _natural(fields, "offset"), _decode_chain(fields.get("chain"))
        )
        if start.offset >= 10**12:
            raise Malformed("offset is beyond the 12 digits of an object's name")
        if start.messages > start.offset:
            raise Malformed("first_message is more than there are bytes before it")
        if (start.offset == 0) != (start.chain == ORIGIN):
            raise Malformed("offset is 0 where the chain is all zeros, and nowhere else")
        body = _unpack(fields)
        lines = split_lines(body)
        if not lines or not body.endswith(b"\n"):
            raise Malformed("lines is one or more whole lines, each ended by a newline")
        return cls(check_branch(fields.get("branch")), start, tuple(lines))


def _natural(fields: Mapping[str, Any], name: str) -> int:
    value = fields.get(name)
    if type(value) is not int or value < 0:
        raise Malformed(f"{name} is an integer, 0 or more")
    return value


def _decode_chain(value: object) -> bytes:
    try:
        chain = bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        chain = b""
    if len(chain) != 32:
        raise Malformed("chain is 64 hex digits")
    return chain


def _unpack(fields: Mapping[str, Any]) -> bytes:
    size, packed, encoding = _natural(fields, "size_bytes"), fields.get("lines"), fields.get("encoding")
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
