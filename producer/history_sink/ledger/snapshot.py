"""A copy of a message's containers that shares its texts: what an edit in place is found with.

To compare one with its message costs a fraction of a microsecond whatever the message's size, because equal
texts are mostly the very same object. To encode the message again would cost a hundred times as much.
"""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any
from uuid import UUID

_UNCHANGING = frozenset(
    {int, float, bool, datetime, date, time, timedelta, Decimal, UUID}
    | {PosixPath, PurePosixPath, WindowsPath, PureWindowsPath}
)
"""Kinds whose objects never change, and whose repr tells each from any other."""


class _Exactly:
    """Equal to the same value of the same type alone: 1, 1.0 and True are equal, their JSON is not. Nor is that of
    1.0 and 1.00, or of one instant in two time zones.
    """

    __slots__ = ("_value",)
    __hash__ = None  # type: ignore[assignment]  # never a key

    def __init__(self, value: object) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        value = self._value
        return other is value or (type(other) is type(value) and repr(other) == repr(value))  # -0.0 == 0.0, too


class _Unlike:
    """Equal to nothing: what holds it is encoded again at every look."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return False


UNLIKE = _Unlike()


def copy_shape(value: Any) -> Any:
    """A value that equals `value` for as long as nobody changes it. (The order of keys is not looked at.)"""
    try:
        return _copy(value)
    except RecursionError:
        return UNLIKE


def _copy(value: Any) -> Any:
    kind = type(value)
    if kind is str or kind is bytes or value is None:
        return value
    if kind is dict:
        return {key: item if type(item) is str else _copy(item) for key, item in value.items()}
    if kind is list:
        return [_copy(item) for item in value]
    if kind is tuple:
        return tuple([_copy(item) for item in value])
    if kind in _UNCHANGING:
        return _Exactly(value)
    return UNLIKE


def is_like(shape: Any, value: Any) -> bool:
    """Whether `value`, or each of a list of values, still has its shape."""
    try:
        return bool(shape == value)
    except Exception:  # noqa: BLE001  # what an agent put into a message may do anything when compared
        return False
