"""A message made plain: the values that JSON has, for those that `json` does not take as they are.

Each becomes one thing, whatever stands beside it. Two processes make the same bytes of the same message.
"""

import json
import math
import re
from collections import deque
from collections.abc import Mapping
from typing import Any, Literal, NoReturn, TypeAlias

from history_sink.errors import BadMessage
from history_sink.protocol.kinds import Default, simplify

Unencodable: TypeAlias = Literal["replace", "refuse"]
"""What to do with NaN, Infinity and lone surrogates, which JSON cannot carry."""

_Trail: TypeAlias = "tuple[_Trail, int | str | None] | None"
"""The way to a value from its message: the step before, and the last key or index."""

MOST_NESTED = 100_000
"""More than `json` can write on any Python. It ends what goes on for ever."""

_SHOWN_STEPS = 16
_PARSED_BITS = 2000  # an integer of fewer bits is never over Python's limit of digits
_SHOWN_KEY = re.compile(r"[A-Za-z_]{1,24}[0-9]{0,2}")  # others may be a token themselves
_SURROGATE = re.compile("[\ud800-\udfff]")
_ARRAYS = (list, tuple, set, frozenset, deque)
_REMEDY = "make it a dict, a list, a text or a number, or give HistorySink(default=…) a function that does"

write_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def make_plain(message: Any, unencodable: Unencodable, default: Default | None) -> tuple[Any, int]:
    """A copy of `message` of plain values, and how many values were replaced. Raises `BadMessage`, with the path."""
    translation = _Translation(unencodable, default)
    return translation.run(message), translation.replaced


