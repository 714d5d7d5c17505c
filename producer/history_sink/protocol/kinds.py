"""What stands for an object in a message, one thing for each kind."""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from inspect import Parameter, signature
from pathlib import PurePath
from typing import Any, TypeAlias
from uuid import UUID

from history_sink.errors import BadMessage

Default: TypeAlias = Callable[[Any], Any]
"""Makes something simpler of an object that is none of the kinds that are known here, as for `json.dumps`."""


def simplify(value: Any, go_on: Default) -> Any:
    """Something simpler that stands for `value`; `value` itself where there is nothing. May raise anything.

    `go_on` does the same for what a model holds and pydantic does not know.
    """
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (date, time)):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (UUID, Decimal, PurePath)):
        return str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return b64encode(value).decode()
    kind = type(value)  # not the value: a mock has every attribute
    if hasattr(kind, "model_dump"):
        return _dump(value, go_on)
    if is_dataclass(kind):
        return {field.name: getattr(value, field.name) for field in fields(kind)}
    if hasattr(kind, "item") and getattr(value, "shape", ()) == ():
        return _read_number(value)
    return value


def _read_number(value: Any) -> Any:
    """A number, a time or a span of numpy's. Its times of nanoseconds would be integers by `item`."""
    letter = getattr(getattr(value, "dtype", None), "kind", None)
    if letter == "M":
        return str(value)
    if letter == "m":
        return float(value / type(value)(1, "s"))
    number = value.item()
    return value if type(number) is type(value) else number  # a long double stays what it is


def _dump(model: Any, go_on: Default) -> Any:
    options: dict[str, Any] = {"warnings": False, "fallback": go_on}
    known = {name: options[name] for name in _known_options(type(model).model_dump)}
    try:
        return model.model_dump(mode="json", **known)
    except BadMessage:
        raise
    except (TypeError, ValueError):  # SDKs beside pydantic 1 have the options only to refuse them
        if not known:
            raise
        return model.model_dump(mode="json")


@lru_cache(maxsize=256)
def _known_options(dump: Callable[..., Any]) -> tuple[str, ...]:
    """Whether it can be told to be silent, for pydantic's warnings quote values; and by whom it may be helped."""
    try:
        parameters = signature(dump).parameters
    except (TypeError, ValueError):  # a function in C may not tell
        return ()
    takes_any = any(each.kind is Parameter.VAR_KEYWORD for each in parameters.values())
    return tuple(name for name in ("warnings", "fallback") if name in parameters or (takes_any and name == "warnings"))
