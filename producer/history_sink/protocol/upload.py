"""The payload of the library's form of `upload_history`: lines that follow one junction of a history."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from history_sink.errors import Malformed
from history_sink.protocol.chain import ORIGIN, Junction
from history_sink.protocol.contract import WIRE_VERSION, check_branch
from history_sink.protocol.filtering import read_rules
from history_sink.protocol.packing import pack_lines, read_natural, unpack_lines


@dataclass(frozen=True, slots=True)
class Upload:
    """Lines (each with its newline) of one log, and the junction that they continue.

    `rules` are those of the filters that have made them, where they begin the log.
    """

    branch: str | None
    start: Junction
    lines: tuple[bytes, ...] = field(repr=False)  # a repr ends up in somebody's log
    rules: str = ""

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.lines))

    def encode(self) -> dict[str, Any]:
        """The keyword arguments of the task, behind ``(session_id, None)``."""
        return {
            "v": WIRE_VERSION,
            "branch": self.branch,
            "first_message": self.start.messages,
            "offset": self.start.offset,
            "chain": self.start.chain.hex(),
            **pack_lines(self.lines),
        }

    @classmethod
    def decode(cls, fields: Mapping[str, Any]) -> "Upload":
        """Read the keyword arguments; unpacks at most `size_bytes`. Raises `Malformed`."""
        first, offset = read_natural(fields, "first_message"), read_natural(fields, "offset")
        start = check_junction(Junction(first, offset, decode_chain(fields.get("chain"))))
        return cls(check_branch(fields.get("branch")), start, unpack_lines(fields), read_rules(fields))


def check_junction(start: Junction) -> Junction:
    """Return `start`, or raise `Malformed`: a place that some history can have."""
    if start.messages < 0 or not 0 <= start.offset < 10**12:
        raise Malformed("offset is beyond the 12 digits of an object's name")
    if start.messages > start.offset:
        raise Malformed("first_message is more than there are bytes before it")
    if (start.offset == 0) != (start.chain == ORIGIN):
        raise Malformed("offset is 0 where the chain is all zeros, and nowhere else")
    return start


def decode_chain(value: object) -> bytes:
    """The 32 bytes of a chain in 64 hex digits. Raises `Malformed`."""
    try:
        chain = bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        chain = b""
    if len(chain) != 32:
        raise Malformed("chain is 64 hex digits")
    return chain
