"""Messages become lines: the same bytes for the same message, one object a line, and nothing raises but BadMessage."""

import json
import math
import random
import time
import tracemalloc
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from enum import IntEnum
from hashlib import sha256
from types import MappingProxyType
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history_sink.errors import BadMessage
from history_sink.protocol import lines
from history_sink.protocol.chain import START
from history_sink.protocol.lines import Line, encode_line
from history_sink.protocol.packing import unpack_lines
from history_sink.protocol.plain import Unencodable
from history_sink.protocol.upload import Upload

texts = st.text(st.characters(exclude_categories=["Cs"]))
atoms = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(atoms, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=20)
objects = st.dictionaries(texts, values)

wild_texts = st.text()  # with lone surrogates
wild_atoms = atoms | wild_texts | st.floats() | st.binary() | st.complex_numbers() | st.just(object)
wild_keys = wild_texts | st.integers() | st.none() | st.floats() | st.tuples(st.integers())
wild_values = st.recursive(
    wild_atoms,
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(wild_keys, inner),
    max_leaves=20,
)


@given(objects)
def test_an_object_is_one_line_that_reads_as_the_object(message: dict[str, Any]) -> None:
    line, replaced, raw, _ = encode_line(message)
    assert (replaced, raw) == (0, False)
    assert line.index(b"\n") == len(line) - 1
    assert json.loads(line) == message
    assert list(json.loads(line)) == list(message)
    assert encode_line(line).data == line


@given(objects, st.sampled_from([None, 0, 2]), st.booleans(), st.sampled_from(["", " ", "\t", "\r"]))
def test_a_ready_made_line_is_kept_byte_for_byte(
    message: dict[str, Any], spaces: int | None, is_ascii: bool, padding: str
) -> None:
    separators = (" , ", " : ") if spaces else None
    text = padding + json.dumps(message, ensure_ascii=is_ascii, separators=separators) + padding
    for line in (text, text + "\n", text.encode(), text.encode() + b"\n"):
        assert encode_line(line).data == text.encode() + b"\n"


@given(wild_values)
def test_nothing_raises_but_bad_message(value: Any) -> None:
    for message in (value, {"a": value}):
        for unencodable in get_args(Unencodable):
            try:
                line = encode_line(message, unencodable).data
            except BadMessage:
                continue
            assert line.count(b"\n") == 1
            assert line.endswith(b"\n")
            if not isinstance(message, (str, bytes)):
                assert isinstance(json.loads(line), dict)


@given(st.lists(st.sampled_from([math.nan, math.inf, -math.inf, "\ud800", "a\udfffb", "fine", 1.5])))
def test_what_json_cannot_carry_is_replaced_and_counted(items: list[Any]) -> None:
    def replaced(item: Any) -> Any:
        if isinstance(item, float):
            return item if math.isfinite(item) else None
        return item.replace("\ud800", "\ufffd").replace("\udfff", "\ufffd")

    line = encode_line({"items": items})
    kept = [replaced(item) for item in items]
    assert json.loads(line.data) == {"items": kept}
    assert line.replaced == sum(new is not old and new != old for old, new in zip(items, kept, strict=True))
    if line.replaced:
        with pytest.raises(BadMessage):
            encode_line({"items": items}, "refuse")


def test_compact_unescaped_and_in_the_order_given() -> None:
    message = {"b": '\N{SNOWMAN}\u2028\x7f\x1f/\\"\b\t', "a": [None, True, 1.0, -0.0, 1e100]}
    expected = '{"b":"\N{SNOWMAN}\u2028\x7f\\u001f/\\\\\\"\\b\\t","a":[null,true,1.0,-0.0,1e+100]}\n'
    assert encode_line(message).data == expected.encode()


RAW: list[tuple[str | bytes, bytes]] = [
    (b"", b""), (b"\r", b"\r"), (bytes(300), bytes(300)), (b"\xe9\xff\xfe", b"\xe9\xff\xfe"), (b"[]", b"[]"),
    ("1e400", b"1e400"), ("null", b"null"), ('{"a":1}{', b'{"a":1}{'), ('{"a":1}{"b":2}', b'{"a":1}{"b":2}'),
    ('{"a":NaN}', b'{"a":NaN}'), ('{"a":"\x01"}', b'{"a":"\x01"}'), ("\ufeff{}", b"\xef\xbb\xbf{}"),
    ("\u2028\x85\x0b\r", b"\xe2\x80\xa8\xc2\x85\x0b\r"), ("[" * 100_000, b"[" * 100_000),
    (b'{"a":"\xed\xa0\x80"}', b'{"a":"\xed\xa0\x80"}'), ('{"a":"\ud800"}', b'{"a":"\xed\xa0\x80"}'),
    (b"caf\xe9 \xf0".decode(errors="surrogateescape"), b"caf\xe9 \xf0"), ("\udc7f\udd00", b"\xed\xb1\xbf\xed\xb4\x80"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "kept"), RAW, ids=lambda value: repr(value)[:30])
def test_a_ready_made_line_that_is_no_json_object_is_kept_and_counted(given: str | bytes, kept: bytes) -> None:
    ends: tuple[Any, Any] = ("", "\n") if isinstance(given, str) else (b"", b"\n")
    for end in ends:
        assert encode_line(given + end) == Line(kept + b"\n", 0, True)
        with pytest.raises(BadMessage):
            encode_line(given + end, "refuse")