class _Translation:
    """One message made plain. It has a stack of its own: it must take whatever `json` takes, however deep."""

    def __init__(self, unencodable: Unencodable, default: Default | None) -> None:
        self.replaced = 0
        self._refuses = unencodable == "refuse"
        self._default = default
        self._todo: list[tuple[Any, Any, Any, _Trail]] = []  # where its plain copy goes, the key there, value, trail
        self._open: set[int] = set()  # what holds the value at hand
        self._sets: list[list[Any]] = []

    def run(self, message: Any) -> Any:
        root = [message]
        self._todo.append((root, 0, message, None))
        while self._todo:
            box, key, value, trail = self._todo.pop()
            if box is None:  # all that `value` holds is done
                self._open.discard(id(value))
                continue
            try:
                box[key] = self._take(value, trail)
            except BadMessage:
                raise
            except Exception as error:  # noqa: BLE001  # what an agent puts into a message may raise anything
                _refuse(trail, f"{type(error).__name__} while the {_name(value)} was read: give a dict in its place")
        for each in reversed(self._sets):  # the inner ones first
            each.sort(key=_rank)
        return root[0]

    def _take(self, value: Any, trail: _Trail) -> Any:
        """What stands for `value`. What it holds is put on the stack."""
        while True:
            if value is None or isinstance(value, (str, int, float)):
                return self._take_atom(value, trail)
            self._enter(value, trail)
            if isinstance(value, Mapping):
                return self._take_mapping(value, trail)
            if isinstance(value, _ARRAYS):
                return self._take_array(value, trail)
            value = self._simplify(value, trail)

    def _enter(self, value: Any, trail: _Trail) -> None:
        if id(value) in self._open:
            _refuse(trail, "it contains itself")
        if len(self._open) > MOST_NESTED:
            raise BadMessage("nested too deeply, or without an end")
        self._open.add(id(value))
        self._todo.append((None, None, value, None))  # and so it is kept: its id is not given to another meanwhile

    def _simplify(self, value: Any, trail: _Trail) -> Any:
        simple = simplify(value, lambda inner: self._simplify(inner, trail))
        return self._ask_default(value, trail) if simple is value else simple

    def _ask_default(self, value: Any, trail: _Trail) -> Any:
        if self._default is None:
            _refuse_kind(value, trail)
        try:
            simple = self._default(value)
        except TypeError:  # as for `json.dumps`, it says so that it does not know the kind
            _refuse_kind(value, trail)
        except Exception as error:  # noqa: BLE001  # as above
            _refuse(trail, f"default= failed with {type(error).__name__} for a {_name(value)}")
        if simple is value:
            _refuse_kind(value, trail)
        return simple

    def _take_mapping(self, value: Mapping[Any, Any], trail: _Trail) -> dict[str, Any]:
        box: dict[str, Any] = {}
        inner = []
        plain = value if isinstance(value, dict) else dict(value)
        for key, item in [*plain.items()]:  # a copy at once: another thread may be streaming an answer into it
            name = self._take_key(key, trail)
            if name in box:
                _refuse(trail, "two keys that become the same one as text")
            box[name] = None  # the order is that of the keys
            inner.append((box, name, item, (trail, name)))
        self._todo += reversed(inner)
        return box

    def _take_array(self, value: Any, trail: _Trail) -> list[Any]:
        is_set = isinstance(value, (set, frozenset))
        items: list[Any] = [*value]
        if is_set:
            self._sets.append(items)
        inner = [(items, index, item, (trail, None if is_set else index)) for index, item in enumerate(items)]
        self._todo += reversed(inner)
        return items

    def _take_key(self, key: Any, trail: _Trail) -> str:
        """As `json.dumps` has it, and of other objects what stands for them, if that is an atom."""
        atom = key
        for _ in range(2):  # a member of an enumeration may have a value that is none either
            if not (atom is None or isinstance(atom, (str, int, float))):
                atom = simplify(atom, lambda inner: inner)
        if isinstance(atom, str):
            return self._clean(atom, trail)
        if atom is not None and not isinstance(atom, (int, float)):
            _refuse(trail, f"it has a key that is a {_name(key)}, not a text")
        return json.dumps(self._check_digits(atom, trail))

    def _take_atom(self, value: Any, trail: _Trail) -> Any:
        if isinstance(value, str):
            return self._clean(value, trail)
        if isinstance(value, float) and not math.isfinite(value):
            self._replace(trail, "NaN or Infinity")
            return None
        return self._check_digits(value, trail)

    def _check_digits(self, value: Any, trail: _Trail) -> Any:
        if isinstance(value, int) and value.bit_length() > _PARSED_BITS:
            try:
                int.__repr__(value)
            except ValueError:
                _refuse(trail, "an integer with more digits than Python writes")
        return value

    def _clean(self, value: str, trail: _Trail) -> str:
        text = str.__str__(value)  # what `json` writes, whatever a subclass says of itself
        if text.isascii() or not _SURROGATE.search(text):
            return text
        self._replace(trail, "a lone surrogate")
        return _SURROGATE.sub("\ufffd", text)

    def _replace(self, trail: _Trail, what: str) -> None:
        if self._refuses:
            _refuse(trail, f'{what}, which JSON has not: give something else, or unencodable="replace"')
        self.replaced += 1


def _rank(value: Any) -> tuple[int, Any]:
    """The order in a set: null, numbers, texts, then the rest by its JSON."""
    if value is None:
        return 0, 0
    if isinstance(value, (int, float)):
        return 1, value
    return (2, value) if isinstance(value, str) else (3, write_json(value))


def _refuse_kind(value: Any, trail: _Trail) -> NoReturn:
    a_message = "a message is a JSON object or a line of one, not"
    _refuse(trail, f"{'JSON has no' if trail else a_message} {_name(value)}: {_REMEDY}")


def _refuse(trail: _Trail, what: str) -> NoReturn:
    path = describe_path(trail)
    raise BadMessage(f"{path}: {what}" if path else what) from None


def _name(value: Any) -> str:
    return type(value).__name__[:80]


def describe_path(trail: _Trail) -> str:
    """The way as in ``content[0].text``. A key is shown where it is a short identifier: another may be content."""
    steps: list[str] = []
    while trail is not None and len(steps) < _SHOWN_STEPS:
        trail, key = trail
        is_shown = isinstance(key, int) or _SHOWN_KEY.fullmatch(key or "")
        steps.append(f".{key}" if is_shown and isinstance(key, str) else f"[{key if is_shown else '…'}]")
    return ("…" if trail else "") + "".join(reversed(steps)).removeprefix("." if trail is None else "")
