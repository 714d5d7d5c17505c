"""Objects in messages: each kind becomes one thing, whatever stands beside it, and what cannot is named by its path."""

import json
import math
import warnings
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, NamedTuple
from unittest.mock import MagicMock
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history_sink.errors import BadMessage
from history_sink.ledger.snapshot import copy_shape, is_like
from history_sink.protocol.lines import encode_line

SOME_ID = UUID("0191a7a4-0000-7000-8000-00000000002a")


class Colour(Enum):
    RED = "red"
    PATH = PurePosixPath("/red")


class Level(IntEnum):
    LOW = 1


class Word(StrEnum):
    HELLO = "hello"


class Pair(NamedTuple):
    left: int
    right: str


@dataclass
class Usage:
    tokens: int
    when: date = date(2026, 1, 2)
    parts: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Small:
    x: Any = 1


class Model:
    """As pydantic's, with what its serializer may do."""

    def __init__(self, **fields: Any) -> None:
        self.fields = fields

    def model_dump(self, *, mode: str = "python", warnings: bool = True) -> Any:
        if warnings:
            _warn()
        return self.fields if mode == "json" else {"mode": mode}


class BareModel:
    """One that knows no more than is asked of it."""

    def model_dump(self, mode: str) -> Any:
        return {"mode": mode}


class Unsigned:
    """As one that is made in C."""

    @property
    def __signature__(self) -> Any:
        raise ValueError

    def __get__(self, model: Any, kind: Any) -> Callable[..., Any]:
        return self

    def __call__(self, mode: str) -> Any:
        return {"mode": mode}


class ModelInC:
    model_dump = Unsigned()


class OldModel:
    """As an SDK's beside pydantic 1."""

    def model_dump(self, *, mode: str = "python", warnings: bool = True, fallback: Any = None) -> Any:
        if not warnings or fallback:
            raise ValueError("only supported in Pydantic v2")
        return {"mode": mode}


class OpenModel:
    def model_dump(self, **options: Any) -> Any:
        return options


class Scalar:
    """As a number of numpy's."""

    shape = ()

    def __init__(self, value: Any) -> None:
        self.value = value

    def item(self) -> Any:
        return self.value


class Kind(NamedTuple):
    kind: str


class Instant:
    """As numpy's datetime64 of nanoseconds."""

    dtype = Kind("M")

    def __str__(self) -> str:
        return "2026-01-01T00:00:00.000000001"

    def item(self) -> Any:
        return 1767225600000000001


class Span:
    """As its timedelta64 of nanoseconds."""

    dtype = Kind("m")

    def __init__(self, number: int, unit: str) -> None:
        self.nanoseconds = number * {"s": 10**9, "ns": 1}[unit]

    def __truediv__(self, other: "Span") -> float:
        return self.nanoseconds / other.nanoseconds

    def item(self) -> Any:
        return self.nanoseconds


class LongDouble:
    def item(self) -> Any:
        return LongDouble()


class Array:
    """As numpy's: of one element `item` would give that."""

    shape = (1,)

    def item(self) -> Any:
        return 1


