"""Filters: functions from line to line, which decide what of a message leaves this process.

They stand before the ledger, so chain, queue and store know filtered lines only.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from history_sink.errors import BadMessage, ConfigurationError
from history_sink.protocol.lines import Encode, Line, encode_line
from history_sink.protocol.plain import Unencodable

Filter: TypeAlias = Callable[[bytes], bytes]
"""Takes a line without its newline, and returns the line that is to be archived in its place.

It must make the same of the same line in each process that continues a session: another line is an edit, and opens a
branch. Most lines are JSON objects; a ready-made line may be any bytes. It runs inside `save`, more than once for a
line, and in several threads at once where the sink is used so.
"""


def check_filters(filters: Iterable[Filter]) -> tuple[Filter, ...]:
    """The filters, in their order. Raises `ConfigurationError` for what is no list of functions."""
    if callable(filters) or not isinstance(filters, Iterable):
        raise ConfigurationError(f"filters is a list of functions of one line, not {type(filters).__name__}")
    found = tuple(filters)
    for each in found:
        if not callable(each):
            raise ConfigurationError(f"a filter is a function of one line, not {type(each).__name__}")
    return found


def filter_lines(encode: Encode, filters: tuple[Filter, ...]) -> Encode:
    """Make lines as `encode` does, and give each to all `filters`, one behind the other.

    The result raises `BadMessage` where a filter fails: nothing goes out unfiltered. The text names the filter.
    """
    if not filters:
        return encode

    def encode_filtered(message: Any, unencodable: Unencodable) -> Line:
        line = encode(message, unencodable)
        data = line.data[:-1]
        for each in filters:
            data = _apply(each, data)
        if data == line.data[:-1]:
            return line
        return Line(data + b"\n", line.replaced, encode_line(data, unencodable).raw)

    return encode_filtered


def _apply(each: Filter, line: bytes) -> bytes:
    try:
        filtered: object = each(line)
    except Exception as error:  # noqa: BLE001  # its text may quote the line, so only its kind is told
        raise BadMessage(f"filter {_name(each)} failed with {type(error).__name__}") from None
    if not isinstance(filtered, bytes):
        raise BadMessage(f"filter {_name(each)} returned {type(filtered).__name__}, not bytes")
    if b"\n" in filtered:
        raise BadMessage(f"filter {_name(each)} returned a line with a line break inside")
    return filtered


def _name(each: Any) -> str:
    function = getattr(each, "func", each)  # of a partial
    return str(getattr(function, "__qualname__", type(function).__qualname__))