@given(st.binary().filter(lambda data: b"\n" not in data))
def test_any_bytes_are_a_line(data: bytes) -> None:
    escaped = data.decode(errors="surrogateescape")
    given: list[Any] = [data, data + b"\n", bytearray(data), memoryview(data), escaped, escaped + "\n"]
    for message in given:
        assert encode_line(message).data == data + b"\n"


@given(st.text(st.characters(exclude_characters="\n", exclude_categories=()), max_size=20))
def test_any_text_without_a_line_break_is_a_line(text: str) -> None:
    assert encode_line(text).data.count(b"\n") == 1
    assert encode_line(text, "replace") == encode_line(encode_line(text).data)


class Reader(Mapping[str, Any]):
    """A mapping that is no dict, and that may fail."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def __getitem__(self, key: str) -> Any:
        if self._error:
            raise self._error
        return 1

    def __iter__(self) -> Iterator[str]:
        return iter("ab")

    def __len__(self) -> int:
        return 2


class Number(IntEnum):
    ONE = 1


@pytest.mark.parametrize("message", [OrderedDict(a=1), MappingProxyType({"a": 1}), {"a": Number.ONE}, {"a": 1}])
def test_what_behaves_like_a_dict_is_a_message(message: Mapping[str, Any]) -> None:
    assert encode_line(message).data == b'{"a":1}\n'


def nest(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for _ in range(depth):
        inner = {"a": inner}
    return inner


def cycle() -> dict[str, Any]:
    message: dict[str, Any] = {}
    message["a"] = message
    return message


@pytest.mark.parametrize(
    "message",
    [
        None, 1, [], object(), "{}\n{}", "{}\n\n", "\n{}", {"a": object()}, {"a": 1j}, {("a",): 1}, {1: 1, "1": 1},
        dict.fromkeys(["\ud800", "\ufffd"]), {"a": 10**5000}, {10**5000: 1},
        nest(100_000), cycle(), Reader(KeyError("canary")), Reader(RuntimeError("canary")),
    ],
    ids=lambda message: repr(type(message)),
)  # fmt: skip
def test_what_is_no_message_is_refused(message: Any) -> None:
    with pytest.raises(BadMessage) as caught:
        encode_line(message)
    assert str(caught.value)


@pytest.mark.parametrize(
    "message",
    [
        '{"a":"canary"',
        "canary\ncanary",
        b'{"a":"canary\xff"}',
        '{"a":"canary\ud800"}',
        {"a": "canary", "b": object()},
        {"canary canary": math.nan},
        {"canary\ud800": 1},
        Reader(KeyError("canary")),
        {"a": ["canary"], ("canary",): "canary"},
    ],
)
def test_a_refusal_never_quotes_the_message(message: Any) -> None:
    with pytest.raises(BadMessage) as caught:
        encode_line(message, "refuse")
    chained = [caught.value, caught.value.__cause__]
    assert "canary" not in "".join(map(repr, chained))
    assert caught.value.__suppress_context__


nearly_json = st.binary() | st.lists(
    st.sampled_from(
        [
            *'{}[],:" \n\t\\\0\x1f\x7f',
            '"a":',
            '"\\"',
            '"\\u00e9\\ud800\\b"',
            '"\\x"',
            '"\\u12"',
            "\\u",
            "{}",
            '"é😀"',
            "0",
            "1e5",
            "٣",
            "true",
            "NaN",
            "\ufeff",
            "\u0085",
            "\u2028",
            "\u00a0",
        ]
    )
    | st.sampled_from([b"\x80", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f"]),
    max_size=12,
).map(lambda parts: b"".join(part.encode() if isinstance(part, str) else part for part in parts))


@given(nearly_json | objects.map(lambda message: json.dumps(message, ensure_ascii=False).encode()))
def test_a_long_line_is_judged_as_a_short_one(data: bytes) -> None:
    short = lines._find_damage(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "_LONG_BYTES", 0)
        patch.setattr(lines, "_PIECE_BYTES", 3)
        assert lines._find_damage(data) == short


@pytest.mark.parametrize("text", ["x", r"line\n\t\"", r"\u00e9"])
def test_a_long_line_with_an_emoji_takes_little_more_memory_than_itself(text: str) -> None:
    size = 4_000_000
    line = ('{"a":["😀' + text * (size // len(text)) + '"]}\n').encode()
    tracemalloc.start()
    made = encode_line(line)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert made.data is line
    assert not made.raw
    assert peak < size / 4  # a text and its string would be 2, and with four bytes a letter 5


def test_on_its_way_a_long_line_is_in_memory_once_beside_its_packed_form() -> None:
    line = b'{"a":"' + b64encode(random.Random(1).randbytes(3_000_000)) + b'"}\n'
    tracemalloc.start()
    fields = Upload(None, START, (line,)).encode()
    end = START.step(line)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert unpack_lines(fields) == (line,)
    assert end.chain == sha256(START.chain + line).digest()
    assert peak < 1.6 * len(fields["lines"])  # with a copy of either it would be 2 and more


def test_a_long_line_that_is_damaged_behind_many_quotes_is_read_once() -> None:
    line = b'{"a":"' + b'\\"' * 1_000_000 + b"\0" * 4096 + b'"}\n'
    start = time.process_time()
    assert encode_line(line).raw
    assert time.process_time() - start < 10  # from each quote on to the damage it would be a day