class Chatty(list[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(["something else"])


class Plain(Mapping[Any, Any]):
    def __init__(self, **items: Any) -> None:
        self.items_ = items

    def __getitem__(self, key: str) -> Any:
        return self.items_[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.items_)

    def __len__(self) -> int:
        return len(self.items_)


def _warn() -> None:
    warnings.warn("PydanticSerializationUnexpectedValue(canary)", UserWarning, stacklevel=1)


KINDS: list[tuple[Any, str]] = [
    (datetime(2026, 1, 2, 3, 4, 5, 6, UTC), '"2026-01-02T03:04:05.000006+00:00"'),
    (date(2026, 1, 2), '"2026-01-02"'),
    (time(3, 4), '"03:04:00"'),
    (timedelta(seconds=1, milliseconds=500), "1.5"),
    (SOME_ID, f'"{SOME_ID}"'),
    (Path("/tmp/半"), '"/tmp/半"'),
    (Decimal("0.10"), '"0.10"'),
    (Decimal("NaN"), '"NaN"'),
    (Colour.RED, '"red"'),
    (Colour.PATH, '"/red"'),
    (Level.LOW, "1"),
    (Word.HELLO, '"hello"'),
    (Pair(1, "a"), '[1,"a"]'),
    (Usage(3, parts=[Small(), Usage(4)]), '{"tokens":3,"when":"2026-01-02","parts":[{"x":1},'
     '{"tokens":4,"when":"2026-01-02","parts":[]}]}'),
    (b"\x00\xff", '"AP8="'),
    (bytearray(b"abc"), '"YWJj"'),
    (memoryview(b"abc"), '"YWJj"'),
    ({"b", "a b", "a"}, '["a","a b","b"]'),
    ({10, 9, 1.5, None, "x", (2,), (1, 5), frozenset({3, 2}), SOME_ID},
     f'[null,1.5,9,10,"{SOME_ID}","x",[1,5],[2,3],[2]]'),
    (frozenset(), "[]"),
    (deque([1, {2}]), "[1,[2]]"),
    (OrderedDict(b=1, a=2), '{"b":1,"a":2}'),
    (MappingProxyType({"b": {1}}), '{"b":[1]}'),
    (Plain(b=1), '{"b":1}'),
    ({1: "a", None: "b", 1.5: 0, 2: 0}, '{"1":"a","null":"b","1.5":0,"2":0}'),
    ({False: 0, True: 1, math.inf: 2, Level.LOW: 3}, '{"false":0,"true":3,"Infinity":2}'),
    ({Level.LOW: 2, Word.HELLO: 3}, '{"1":2,"hello":3}'),
    ({SOME_ID: 1, date(2026, 1, 2): 2, Colour.RED: 3, Colour.PATH: 4},
     f'{{"{SOME_ID}":1,"2026-01-02":2,"red":3,"/red":4}}'),
    (Model(a=[Model(b=date(2026, 1, 2))]), '{"a":[{"b":"2026-01-02"}]}'),
    (BareModel(), '{"mode":"json"}'),
    (ModelInC(), '{"mode":"json"}'),
    (OldModel(), '{"mode":"json"}'),
    (OpenModel(), '{"mode":"json","warnings":false}'),
    (Scalar(5), "5"),
    (Scalar(datetime(2026, 1, 2)), '"2026-01-02T00:00:00"'),  # noqa: DTZ001  # as numpy's are
    (Instant(), '"2026-01-01T00:00:00.000000001"'),
    (Span(1_500_000_000, "ns"), "1.5"),
    (Chatty([1]), '["something else"]'),
]  # fmt: skip


@pytest.mark.parametrize(("value", "text"), KINDS, ids=lambda value: type(value).__name__)
def test_each_kind_of_object_becomes_one_thing_whatever_stands_beside_it(value: Any, text: str) -> None:
    line = f'{{"content":[{{"it":{text}}}]'
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert encode_line({"content": [{"it": value}]}).data == f"{line}}}\n".encode()
        beside = encode_line({"content": [{"it": value}], "else": [math.nan, "\ud800", {1}, {1: 2}]})
    assert beside.data == f'{line},"else":[null,"\ufffd",[1],{{"1":2}}]}}\n'.encode()
    assert beside.replaced == 2


@pytest.mark.parametrize(
    "message",
    [Model(role="user", n=1), Plain(role="user", n=1), Scalar(Model(role="user", n=1)), {"role": "user", "n": 1}],
)
def test_an_object_may_be_the_message(message: Any) -> None:
    assert encode_line(message).data == b'{"role":"user","n":1}\n'


def test_a_dataclass_may_be_the_message() -> None:
    assert encode_line(Usage(1)).data == b'{"tokens":1,"when":"2026-01-02","parts":[]}\n'


plain_atoms = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
odd_atoms = st.sampled_from([value for value, _ in KINDS] + [object(), 1j, Array(), LongDouble(), Usage, ...])
odd_keys = st.text(max_size=3) | st.integers(0, 3) | st.sampled_from([None, True, 1.5, SOME_ID, (1,), Colour.RED])
odd_values = st.recursive(
    plain_atoms | odd_atoms,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3) | odd_keys, inner, max_size=4)
        | st.builds(Small, inner)
        | st.builds(lambda x: Plain(x=x), inner)
    ),
    max_leaves=12,
)


def outcome(message: Any, default: Callable[[Any], Any] | None = None) -> bytes | None:
    try:
        return encode_line(message, default=default).data
    except BadMessage:
        return None


@given(odd_values, odd_values)
def test_acceptance_never_depends_on_what_else_the_message_holds(one: Any, other: Any) -> None:
    alone, beside = outcome({"x": one}), outcome({"y": other})
    together = outcome({"x": one, "y": other})
    if alone is None or beside is None:
        assert together is None
    else:
        assert together == alone[:-2] + b"," + beside[1:]
        assert json.loads(together) == json.loads(alone) | json.loads(beside)


@given(odd_values)
def test_an_object_in_a_dataclass_is_what_it_is_in_a_dict(value: Any) -> None:
    assert outcome(Small(value)) == outcome({"x": value}) == outcome(Plain(x=value)) == outcome(Model(x=value))


@pytest.mark.parametrize(
    "spellings",
    [
        [1, 1.0, True, Decimal(1), Decimal("1.0")],
        [datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 2, 1, tzinfo=timezone(timedelta(hours=1)))],
        [time(1), time(1, fold=1)],
        [Path("a"), PurePosixPath("a")],
        [SOME_ID, str(SOME_ID)],
    ],
)
def test_values_that_are_equal_and_written_in_another_way_are_seen_as_edits(spellings: list[Any]) -> None:
    for one in spellings:
        shape = copy_shape({"a": [one]})
        assert [is_like(shape, {"a": [other]}) for other in spellings] == [other is one for other in spellings]


def test_a_set_is_in_one_order_whatever_order_it_has() -> None:
    for number in range(50):
        words = [f"w{number * k % 53}" for k in range(1, 20)]
        assert json.loads(encode_line({"a": set(words)}).data) == {"a": sorted(set(words))}


# What is refused


