"""Filters: functions from line to line, which decide what of a message leaves this process.

They stand before the ledger, so chain, queue and store know filtered lines only.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import entry_points
from typing import Any, Protocol, TypeAlias, runtime_checkable

from history_sink.errors import BadMessage, ConfigurationError
from history_sink.protocol.chain import ORIGIN
from history_sink.protocol.lines import Encode, EncodeFor, Line, PlacedEncode, encode_line
from history_sink.protocol.plain import Unencodable

Filter: TypeAlias = Callable[[bytes], bytes]
"""Takes a line without its newline, and returns the line that is to be archived in its place.

It must make the same of the same line in each process that continues a session: another line is an edit, and opens a
branch. Most lines are JSON objects; a ready-made line may be any bytes. It runs inside `save`, more than once for a
line, and in several threads at once where the sink is used so. It may return a `Filtered`. One that makes something
else of each session's lines is a `SessionFilter`, too.
"""

Adopt: TypeAlias = Callable[[str, str], Encode | None]
"""Takes a session and rules; returns what makes its lines by these rules, None where nothing here can."""

PLUGINS = "history_sink.filters"
"""The group of entry points. Each makes the filter that ``CODETETHER_HISTORY_FILTERS`` knows by its name."""


class Filtered(bytes):
    """A line that says what was done to it: `counts` goes into the receipt, so it holds names and no content."""

    counts: Mapping[str, int]

    def __new__(cls, line: bytes, counts: Mapping[str, int]) -> "Filtered":
        """Make one of a line, and of how often something was done, by its name."""
        self = super().__new__(cls, line)
        self.counts = counts
        return self


@runtime_checkable
class SessionFilter(Protocol):
    """A filter that is asked, when a session begins in a process, for the filter of that session's lines.

    A filter may have an attribute `rules`: a short text such as ``redact=1/…`` which names all that decides what it
    makes of a line. It is kept with the log. Where a log was begun by other rules, a method
    ``for_rules(session_id, rules)`` is asked for a filter that goes on by those of the log; None: there is none.
    """

    def for_session(self, session_id: str) -> Filter:
        """Return the filter for a session. Where it raises, each message of the session is refused."""
        ...


@runtime_checkable
class PlacedFilter(Protocol):
    """A filter whose line depends on where it stands. `for_session` may return one."""

    def __call__(self, line: bytes) -> bytes:
        """Return the line as the first of a history."""
        ...

    def filter_at(self, line: bytes, before: bytes) -> bytes:
        """Return the line behind the lines, as they are archived, whose chain is `before`: 32 bytes, 0 at first."""
        ...


def check_filters(filters: Iterable[Filter]) -> tuple[Filter, ...]:
    """The filters, in their order. Raises `ConfigurationError` for what is no list of functions."""
    if callable(filters) or not isinstance(filters, Iterable):
        raise ConfigurationError(f"filters is a list of functions of one line, not {type(filters).__name__}")
    found = tuple(filters)
    for each in found:
        if not callable(each):
            raise ConfigurationError(f"a filter is a function of one line, not {type(each).__name__}")
    return found


def load_filters(names: Iterable[str]) -> tuple[Filter, ...]:
    """The filters that installed packages have under these names. Raises `ConfigurationError` for another name."""
    known = {entry.name: entry for entry in entry_points(group=PLUGINS)}
    made: list[Filter] = []
    for name in names:
        if name not in known:
            raise ConfigurationError(
                f"no filter {name!r} is installed; there are: {', '.join(sorted(known)) or 'none'}"
            )
        made.append(known[name].load()())
    return check_filters(made)


def filter_sessions(encode: Encode, filters: tuple[Filter, ...]) -> EncodeFor:
    """Make the lines of each session as `encode` does, and give each to its filters."""
    if not any(isinstance(each, SessionFilter) for each in filters):
        encode_all = filter_lines(encode, filters)
        return lambda session: encode_all
    return lambda session: filter_lines(encode, tuple(_bind(each, session) for each in filters))


def make_adopt(encode: Encode, filters: tuple[Filter, ...]) -> Adopt:
    """What makes a session's lines by the rules that it was begun with, where all filters can."""

    def adopt(session: str, rules: str) -> Encode | None:
        bound = [_adopt(each, session, rules) for each in filters]
        found = filter_lines(encode, tuple(each for each in bound if each is not None))
        return found if None not in bound and read_rules(found) == rules else None

    return adopt


