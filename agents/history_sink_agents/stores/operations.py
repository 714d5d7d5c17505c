"""A list that is kept as a log of what was done to it: items, and lines that take the last item away, or all of them.

An item is a line as it is, so that whoever reads or searches the archive finds plain messages.
"""

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any
from uuid import uuid4

POP = "history-sink.pop"
CLEAR = "history-sink.clear"
_MARK = b'"history-sink.'


def write_pop() -> tuple[str, bytes]:
    """The id of a pop, by which its writer finds what it took, and its line."""
    number = uuid4().hex
    return number, json.dumps({"type": POP, "id": number}, separators=(",", ":")).encode()


def write_clear() -> bytes:
    """The line that takes all items away."""
    return json.dumps({"type": CLEAR}, separators=(",", ":")).encode()


def is_operation(item: Mapping[str, Any]) -> bool:
    """Whether an item would be taken for what is done to the list."""
    return item.get("type") in (POP, CLEAR)


class FoldedList:
    """What is left of the items behind all operations of a log's first `end` bytes."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.end = 0
        self.popped: dict[str, bytes | None] = {}
        """What each pop took that somebody waits for, by its id."""

    def fold(self, data: bytes, end: int, waited_for: str = "") -> None:
        """Go on with the lines behind `end`.

        Args:
            data: The lines.
            end: Where they end in the log, in bytes.
            waited_for: The id of a pop whose item goes into `popped`.
        """
        for line in data.split(b"\n")[:-1]:
            operation = _read_operation(line)
            if operation is None:
                self.lines.append(line)
            elif operation["type"] == CLEAR:
                self.lines.clear()
            else:
                taken = self.lines.pop() if self.lines else None
                if operation.get("id") == waited_for:
                    self.popped[waited_for] = taken
        self.end = end

    def get_last(self, count: int | None) -> list[Any]:
        """The newest items in their order: all of them for None or a negative `count`. A line that is no JSON is left
        out, and does not count."""
        if count is None or count < 0:
            return [*_read_items(self.lines)]
        return [*islice(_read_items(reversed(self.lines)), count)][::-1]


def _read_operation(line: bytes) -> dict[str, Any] | None:
    if _MARK not in line:  # most lines are items
        return None
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and is_operation(value) else None


def _read_items(lines: Iterable[bytes]) -> Iterable[Any]:
    for line in lines:
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):
            continue