def failing(value: Any) -> Any:
    raise KeyError("canary")


class Foreign:
    def __repr__(self) -> str:
        return "canary"


class Failing:
    def model_dump(self, mode: str) -> Any:
        raise ValueError("canary")


@dataclass
class Unset:
    missing: int = field(init=False)


def loop() -> dict[str, Any]:
    message: dict[str, Any] = {"a": {"b": []}}
    message["a"]["b"].append(message["a"])
    return message


REFUSED: list[tuple[Any, str]] = [
    ({"content": [{"text": Foreign()}]}, r"content\[0\]\.text: JSON has no Foreign: .*HistorySink\(default=…\)"),
    ({"content": (1, {"a b": {"c": 1j}})}, r"content\[1\]\[…\]\.c: JSON has no complex: "),
    ({"canary canary": {"x" * 33: {"é": {"_1": ...}}}}, r"\[…\]\[…\]\[…\]\._1: JSON has no ellipsis: "),
    ({"a": {"b": {Foreign()}}}, r"a\.b\[…\]: JSON has no Foreign"),
    ({"a": Usage(1, parts=[2, Foreign()])}, r"a\.parts\[1\]: JSON has no Foreign"),
    ({"a": Usage}, "a: JSON has no type"),
    ({"a": MagicMock()}, "a: JSON has no MagicMock"),
    ({"a": Array()}, "a: JSON has no Array"),
    ({"a": LongDouble()}, "a: JSON has no LongDouble"),
    ({"a": [failing]}, r"a\[0\]: JSON has no function"),
    ({"a": {("canary",): 1}}, "a: it has a key that is a tuple, not a text"),
    ({"a": {1: 1, "1": 2}}, "a: two keys that become the same one as text"),
    ({"a": Failing()}, "a: ValueError while the Failing was read: "),
    ({"a": Unset()}, "a: AttributeError while the Unset was read"),
    ({"a": [10**5000]}, r"a\[0\]: an integer with more digits than Python writes"),
    (loop(), r"a\.b\[0\]: it contains itself"),
    (Foreign(), "a message is a JSON object or a line of one, not Foreign: .*default="),
    (Model, "a message is a JSON object or a line of one, not type"),
    ([{"role": "user"}], "a message is a JSON object .*, not list.*append"),
    (datetime(2026, 1, 2, tzinfo=UTC), "a message is a JSON object or a line of one, not datetime"),
    ({"a": json.loads('{"b":' * 30 + "0" + "}" * 30) | {"b": Foreign()}}, "a.b: "),
]


@pytest.mark.parametrize(("message", "reason"), REFUSED, ids=lambda value: type(value).__name__)
def test_what_json_cannot_carry_is_refused_with_its_path_and_a_remedy(message: Any, reason: str) -> None:
    with pytest.raises(BadMessage, match=f"^{reason}") as caught:
        encode_line(message)
    assert "canary" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_long_path_is_shown_from_its_end() -> None:
    message: Any = Foreign()
    for number in range(40):
        message = {f"k{number}": [message]}
    with pytest.raises(BadMessage, match=r"^…(\.k\d\[0\]){8}: JSON has no Foreign"):
        encode_line(message)


def test_to_refuse_what_json_has_not_says_where_it_is() -> None:
    for value in (math.nan, -math.inf, "\ud800", Path("\udcff"), Scalar(math.nan)):
        with pytest.raises(BadMessage, match=r'^a\[1\]: .*unencodable="replace"'):
            encode_line({"a": [1, value]}, "refuse")
        assert encode_line({"a": [1, value]}).replaced == 1


# default=


def test_what_the_library_does_not_know_is_asked_of_default_and_all_else_is_not() -> None:
    asked = []

    def default(value: Any) -> Any:
        asked.append(type(value).__name__)
        return {"real": value.real, "when": date(2026, 1, 2), "again": Foreign()} if value == 1j else str(value)

    message = {"a": [1j, date(2026, 1, 1), {1: SOME_ID}]}
    line = f'{{"a":[{{"real":0.0,"when":"2026-01-02","again":"canary"}},"2026-01-01",{{"1":"{SOME_ID}"}}]}}\n'
    assert encode_line(message, default=default).data == line.encode()
    assert asked == ["complex", "Foreign"]
    assert encode_line(Foreign(), default=lambda value: {"it": repr(value)}).data == b'{"it":"canary"}\n'


def unknowing(value: Any) -> Any:
    raise TypeError("canary")


class Onion:
    pass


@pytest.mark.parametrize(
    ("default", "reason"),
    [
        (failing, "a: default= failed with KeyError for a Onion"),
        (unknowing, "a: JSON has no Onion"),
        (lambda value: value, "a: JSON has no Onion"),
        (lambda value: Onion(), "nested too deeply, or without an end"),
        (lambda value: [value], r"a\[0\]: it contains itself"),
    ],
)
def test_a_default_that_does_not_help_is_said_without_a_word_of_the_message(default: Any, reason: str) -> None:
    with pytest.raises(BadMessage, match=f"^{reason}"):
        encode_line({"a": Onion()}, default=default)
