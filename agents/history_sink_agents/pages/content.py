"""What a message is, whoever holds it: its line, and a key that is the same before and behind the archive."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, TypeAlias

from history_sink import Malformed
from history_sink_agents.render.values import clean

Content: TypeAlias = Mapping[str, Any] | bytes | str
"""A message: a JSON object, or a line as the archive has it."""

KEY_DIGITS = 32


@dataclass(frozen=True, slots=True)
class Entry:
    """A message as it was given, its line without the newline, and its key."""

    message: Content = field(repr=False)
    line: bytes = field(repr=False)
    key: str

    @property
    def record(self) -> Mapping[str, Any] | None:
        """The message as an object; None for a line that is none."""
        return self.message if isinstance(self.message, Mapping) else _parse(self.line)


def read_content(message: Content) -> Entry:
    """Read a message. Raises `Malformed` for what is neither an object for JSON nor a line."""
    line = _write_line(message)
    record = message if isinstance(message, Mapping) else _parse(line)
    return Entry(message, line, _hash(line if record is None else write_json(record, is_sorted=True).encode()))


def measure_bytes(message: Content) -> int:
    """The bytes of a message's line, newline included: how `assemble` measures where it is told nothing else."""
    return len(_write_line(message)) + 1


def _write_line(message: Content) -> bytes:
    if isinstance(message, Mapping):
        return write_json(message).encode()
    if not isinstance(message, (bytes, str)):
        raise Malformed(f"a message is an object or a line, not {type(message).__name__}")
    line = clean(message).encode() if isinstance(message, str) else message
    line = line.removesuffix(b"\n")
    if b"\n" in line:
        raise Malformed("a line has no newline but at its end")
    return line


def write_json(value: Any, is_sorted: bool = False) -> str:
    """Compact JSON, as the archive writes it; sorted, for comparing. Raises `Malformed`."""
    try:
        return clean(json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=is_sorted))
    except (TypeError, ValueError, RecursionError) as error:
        raise Malformed(f"a message is an object that JSON can carry: {type(error).__name__}") from None


def canonical_arguments(arguments: object) -> str:
    """A call's arguments so that equal ones are equal texts: key order, spaces and ``1.0`` for ``1`` don't count.

    A text that holds JSON is read, any other is taken as it is, and so is JSON that is too deep. Raises `Malformed` for
    an object that JSON cannot carry.
    """
    try:
        value = json.loads(arguments) if isinstance(arguments, (str, bytes)) else arguments
        return write_json(_even(value), is_sorted=True)
    except (ValueError, RecursionError):
        if isinstance(arguments, (str, bytes)):
            return str(arguments).strip()
        raise Malformed("a call's arguments are what JSON can carry") from None


def _even(value: object) -> object:
    if isinstance(value, float) and value.is_integer():  # NaN and the infinities are not
        return int(value)
    if isinstance(value, Mapping):
        return {name: _even(item) for name, item in value.items()}
    return [_even(item) for item in value] if isinstance(value, (list, tuple)) else value


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _hash(body: bytes) -> str:
    return sha256(body).hexdigest()[:KEY_DIGITS]
