"""A plain client's history, of which only what is new is decoded: the same messages and lines as of all of it."""

import json
import random
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
from kombu.message import Message
from kombu.utils.json import dumps

from history_sink.errors import BadMessage
from history_sink.protocol.chain import START, Junction, walk
from history_sink.protocol.lines import encode_line
from history_sink_worker.intake import whole_history
from history_sink_worker.intake.admission import find_fault
from history_sink_worker.intake.description import describe
from history_sink_worker.intake.whole_history import Prefix, Prefixes, WholeHistory, decode
from test_golden import decoded

UPLOAD = "history_sink.upload_history"
EMBED = '{"callbacks":null,"errbacks":null,"chain":null,"chord":null}'
ODD_TEXTS = [
    *('{"a":1,"a":2}', '{"b":1,"a":2}', '{"a":1.0,"b":1e400,"c":-0.0,"d":1E5}', '{"n":123456789012345678901234567890}'),
    *('{"s":"\\ud800"}', '{"s":"\\ud83d\\udc22 \\u0041"}', '{"s":"żółw 🐢\u2028"}', '{"x":[NaN,Infinity,-Infinity]}'),
    *('{"s":"]], {}, {}]"}', '{"s":"\\"}]"}', '{"":{"":[[],{}]}}', '"a line"', "{}", '{"s":"\\\\"}', '{ "a" :\n1 }'),
]


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> Prefixes:
    """What this process knows, nothing at first."""
    made = Prefixes()
    monkeypatch.setattr(whole_history, "_known", made)
    return made


def body_of(texts: list[str], gap: str = ", ", session: str = "s", kwargs: str = "{}") -> bytes:
    return f'[["{session}", [{gap.join(texts)}]], {kwargs}, {EMBED}]'.encode("utf-8", "surrogatepass")


def take(body: bytes) -> WholeHistory:
    found = decode(body)
    assert found is not None
    history = found[0][1]
    assert isinstance(history, WholeHistory)
    return history


def lines_of(messages: Any) -> list[bytes]:
    return [encode_line(each).data for each in messages]


def read(body: bytes) -> WholeHistory:
    """As the task does it: the lines of the rest, and what is then known."""
    history = take(body)
    *_, end = (history.start, *walk(history.start, lines_of(history.rest)))
    history.remember(end)
    return history


def end_of(messages: Any) -> Junction:
    *_, end = (START, *walk(START, lines_of(messages)))
    return end


def texts_of(rng: random.Random) -> Iterator[str]:
    golden = [given for given in decoded("inputs.jsonl") if isinstance(given, dict)]
    while True:
        text = rng.choice(ODD_TEXTS) if rng.random() < 0.5 else json.dumps(rng.choice(golden), ensure_ascii=False)
        yield text


def test_a_history_that_goes_on_is_decoded_from_where_it_goes_on() -> None:
    texts = [f'{{"n": {number}}}' for number in range(50)]
    assert read(body_of(texts[:40])).start == START
    grown = read(body_of(texts))
    assert (grown.start, [*grown.rest]) == (end_of([*grown][:40]), [{"n": number} for number in range(40, 50)])
    assert [*grown] == [{"n": number} for number in range(50)]
    again = read(body_of(texts))
    assert (len(again), again.rest) == (50, [])


@pytest.mark.parametrize("seed", range(40))
def test_what_is_decoded_in_parts_is_what_json_makes_of_the_whole(seed: int) -> None:
    """Grown, cut, edited and damaged bodies in any order, beside `json.loads` and the lines of all messages."""
    rng = random.Random(seed)
    source = texts_of(rng)
    texts: list[str] = [next(source) for _ in range(3)]
    gap, skipped = rng.choice([", ", ",", " ,\n\t "]), 0
    for _ in range(60):
        luck = rng.random()
        if luck < 0.6:
            texts += [next(source) for _ in range(rng.randint(0, 3))]
        elif luck < 0.75 and len(texts) > 1:
            texts = texts[: rng.randint(1, len(texts))]
        elif luck < 0.85:
            texts[rng.randrange(len(texts))] = next(source)
        body = bytearray(body_of(texts, gap))
        if luck > 0.85:
            at = rng.randrange(len(body))
            body[at : at + rng.randint(0, 2)] = rng.choice([b"", b"]", b'"', b"}", b",", b"\\", b"0", b"\xff", b"{}"])
        skipped += _check_as_whole(bytes(body))
    assert skipped > 50, "or nothing has been shown"


