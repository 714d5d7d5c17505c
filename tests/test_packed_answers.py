"""Bytes of a log on their way back: packed where both sides know of it, asked for ahead, no more than asked for."""

import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

import pytest

from history_sink import Fault, HistorySink, Malformed, PointerHandle
from history_sink.client.ranges import RANGE_BYTES, RANGES_AHEAD, Source, read_source
from history_sink.protocol.contract import PACKED, RESOLVE
from history_sink.protocol.packing import ZLIB, pack_answer, unpack_answer
from history_sink_worker.intake.privacy import PackedBytes
from plain_store import lines_of, messages
from stack.stack import producer_environment
from stack.worker import Worker

_names = count(1)
TEXT = b"what agents say repeats itself\n" * 10_000


@pytest.fixture
def sink(environment: Mapping[str, str], worker: Worker) -> Iterator[HistorySink]:
    """With a worker and a store behind it."""
    del worker
    with HistorySink.from_env(producer_environment(environment)) as sink:
        yield sink


@pytest.fixture
def session() -> str:
    return f"packed-{next(_names)}"


def test_what_is_packed_comes_back_whole() -> None:
    packed = pack_answer(TEXT)
    assert packed
    assert len(packed["body"]) < len(TEXT) / 10
    assert unpack_answer(packed, len(TEXT)) == TEXT


@pytest.mark.parametrize("body", [b"short\n" * 100, os.urandom(200_000)], ids=["short", "nothing to squeeze"])
def test_what_is_not_worth_it_is_sent_as_it_is(body: bytes) -> None:
    assert pack_answer(body) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"encoding": "zstd"},
        {"body": "text"},
        {"size_bytes": len(TEXT) - 1},
        {"size_bytes": len(TEXT) + 1},
        {"size_bytes": -1},
        {"body": b"no zlib"},
        {"body": zlib.compress(bytes(10_000_000))},
    ],
)
def test_an_answer_that_is_not_what_was_asked_for_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        unpack_answer({**(pack_answer(TEXT) or {}), **changed}, len(TEXT))


def test_no_more_is_unpacked_than_was_asked_for() -> None:
    with pytest.raises(Malformed):
        unpack_answer(pack_answer(TEXT) or {}, len(TEXT) - 1)


def test_events_show_how_long_it_is_and_no_content() -> None:
    assert repr(PackedBytes(pack_answer(TEXT) or {})) == f"<{len(TEXT)} bytes>"


def test_a_worker_packs_for_those_who_say_that_they_can_read_it(sink: HistorySink, session: str) -> None:
    history = messages(*(f"{number} {'the same again ' * 500}" for number in range(30)))
    sink.save(session, history)
    assert sink.flush(session, 30)
    whole = b"".join(lines_of(history))
    asked = sink.pointer(session).encode()
    packed = sink._broker.call(RESOLVE, (asked,), {}, 20, headers={PACKED: ZLIB})
    assert unpack_answer(packed, len(whole)) == whole
    assert sink._broker.call(RESOLVE, (asked,), {}, 20) == whole  # an older library, or a plain client
    assert sink._broker.call(RESOLVE, (asked,), {}, 20, headers={PACKED: "of a later version"}) == whole
    assert sink.resolve(sink.pointer(session)) == b"".join(sink.read(session)) == whole


def test_a_worker_of_before_answers_with_bytes(
    sink: HistorySink, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("history_sink.client.reading.PACKED", "x-not-known")
    history = messages("a" * 100_000)
    sink.save(session, history)
    assert sink.flush(session, 30)
    assert b"".join(sink.read(session)) == lines_of(history)[0]


def test_ranges_are_asked_for_ahead_and_come_in_order() -> None:
    body = os.urandom(7 * RANGE_BYTES + 5)
    begun: list[int] = []
    taken: list[int] = []

    def begin(handle: PointerHandle) -> Callable[[], bytes | Fault]:
        start, end = handle.byte_range or (0, 0)
        begun.append(start)

        def take() -> bytes | Fault:
            taken.append(start)
            is_first_time = start == 2 * RANGE_BYTES
            return Fault("backend_error", "for a moment") if is_first_time else body[start:end]

        return take

    def resolve(handle: PointerHandle) -> bytes | Fault:
        start, end = handle.byte_range or (0, 0)
        return body[start:end]

    source = Source("bucket", "history/s/history.jsonl", len(body), "")
    pieces = []
    for piece in read_source(resolve, source, lambda _: None, begin):
        pieces.append(piece)
        assert len(begun) <= len(taken) + RANGES_AHEAD
    assert b"".join(pieces) == body
    assert begun == taken == [*range(0, len(body), RANGE_BYTES)]
