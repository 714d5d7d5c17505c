"""Dead letters as objects: their names, their form, and what is the same message. Pure."""

import base64
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history_sink.errors import Malformed
from history_sink_worker.dead import letter_format
from history_sink_worker.dead.builder import letter_of, letter_of_record
from history_sink_worker.dead.letter_format import Letter
from history_sink_worker.headers import ABANDONED, FIRST_TRIED

NOW = 1_795_666_500.123
QUEUES = ("history.upload", "history.read")
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
odd = plain | st.binary() | st.dictionaries(st.just("__type__"), st.just("uuid"))


def some_letter(**fields: Any) -> Letter:
    base = Letter("id", "task", "s", "why", 1, NOW - 9, NOW, "history.upload", b"body", 4, headers={"id": "id"})
    return replace(base, **fields)


def a_message(**fields: Any) -> Any:
    usual = {
        "body": b"[]",
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "headers": {"id": "an-id", "task": "history_sink.upload_history"},
        "properties": {"delivery_tag": "t"},
        "delivery_info": {"exchange": "", "routing_key": "history.read"},
    }
    return SimpleNamespace(**{**usual, **fields})


def test_names_sort_by_time_and_are_read_again() -> None:
    key = letter_format.name_letter("history/", NOW, "0a1b-2c")
    assert key == "history/.dead/20261126T041500.123Z-0a1b-2c"
    assert letter_format.parse_name("history/", key) == ("20261126T041500.123Z", "0a1b-2c")
    assert letter_format.parse_name("history/", "history/.dead/notes.txt") is None
    assert letter_format.parse_name("other/", key) is None


@given(st.floats(0, 4e9), st.floats(0, 4e9), st.text(), st.text())
def test_any_task_id_makes_a_name(a: float, b: float, one: str, other: str) -> None:
    names = [letter_format.name_letter("p/", a, one), letter_format.name_letter("p/", b, other)]
    assert all(letter_format.parse_name("p/", name) and name.isascii() and name.count("/") == 2 for name in names)
    if abs(a - b) > 0.002:
        assert (names[0] < names[1]) == (a < b)


@given(st.binary(), plain, plain, st.text(), st.text())
def test_what_is_written_is_read_again(body: bytes, headers: Any, properties: Any, task_id: str, kind: str) -> None:
    letter = some_letter(
        body=body, size_bytes=len(body), headers=headers, properties=properties, task_id=task_id, content_type=kind
    )
    try:
        again = letter_format.decode(letter_format.encode(letter))
    except Malformed:  # only `remains` sees to it that kombu's JSON can carry what it is given
        assert "__type__" in json.dumps([headers, properties])
        return
    assert again == letter
    assert letter_format.encode(letter).endswith(b"\n" + body)


@given(st.binary())
def test_any_other_object_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        letter_format.decode(data)


@given(odd, odd, odd, odd, odd, odd)
def test_any_message_makes_a_letter(a: Any, b: Any, c: Any, d: Any, e: Any, f: Any) -> None:
    message = a_message(body=a, content_type=b, headers=c, properties=d if isinstance(d, dict) else {}, delivery_info=e)
    letter = letter_of(message, "why", queues=QUEUES, received=NOW - 1, now=NOW)
    assert letter_format.decode(letter_format.encode(letter)) == letter
    if isinstance(a, bytes):
        assert letter.body == a
    assert letter.queue in (*QUEUES, "history.upload")
    letter_format.identify(letter)
    letter_format.headers_to_replay(letter, "name")
    letter_format.properties_to_replay(letter)


@given(st.binary() | plain.map(lambda value: json.dumps(value).encode()))
def test_any_parked_record_makes_a_letter_that_holds_it(record: bytes) -> None:
    letter = letter_of_record(record, "history.read", NOW)
    assert letter_format.decode(letter_format.encode(letter)) == letter
    assert (letter.form, letter.body) == ("raw", record)


def test_a_letter_says_how_often_and_since_when() -> None:
    headers = {"retries": 3, ABANDONED: 2, FIRST_TRIED: NOW - 60}
    letter = letter_of(a_message(headers=headers), "why", queues=QUEUES, received=NOW - 1, now=NOW)
    assert (letter.attempts, letter.first, letter.last) == (6, NOW - 60, NOW)
    never = letter_of(a_message(headers={FIRST_TRIED: NOW + 60}), "why", queues=QUEUES, received=NOW - 1, now=NOW)
    assert (never.attempts, never.first) == (1, NOW - 1)


@pytest.mark.parametrize("shown", ["('words of a transcript',)", "('s', [{'role': 'user'}])", 5, None, "('a', 'b')"])
def test_a_session_is_guessed_from_nothing_that_may_be_content(shown: object) -> None:
    assert letter_format.guess_session({"argsrepr": shown}) is None
    assert letter_format.guess_session({"argsrepr": "('s-1', None)"}) == "s-1"


def test_a_message_is_the_same_however_often_it_is_delivered_and_another_one_when_it_is_replayed() -> None:
    first = some_letter()
    again = some_letter(headers={"id": "id", "redelivered": True, ABANDONED: 2}, last=NOW + 5)
    replayed = some_letter(headers=letter_format.headers_to_replay(first, "name"))
    assert letter_format.identify(first) == letter_format.identify(again)
    assert (
        len(
            {
                letter_format.identify(first),
                letter_format.identify(replayed),
                letter_format.identify(some_letter(body=b"other")),
            }
        )
        == 3
    )
    assert [letter_format.is_second_delivery(each) for each in (first, again, replayed)] == [False, True, True]
    assert letter_format.is_second_delivery(some_letter(properties={"delivery_info": {"redelivered": True}}))


def test_a_replay_leaves_out_what_has_ended_the_message() -> None:
    headers = {"id": "id", "expires": "2026-01-01T00:00:00", ABANDONED: 10, "redelivered": True}
    assert letter_format.headers_to_replay(some_letter(headers=headers), "name") == {
        "id": "id",
        "expires": None,
        "x-replayed": "name",
    }


def test_a_message_abandoned_ten_times_is_told_from_one_that_cannot_be_read() -> None:
    headers = {"id": "i", "task": "t", "retries": 0, ABANDONED: 10, "argsrepr": "('s', None)"}
    properties = {"body_encoding": "base64", "delivery_tag": "x"}
    envelope = {"body": base64.b64encode(b"\x80").decode(), "headers": headers, "properties": properties}
    letter = letter_of_record(json.dumps(envelope).encode(), "history.read", NOW)
    assert (letter.form, letter.body, letter.queue, letter.session) == ("message", b"\x80", "history.read", "s")
    assert (letter.task_id, letter.attempts) == ("i", 10)
    assert letter.reason.startswith("abandoned 10 times")
    claim = json.dumps([envelope, "", "history.maintenance"]).encode()
    assert letter_of_record(claim, "", NOW).queue == "history.maintenance"
    unreadable = letter_of_record(b'{"body": 5}', "history.read", NOW)
    assert (unreadable.form, unreadable.reason) == ("raw", "its envelope cannot be read")
