"""Messages that change after they were saved, and those that cannot become a line."""

import copy
from typing import Any

import pytest

from history_sink.ledger.history import RECENT_MESSAGES, ROLLING_MESSAGES
from history_sink.ledger.ledger import Ledger
from history_sink.protocol.contract import LINE_BYTES
from history_sink.protocol.lines import encode_line
from plain_store import PlainStore, lines_of, message, messages

from .play import hand_over, save


def test_an_edit_in_place_of_a_late_message_is_seen_at_once(ledger: Ledger, store: PlainStore) -> None:
    history = messages(*map(str, range(200)))
    save(ledger, store, history)
    history[-RECENT_MESSAGES]["content"][0]["text"] = "edited"
    pieces = save(ledger, store, history)
    assert [line for piece in pieces for line in piece.upload.lines] == lines_of(history)
    assert ledger.log.branch is not None


@pytest.mark.parametrize(("old", "new"), [(1, True), (1, 1.0), (0.0, -0.0), (None, 0), ("1", 1), ([], ())])
def test_values_that_python_holds_equal_are_told_apart(ledger: Ledger, store: PlainStore, old: Any, new: Any) -> None:
    history = [message("a", value=[old])]
    save(ledger, store, history)
    history[0]["value"][0] = new
    is_edit = encode_line(history[0]).data != store.logs[None][0]
    assert bool(save(ledger, store, history)) == is_edit


@pytest.mark.parametrize("index", [0, 50, 99])
def test_a_replaced_message_is_seen_at_once_wherever_it_is(ledger: Ledger, store: PlainStore, index: int) -> None:
    history = messages(*map(str, range(100)))
    save(ledger, store, history)
    history[index] = message("edited")
    save(ledger, store, history)
    assert store.logs[ledger.log.branch] == lines_of(history)
    assert ledger.log.branch is not None


def test_an_edit_in_place_of_an_early_message_is_seen_within_a_round_of_saves(
    ledger: Ledger, store: PlainStore
) -> None:
    history = messages(*map(str, range(500)))
    save(ledger, store, history)
    history[3]["content"][0]["text"] = "edited"
    saves = 0
    while ledger.log.branch is None:
        history.append(message(f"more {saves}"))
        save(ledger, store, history)
        saves += 1
        assert saves <= 500 // ROLLING_MESSAGES + 2
    assert store.logs[ledger.log.branch] == lines_of(history)


def test_a_look_at_the_whole_sees_an_early_edit_in_place(ledger: Ledger, store: PlainStore) -> None:
    history = messages(*map(str, range(500)))
    save(ledger, store, history)
    history[100]["role"] = "tool"
    hand_over(ledger, store, whole=True)
    assert store.logs[ledger.log.branch] == lines_of(history)


def test_an_edit_while_the_broker_takes_the_message_is_not_missed(ledger: Ledger, store: PlainStore) -> None:
    history = messages("a", "b")
    ledger.give(history)
    ledger.decide()
    piece = ledger.next_piece()
    assert piece is not None
    history[1]["content"][0]["text"] = "b, and more"
    ledger.accept(piece)
    store.take(piece.upload)
    save(ledger, store, history)
    assert store.logs[ledger.log.branch] == lines_of(history)


def test_an_edit_while_the_store_is_asked_is_not_missed(ledger: Ledger, store: PlainStore) -> None:
    history = messages("a", "b")
    store.logs[None] = lines_of(history)
    ledger.give(history)
    question = ledger.question()
    history[1]["content"][0]["text"] = "b, and more"
    ledger.learn(store.answer(question.junctions()), question)
    hand_over(ledger, store)
    save(ledger, store, history)
    assert store.logs[ledger.log.branch] == lines_of(history)


@pytest.mark.parametrize("count", [1, 500])
def test_what_is_watched_for_edits_is_the_list_that_was_given_last(
    ledger: Ledger, store: PlainStore, count: int
) -> None:
    history = messages(*map(str, range(count)))
    ledger.give(history)
    ledger.decide()  # and the broker is away
    history = copy.deepcopy(history)
    save(ledger, store, history)
    history[0]["content"][0]["text"] = "edited"
    hand_over(ledger, store, whole=True)
    assert store.logs[ledger.log.branch] == lines_of(history)


def test_a_message_that_does_not_compare_is_encoded_instead(ledger: Ledger, store: PlainStore) -> None:
    class Hostile(dict[str, Any]):
        def __eq__(self, other: object) -> bool:
            raise RuntimeError("not to be compared")

        __hash__ = None

    history: list[Any] = [Hostile(role="user"), message("b")]
    save(ledger, store, history)
    assert save(ledger, store, [Hostile(role="user"), history[1]]) == []
    save(ledger, store, [Hostile(role="tool"), history[1]])
    assert ledger.log.branch is not None


def test_what_comes_before_a_bad_message_is_handed_over(ledger: Ledger, store: PlainStore) -> None:
    history = [message("a"), {"role": object()}, message("c")]
    save(ledger, store, history)
    assert store.logs[None] == lines_of(history[:1])
    assert ledger.refusal is not None
    assert ledger.refusal.index == 1
    assert save(ledger, store, history) == []
    assert ledger.refusal is not None
    assert ledger.refusal.index == 1
    history[1] = message("b")
    save(ledger, store, history)
    assert store.logs[None] == lines_of(history)


def test_an_edit_into_a_bad_message_is_refused_and_changes_nothing(ledger: Ledger, store: PlainStore) -> None:
    history = messages("a", "b", "c")
    save(ledger, store, history)
    history[1]["content"] = object()
    assert save(ledger, store, history) == []
    assert ledger.refusal is not None
    assert ledger.refusal.index == 1
    assert list(store.logs) == [None]


def test_a_line_over_the_limit_is_refused(ledger: Ledger, store: PlainStore) -> None:
    save(ledger, store, ["{}", b'{"a":"' + b"x" * LINE_BYTES + b'"}'])
    assert store.logs[None] == [b"{}\n"]
    assert ledger.refusal is not None
    assert ledger.refusal.index == 1
    assert str(LINE_BYTES) in ledger.refusal.reason


def test_a_refusal_goes_with_the_message_that_it_is_about() -> None:
    ledger, store = Ledger(), PlainStore()
    ledger.give([message("a"), object()])  # type: ignore[list-item]  # what cannot become a line
    ledger.question()
    assert ledger.refusal is not None
    ledger.give(messages("a"))
    hand_over(ledger, store)
    assert ledger.refusal is None
    assert ledger.is_handed_over
