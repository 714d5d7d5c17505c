"""Messages to lines: one compact JSON object a line, as ``serde_json::to_string`` writes it.

No spaces, non-ASCII unescaped, keys in the order given. A message that is already a line (`str` or
`bytes`) is kept byte for byte, whatever it holds: real transcripts have damaged lines in their middle.
"""

import json
import re
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias

from history_sink.errors import BadMessage
from history_sink.protocol.chain import advance
from history_sink.protocol.contract import LINE_BYTES
from history_sink.protocol.kinds import Default
from history_sink.protocol.plain import Unencodable, make_plain, write_json


class Model(Protocol):
    """An object of pydantic's, or of an SDK that is built on it."""

    def model_dump(self, *, mode: Literal["json"]) -> Any: ...


class Dataclass(Protocol):
    """An object of any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


Message: TypeAlias = Mapping[Any, Any] | Model | Dataclass | str | bytes | bytearray | memoryview
"""A JSON object, what becomes one, or a ready-made line, with or without its newline: any bytes without one inside."""

ENVELOPE = b'{"enc":'
"""How a line begins that its writer has sealed."""

_LONG_BYTES = 1024 * 1024
_PIECE_BYTES = 64 * 1024
_STRING = re.compile(rb'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*+"')
"""A string of JSON, as `json` reads it (https://www.rfc-editor.org/rfc/rfc8259#section-7)."""
_SURROGATES_APART = re.compile("([\ud800-\udfff])")


class Line(NamedTuple):
    """The bytes of one message, newline included; how many values were replaced; whether it is no JSON object.

    `filtered`: what filters say that they have done to it, and how often.
    """

    data: bytes
    replaced: int = 0
    raw: bool = False
    filtered: Mapping[str, int] = MappingProxyType({})

    def __repr__(self) -> str:
        return f"Line({len(self.data)} bytes)"  # what a repr shows ends up in somebody's log


Encode: TypeAlias = Callable[[Any, Unencodable], Line]
"""Makes the line of a message, or raises `BadMessage`."""


class PlacedEncode:
    """Makes lines that depend on where they stand.

    No `Protocol` and no `ABC`: each save asks for each message which kind it has.
    """

    def __call__(self, message: Any, unencodable: Unencodable) -> Line:
        """The line as the first of a history. Raises `BadMessage`."""
        raise NotImplementedError

    def encode_at(self, message: Any, unencodable: Unencodable, before: bytes) -> Line:
        """The line behind the history whose chain is `before`. Raises `BadMessage`."""
        raise NotImplementedError


def encode_at(encode: Encode, message: Any, unencodable: Unencodable, before: bytes) -> Line:
    """Make a line by either kind of `encode`. Raises `BadMessage`."""
    if isinstance(encode, PlacedEncode):
        return encode.encode_at(message, unencodable, before)
    return encode(message, unencodable)


EncodeFor: TypeAlias = Callable[[str | None], Encode]
"""Tells how the lines of a session are made; None: of a history that is no session's."""


def encode_line(message: Any, unencodable: Unencodable = "replace", default: Default | None = None) -> Line:
    """Make the line of one message.

    What `simplify` and then `default` make of an object stands for it. NaN and the infinities become null, lone
    surrogates U+FFFD, each counted in `replaced`. A ready-made line is kept as it is, and `raw` where it is no JSON
    object. With ``unencodable="refuse"`` all these raise. Raises `BadMessage` for what does not become a JSON object,
    and for a line with a newline inside.
    """
    if isinstance(message, (str, bytes, bytearray, memoryview)):
        return _keep(message, unencodable)
    if isinstance(message, (dict, Mapping)) and (data := _write_as_it_is(message)):
        return Line(data)
    plain, replaced = make_plain(message, unencodable, default)
    if not isinstance(plain, dict):
        raise BadMessage(_explain_kind(message)) from None
    try:
        return Line((write_json(plain) + "\n").encode(), replaced)
    except RecursionError:
        raise BadMessage("nested too deeply") from None


def check_line(line: Line) -> Line:
    """Return `line`, or raise `BadMessage`: it is too long."""
    if len(line.data) > LINE_BYTES:
        raise BadMessage(f"a line of {len(line.data)} bytes is over the limit of {LINE_BYTES}")
    return line


def encode_lines(
    encode: Encode, messages: Iterable[Message], unencodable: Unencodable, before: bytes
) -> Iterator[Line]:
    """Make the lines of messages behind the history whose chain is `before`. Raises `BadMessage` at the first bad one.

    Only a `PlacedEncode` looks at `before`.
    """
    is_placed = isinstance(encode, PlacedEncode)
    for message in messages:
        line = check_line(encode_at(encode, message, unencodable, before))
        before = advance(before, line.data) if is_placed else before
        yield line


def _write_as_it_is(message: Mapping[Any, Any]) -> bytes | None:
    """The line of a message that is plain already, as most are; None for others."""
    try:
        plain = message if isinstance(message, dict) else dict(message)
        text = write_json(plain) + "\n"
        return text.encode() if _has_texts_for_keys(plain) else None  # behind the encoder, which has found any cycle
    except Exception:  # noqa: BLE001  # a mapping of the agent's own may raise anything; the slow way says why
        return None


def _has_texts_for_keys(plain: dict[Any, Any]) -> bool:
    """False where `json` has quietly made a text of 1, null or true: another key may be that text."""
    todo: list[Any] = [plain]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            for key in item:
                if not isinstance(key, str):
                    return False
            todo.extend(item.values())
        elif isinstance(item, (list, tuple)):
            todo.extend(item)
    return True


def _explain_kind(message: Any) -> str:
    remedy = "; save takes a list of messages, append each by itself" if isinstance(message, (list, tuple)) else ""
    return f"a message is a JSON object or a line of one, not {type(message).__name__}{remedy}"


def _keep(given: str | bytes | bytearray | memoryview, unencodable: Unencodable) -> Line:
    """A ready-made line, ended by one newline."""
    data = _encode_text(given) if isinstance(given, str) else bytes(given)
    is_ended = data.endswith(b"\n")  # no copy is made of such bytes: a line may have megabytes
    if data.find(b"\n", 0, len(data) - is_ended) >= 0:
        raise BadMessage("a line with a line break inside: give each line as a message of its own") from None
    damage = _find_damage(data)
    if damage and unencodable == "refuse":
        raise BadMessage(damage) from None
    return Line(data if is_ended else data + b"\n", raw=damage is not None)


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
        value = _DECODER.decode(_decode(data))
    except UnicodeError:
        return "a line that is not valid UTF-8"
    except RecursionError:
        return "nested too deeply"
    except ValueError:
        return "a line that is not JSON"
    return None if isinstance(value, dict) else "a line that is JSON, but no object"


def _decode(data: bytes) -> str:
    """UTF-8 as a text to look for JSON in; of a long line without its strings. Raises UnicodeDecodeError, ValueError.

    A line of megabytes is mostly strings, and each would be in memory twice beside it. Where all of them are well
    formed, and no others are known to be, only what stands between them can be damaged.
    """
    if len(data) < _LONG_BYTES:
        return data.decode()
    decoder = getincrementaldecoder("utf-8")()
    for start in range(0, len(data), _PIECE_BYTES):
        decoder.decode(data[start : start + _PIECE_BYTES])
    decoder.decode(b"", final=True)
    kept, last = bytearray(), 0
    while (begin := data.find(b'"', last)) >= 0:
        string = _STRING.match(data, begin)
        if string is None:
            raise ValueError("a string that JSON does not know")
        kept += data[last:begin] + b'""'
        last = string.end()
    kept += data[last:]
    return kept.decode("latin-1")


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=float)
"""`json.loads` would make one for each line, which takes as long as to read a short one."""