def _check_as_whole(body: bytes) -> int:
    """How many of the messages were known."""
    found = decode(body)
    if found is None:
        return 0
    expected = json.loads(body)
    history = found[0][1]
    whole, args = [*history], [expected[0][0], *expected[0][2:]]
    assert (repr(whole), [found[0][0], *found[0][2:]], found[1:]) == (repr(expected[0][1]), args, expected[1:])
    assert repr(whole[history.start.messages :]) == repr(history.rest)
    assert len(history) == len(whole)
    try:
        end = end_of(whole)
    except BadMessage:
        return 0
    assert end_of(whole[: history.start.messages]) == history.start
    history.remember(end)
    return int(history.start.messages)


def test_one_other_byte_anywhere_before_leaves_nothing_known() -> None:
    texts = ['{"text": "abc"}', '{"text": "def"}']
    for at in range(len(body_of(texts))):
        read(body_of(texts))
        body = bytearray(body_of([*texts, '{"n": 1}']))
        body[at] = ord("x") if body[at] != ord("x") else ord("y")
        found = decode(bytes(body))
        if at < body_of(texts).index(b"]]") and found is not None:
            assert found[0][1].start == START


def test_a_text_within_a_message_is_not_taken_for_the_end_of_the_list() -> None:
    texts = ['{"s": "]], {}, {}]"}', '{"s": "[[\\"s\\", ["}']
    read(body_of(texts))
    grown = take(body_of([*texts, '{"n": 1}']))
    assert (grown.start.messages, grown.rest) == (2, [{"n": 1}])


@pytest.mark.parametrize(
    "body",
    [
        body_of([]),
        body_of(['{"n": 1}'], kwargs='{"append": true}'),
        body_of(['{"n": 1}'])[:-1],
        body_of(['{"n": 1}']) + b"x",
        b'[["s"], {"messages": [{"n": 1}]}, null]',
        b'[["s", [{"n": 1}], 2], {}, null]',
        b'[["s", "text"], {}, null]',
        b'[["s/../t", [{}]], {}, null]',
        b'{"args": ["s", []]}',
        "\ufeff".encode() + body_of(['{"n": 1}']),
        body_of(['{"n": 1}']).decode().encode("utf-16"),
        b'[["s", ' + b"[" * 100_000,
    ],
    ids=lambda body: body[:24],
)
def test_what_is_no_history_by_itself_is_left_to_the_decoder(body: bytes) -> None:
    assert decode(body) is None


def test_something_said_beside_a_known_history_makes_it_no_history_by_itself() -> None:
    read(body_of(['{"n": 1}']))
    assert decode(body_of(['{"n": 1}', '{"n": 2}'], kwargs='{"append": true}')) is None


def test_a_task_that_is_sent_again_carries_all_messages_and_shows_none() -> None:
    texts = [f'{{"n": {number}}}' for number in range(5)]
    read(body_of(texts[:3]))
    history = take(body_of(texts))
    assert history.start.messages == 3
    assert json.loads(dumps(["s", history])) == ["s", json.loads(f"[{','.join(texts)}]")]
    assert (repr(history), describe(UPLOAD, ["s", history], {})["messages"]) == ("<5 messages>", 5)


def test_only_an_upload_whose_task_runs_in_this_process_is_decoded_so() -> None:
    def receive(task: str, content_type: str = "application/json") -> Any:
        info = {"routing_key": "history.upload"}
        said = {"task": task, "id": "1"}
        body: Any = body_of(['{"n": 1}'])
        return Message(body, content_type=content_type, content_encoding="utf-8", headers=said, delivery_info=info)

    for message, is_shared in [(receive(UPLOAD), False), (receive("history_sink.status"), True)]:
        assert find_fault(message, is_shared) is None
        assert message.payload[0] == ["s", [{"n": 1}]]
    message = receive(UPLOAD)
    assert find_fault(message, is_memory_shared=True) is None
    assert isinstance(message.payload[0][1], WholeHistory)


def test_so_many_sessions_are_kept_the_newest_last() -> None:
    prefixes = Prefixes(kept=2)
    for opening in (b"a", b"b", b"a", b"c"):
        prefixes.put(opening, Prefix(0, sha256().digest(), Junction(1, 1, opening)))
    found = [prefixes.find(opening, b"")[0].end.chain for opening in (b"a", b"b", b"c")]
    assert found == [b"a", START.chain, b"c"]