def _adopt(each: Filter, session: str, rules: str) -> Filter | None:
    for_rules = getattr(each, "for_rules", None)
    try:
        return for_rules(session, rules) if for_rules else _bind(each, session)
    except Exception:  # noqa: BLE001  # it goes on by the rules that it has
        return None


def filter_lines(encode: Encode, filters: tuple[Filter, ...]) -> Encode:
    """Make lines as `encode` does, and give each to all `filters`, one behind the other.

    The result raises `BadMessage` where a filter fails: nothing goes out unfiltered. The text names the filter.
    """
    if not filters:
        return encode
    steps = tuple((each, isinstance(each, PlacedFilter)) for each in filters)
    if any(is_placed for _, is_placed in steps):
        return _PlacedFilters(encode, steps)
    return _Filters(encode, steps)


def read_rules(encode: Encode) -> str:
    """By which rules the filters of an encoder make lines, such as ``redact=1/…,seal=…``; "" where none names its own.

    A filter names them by its attribute `rules`.
    """
    return encode.rules if isinstance(encode, (_Filters, _PlacedFilters)) else ""


_Steps: TypeAlias = tuple[tuple[Filter, bool], ...]
"""Filters, and whether each is a `PlacedFilter`: to ask that of a protocol costs as much as to make a line."""


class _Filters:
    def __init__(self, encode: Encode, steps: _Steps) -> None:
        self._encode = encode
        self._steps = steps
        self.rules = ",".join(filter(None, (getattr(each, "rules", "") for each, _ in steps)))

    def __call__(self, message: Any, unencodable: Unencodable) -> Line:
        return _filter(self._encode(message, unencodable), self._steps, unencodable, ORIGIN)


class _PlacedFilters(PlacedEncode):
    def __init__(self, encode: Encode, steps: _Steps) -> None:
        self._encode = encode
        self._steps = steps
        self.rules = _Filters(encode, steps).rules

    def __call__(self, message: Any, unencodable: Unencodable) -> Line:
        return self.encode_at(message, unencodable, ORIGIN)

    def encode_at(self, message: Any, unencodable: Unencodable, before: bytes) -> Line:
        return _filter(self._encode(message, unencodable), self._steps, unencodable, before)


def _filter(line: Line, steps: _Steps, unencodable: Unencodable, before: bytes) -> Line:
    data = line.data[:-1]
    counts: Counter[str] = Counter()
    for each, is_placed in steps:
        data = _apply(each, is_placed, data, before)
        if isinstance(data, Filtered):
            counts.update(data.counts)
    if data == line.data[:-1]:
        return line
    return Line(data + b"\n", line.replaced, encode_line(bytes(data), unencodable).raw, counts)


def _bind(each: Filter, session: str | None) -> Filter:
    if session is None or not isinstance(each, SessionFilter):
        return each
    try:
        return each.for_session(session)
    except Exception as error:  # noqa: BLE001  # what goes wrong here refuses messages, as it does later
        return _Failing(f"filter {_name(each)} failed with {_tell(error)}")


class _Failing:
    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __call__(self, line: bytes) -> bytes:
        raise BadMessage(self._reason)


def _apply(each: Any, is_placed: bool, line: bytes, before: bytes) -> bytes:
    if isinstance(each, _Failing):
        return each(line)
    try:
        filtered: object = each.filter_at(line, before) if is_placed else each(line)
    except Exception as error:  # noqa: BLE001  # its text may quote the line, so only its kind is told
        raise BadMessage(f"filter {_name(each)} failed with {type(error).__name__}") from None
    if not isinstance(filtered, bytes):
        raise BadMessage(f"filter {_name(each)} returned {type(filtered).__name__}, not bytes")
    if b"\n" in filtered:
        raise BadMessage(f"filter {_name(each)} returned a line with a line break inside")
    return filtered


def _tell(error: Exception) -> str:
    """Errors of configuration hold no content; of others only the kind is told."""
    return f"{type(error).__name__}: {error}" if isinstance(error, ConfigurationError) else type(error).__name__


def _name(each: Any) -> str:
    function = getattr(each, "func", each)  # of a partial
    return str(getattr(function, "__qualname__", type(function).__qualname__))
