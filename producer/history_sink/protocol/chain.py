"""The chain that names a history exactly, and the points along it.

``chain_0`` is 32 zero bytes; each line advances it: ``chain_{i+1} = SHA-256(chain_i || line_i)``,
the line with its newline. Two histories that share a chain share every byte before it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256

ORIGIN = bytes(32)
"""The chain before the first line."""

SHORT_DIGITS = 16
"""How many hex digits of a chain stand in object names and in `status`."""

_LONG_BYTES = 64 * 1024


def advance(chain: bytes, line: bytes) -> bytes:
    """The chain (32 bytes) behind `line`, which ends in its newline."""
    if len(line) < _LONG_BYTES:
        return sha256(chain + line).digest()
    digest = sha256(chain)  # slower, and a line of megabytes is not copied
    digest.update(line)
    return digest.digest()


def shorten(chain: bytes) -> str:
    """The first 16 hex digits of a chain."""
    return chain[: SHORT_DIGITS // 2].hex()


@dataclass(frozen=True, slots=True)
class Junction:
    """A place between two lines of one history: messages and bytes before it, and the chain there."""

    messages: int
    offset: int
    chain: bytes

    def step(self, line: bytes) -> "Junction":
        """The junction behind `line`."""
        return Junction(self.messages + 1, self.offset + len(line), advance(self.chain, line))


START = Junction(0, 0, ORIGIN)
"""The junction before the first line of every history."""


def walk(start: Junction, lines: Iterable[bytes]) -> Iterator[Junction]:
    """The junction behind each of `lines`, which follow `start`."""
    here = start
    for line in lines:
        here = here.step(line)
        yield here


def split_lines(body: bytes) -> list[bytes]:
    """Cut JSONL bytes into lines, newlines kept.

    Only 0x0A ends a line: `bytes.splitlines` would also cut at a carriage return.
    """
    lines = [line + b"\n" for line in body.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines
