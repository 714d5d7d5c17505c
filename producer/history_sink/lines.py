"""Messages to lines: one compact JSON object a line, as ``serde_json::to_string`` writes it.

No spaces, non-ASCII unescaped, keys in the order given. A message that is already a line (`str` or
`bytes`) is kept byte for byte, whatever it holds: real transcripts have damaged lines in their middle.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

from history_sink.errors import BadMessage

Message: TypeAlias = Mapping[str, Any] | str | bytes | bytearray | memoryview
"""A JSON object, or a ready-made line, with or without its newline: any bytes without a newline inside."""

Unencodable: TypeAlias = Literal["replace", "refuse"]
"""What to do with NaN, Infinity and lone surrogates, which JSON cannot carry."""

_NAMES_A_TYPE = re.compile(r"Object of type \w+ is not JSON serializable|keys must be [\w, ]+ not \w+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SURROGATES_APART = re.compile("([\ud800-\udfff])")
_write = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


class Line(NamedTuple):
    """The bytes of one message, newline included; how many values were replaced; whether it is no JSON object."""

    data: bytes
    replaced: int = 0
    raw: bool = False

    def __repr__(self) -> str:
        return f"Line({len(self.data)} bytes)"  # what a repr shows ends up in somebody's log


def encode_line(message: Message, unencodable: Unencodable = "replace") -> Line:
    """Make the line of one message.

    NaN and the infinities become null, lone surrogates U+FFFD, each counted in `replaced`. A ready-made line is kept
    as it is, and `raw` where it is no JSON object. With ``unencodable="refuse"`` all these raise. Raises `BadMessage`
    for a message that is no JSON object, and for a line with a newline inside.
    """
    if isinstance(message, (str, bytes, bytearray, memoryview)):
        return _keep(message, unencodable)
    if not isinstance(message, Mapping):
        raise BadMessage(f"a message is a JSON object or a line of one, not {type(message).__name__}")
    try:
        return Line(_dump(message))
    except ValueError as error:  # NaN, Infinity, a lone surrogate, a cycle, an integer beyond Python's limit
        if isinstance(error, BadMessage) or unencodable == "refuse":
            raise _explain(error) from None
    except Exception as error:  # noqa: BLE001  # a mapping of the agent's own may raise anything
        raise _explain(error) from None
    return _replace(message)


def _dump(message: Mapping[str, Any]) -> bytes:
    text = _write(message if isinstance(message, dict) else dict(message)) + "\n"
    _check_keys(message)  # after the encoder, which has found any cycle
    return text.encode()


def _explain(error: Exception) -> BadMessage:
    """What is wrong, without a word of the message: the texts of most errors quote it."""
    if isinstance(error, BadMessage):
        return error
    if isinstance(error, UnicodeError):
        return BadMessage("a lone surrogate")
    if isinstance(error, RecursionError):
        return BadMessage("nested too deeply, or containing itself")
    if isinstance(error, TypeError) and _NAMES_A_TYPE.fullmatch(str(error)):
        return BadMessage(str(error))
    if isinstance(error, ValueError):
        return BadMessage("a number or a structure that JSON cannot carry")
    return BadMessage(f"{type(error).__name__} while it was read")


def _replace(message: Mapping[str, Any]) -> Line:
    count = [0]
    try:
        return Line(_dump(_clean(message, count)), count[0])
    except Exception as error:  # noqa: BLE001  # as above
        raise _explain(error) from None


def _clean(value: Any, count: list[int]) -> Any:
    """A copy of `value` with what JSON cannot carry replaced; adds to ``count[0]``."""
    if isinstance(value, str):
        text = _SURROGATE.sub("\ufffd", value)
        count[0] += text != value
        return text
    if isinstance(value, float) and not math.isfinite(value):
        count[0] += 1
        return None
    if isinstance(value, Mapping):
        cleaned = {_clean(key, count): _clean(item, count) for key, item in value.items()}
        if len(cleaned) < len(value):
            raise BadMessage("two keys that become the same one when surrogates are replaced")
        return cleaned
    if isinstance(value, (list, tuple)):
        return [_clean(item, count) for item in value]
    return value


def _check_keys(value: Any) -> None:
    """Raise where a key is no string: `json` would quietly write 1, null or true as one."""
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, Mapping):
            for key in item:
                if not isinstance(key, str):
                    raise BadMessage(f"a key that is {type(key).__name__}, not a string")
            todo.extend(item.values())
        elif isinstance(item, (list, tuple)):
            todo.extend(item)


def _keep(given: str | bytes | bytearray | memoryview, unencodable: Unencodable) -> Line:
    """A ready-made line, ended by one newline."""
    data = (_encode_text(given) if isinstance(given, str) else bytes(given)).removesuffix(b"\n")
    if b"\n" in data:
        raise BadMessage("a line with a line break inside: give each line as a message of its own") from None
    damage = _find_damage(data)
    if damage and unencodable == "refuse":
        raise BadMessage(damage) from None
    return Line(data + b"\n", raw=damage is not None)


def _encode_text(text: str) -> bytes:
    """UTF-8. Of lone surrogates, U+DC80 to U+DCFF become the bytes that they stand for in texts that were read with
    ``errors="surrogateescape"``; others the three bytes that UTF-8 would have for them, were they allowed.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        return b"".join(
            part.encode("utf-8", "surrogateescape" if "\udc80" <= part <= "\udcff" else "surrogatepass")
            for part in _SURROGATES_APART.split(text)
        )


def _find_damage(data: bytes) -> str | None:
    """Why a line is no JSON object; None if it is one. One nested deeper than can be read counts as none."""
    try:
        value = json.loads(data.decode(), parse_constant=_refuse_constant, parse_int=float)
    except UnicodeError:
        return "a line that is not valid UTF-8"
    except RecursionError:
        return "nested too deeply"
    except ValueError:
        return "a line that is not JSON"
    return None if isinstance(value, dict) else "a line that is JSON, but no object"


def _refuse_constant(name: str) -> None:
    raise ValueError(name)
