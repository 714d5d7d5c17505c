"""What a producer knows of one session, against a plain model of a store and with random agents."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from history_sink.ledger.history import RECENT_MESSAGES, ROLLING_MESSAGES
from history_sink.ledger.junctions import Points
from history_sink.ledger.known_logs import KEPT_LOGS, name_branch
from history_sink.ledger.ledger import CountedUpload, Ledger
from history_sink.protocol.chain import START, shorten
from history_sink.protocol.contract import LINE_BYTES, SAVE_BYTES, branch_name
from history_sink.protocol.lines import encode_line
from plain_store import PlainStore, ends_of, lines_of, message, messages


def hand_over(ledger: Ledger, store: PlainStore, whole: bool = False) -> list[CountedUpload]:
    """What a save does with a broker that takes everything and a worker that is at once done."""
    ledger.decide(whole)
    pieces = []
    while piece := ledger.next_piece():
        ledger.accept(piece)
        pieces.append(piece)
        outcome, offset = store.take(piece.upload)
        if outcome == "diverged":
            ledger.part(piece.upload.branch, offset)
        else:
            ledger.confirm(piece.upload.branch, offset)
    return pieces


def save(ledger: Ledger, store: PlainStore, history: list[Any]) -> list[CountedUpload]:
    ledger.give(history)
    if ledger.is_uncertain:
        ask(ledger, store)
    return hand_over(ledger, store)


def ask(ledger: Ledger, store: PlainStore) -> None:
    question = ledger.question()
    ledger.learn(store.answer(question.junctions()), question)


def restart(store: PlainStore, history: list[Any]) -> Ledger:
    """A new process, whose first save has been answered."""
    ledger = Ledger()
    ledger.give(history)
    ask(ledger, store)
    return ledger


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def store() -> PlainStore:
    return PlainStore()


def test_only_what_is_new_is_handed_over(ledger: Ledger, store: PlainStore) -> None:
    history = messages("a", "b")
    assert [len(piece.upload.lines) for piece in save(ledger, store, history)] == [2]
    history.append(message("c"))
    (piece,) = save(ledger, store, history)
    assert piece.upload.start == ends_of(lines_of(history))[2]
    assert piece.upload.lines == tuple(lines_of(history)[2:])
    assert save(ledger, store, history) == []


def test_a_message_that_is_refused_is_still_refused_when_the_store_was_asked_first(store: PlainStore) -> None:
    store.logs[None] = lines_of(messages("a", "another's"))
    ledger = restart(store, messages("a"))
    hand_over(ledger, store)
    ledger.give([5, *messages("a")])  # type: ignore[list-item]
    assert ledger.is_uncertain
    ledger.question()  # which nobody answers
    assert hand_over(ledger, store) == []
    assert ledger.refusal
    assert ledger.refusal.index == 0
    ledger.give(messages("a"))
    hand_over(ledger, store)
    assert ledger.refusal is None


def test_no_branch_gets_the_name_of_a_log_that_was_told_to_go_another_way(store: PlainStore) -> None:
    history = messages(*map(str, range(KEPT_LOGS + 4)))  # more names than logs are kept in mind
    others = [None, *map(name_branch, ends_of(lines_of(history))[1:-1])]
    for branch in others:
        store.logs[branch] = lines_of(messages("another's"))
    ledger = restart(store, history)
    hand_over(ledger, store)
    assert store.strays == []
    assert store.logs[ledger.log.branch] == lines_of(history)


def test_an_agent_that_makes_its_messages_anew_for_each_save_sends_only_what_is_new(
    ledger: Ledger, store: PlainStore
) -> None:
    history = messages("a", "b")
    save(ledger, store, copy.deepcopy(history))
    history.append(message("c"))
    (piece,) = save(ledger, store, copy.deepcopy(history))
    assert piece.upload.lines == tuple(lines_of(history)[2:])


def test_what_the_broker_did_not_take_goes_with_the_next_save(ledger: Ledger, store: PlainStore) -> None:
    history = messages("a", "b")
    ledger.give(history)
    ledger.decide()
    assert ledger.next_piece() is not None
    assert not ledger.is_handed_over
    history.append(message("c"))
    (piece,) = save(ledger, store, history)
    assert piece.upload.lines == tuple(lines_of(history))
    assert ledger.is_handed_over


def test_a_save_is_cut_between_lines(ledger: Ledger, store: PlainStore) -> None:
    sizes = (SAVE_BYTES // 2, SAVE_BYTES // 3, SAVE_BYTES // 2, SAVE_BYTES * 2, 10)
    history = messages(*("x" * size for size in sizes))
    pieces = save(ledger, store, history)
    assert [len(piece.upload.lines) for piece in pieces] == [2, 1, 1, 1]
    assert [line for piece in pieces for line in piece.upload.lines] == lines_of(history)
    assert all(piece.upload.size_bytes <= SAVE_BYTES for piece in pieces if len(piece.upload.lines) > 1)


def test_a_shorter_list_that_is_a_prefix_sends_nothing(ledger: Ledger, store: PlainStore) -> None:
    history = messages("a", "b", "c")
    save(ledger, store, history)
    assert save(ledger, store, history[:1]) == []
    assert ledger.log.branch is None
    assert save(ledger, store, history) == []


def test_another_continuation_after_an_undo_opens_a_branch(ledger: Ledger, store: PlainStore) -> None:
    history = messages("a", "b", "c")
    save(ledger, store, history)
    save(ledger, store, history[:1])
    other = [history[0], message("x"), message("y")]
    (piece,) = save(ledger, store, other)
    behind_x = ends_of(lines_of(other))[2]
    assert piece.upload.branch == branch_name(behind_x.offset, shorten(behind_x.chain))
    assert piece.upload.start == START
    assert piece.upload.lines == tuple(lines_of(other))
    assert store.logs[None] == lines_of(history)


def test_after_an_undo_a_save_is_one_upload_of_the_new_lines_again(ledger: Ledger, store: PlainStore) -> None:
    history = messages("a", "b")
    save(ledger, store, history)
    other = [history[0], message("x")]
    save(ledger, store, other)
    other.append(message("y"))
    (piece,) = save(ledger, store, other)
    assert piece.upload.lines == tuple(lines_of(other)[2:])


def test_a_redo_finds_its_way_back(ledger: Ledger, store: PlainStore) -> None:
    history = messages("a", "b", "c")
    save(ledger, store, history)
    save(ledger, store, [history[0], message("x")])
    history.append(message("d"))
    (piece,) = save(ledger, store, history)
    assert piece.upload.branch is None
    assert piece.upload.lines == tuple(lines_of(history)[3:])


def test_a_redo_before_the_broker_took_the_branch_finds_its_way_back(ledger: Ledger, store: PlainStore) -> None:
    history = messages("a", "b", "c")
    save(ledger, store, history)
    ledger.give([history[0], message("x")])
    ledger.decide()  # and the broker is away
    assert save(ledger, store, history) == []
    assert ledger.log.branch is None


def test_two_undos_to_the_same_message_are_two_branches(ledger: Ledger, store: PlainStore) -> None:
    start = messages("a")
    for second in "b", "c", "d":
        save(ledger, store, [*start, message(second)])
    assert [log[1:] for log in store.logs.values()] == [lines_of(messages(second)) for second in "bcd"]
    assert not store.strays


def test_the_log_in_use_is_not_forgotten_for_all_the_others(ledger: Ledger, store: PlainStore) -> None:
    for number in range(3 * KEPT_LOGS):
        history = messages("a", f"b {number}")
        save(ledger, store, history)
    ask(ledger, store)  # and is told of all of them
    history.append(message("c"))
    ledger.give(history)
    ledger.decide()
    piece = ledger.next_piece()
    assert piece is not None
    ledger.accept(piece)  # and it is on its way
    ask(ledger, store)
    assert hand_over(ledger, store) == []


def test_a_branch_that_came_to_nothing_lends_its_name_to_no_other_history(ledger: Ledger, store: PlainStore) -> None:
    save(ledger, store, messages("a", "b"))
    ledger.give(messages("a", "x"))
    ledger.decide()  # and the broker is away
    other = messages("a", "y")
    save(ledger, store, other)
    assert ledger.log.branch == name_branch(ends_of(lines_of(other))[2])


def test_a_branch_of_a_branch_is_named_after_the_line_that_parts_it_from_both(
    ledger: Ledger, store: PlainStore
) -> None:
    save(ledger, store, messages("a", "b", "c"))
    save(ledger, store, messages("a", "x", "y"))
    third = messages("a", "x", "z")
    (piece,) = save(ledger, store, third)
    end = ends_of(lines_of(third))[3]
    assert piece.upload.branch == branch_name(end.offset, shorten(end.chain))


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


def graft(ledger: Ledger, store: PlainStore, *texts: str, is_exact: bool = False) -> None:
    """What a session does with lines that a stream carries, when a list comes."""
    sequel = Points(ledger.log.points.end)
    sequel.extend(lines_of(messages(*texts)))
    store.logs.setdefault(ledger.log.branch, []).extend(lines_of(messages(*texts)))
    ledger.graft(sequel, is_exact)


def test_a_list_after_appends_is_recognised(ledger: Ledger, store: PlainStore) -> None:
    save(ledger, store, messages("a"))
    graft(ledger, store, "b", "c")
    assert save(ledger, store, messages("a", "b", "c")) == []
    (piece,) = save(ledger, store, messages("a", "b", "c", "d"))
    assert piece.upload.lines == tuple(lines_of(messages("d")))
    assert ledger.log.branch is None


def test_where_appended_lines_lie_is_asked_unless_the_store_has_said_so(ledger: Ledger, store: PlainStore) -> None:
    graft(ledger, store, "b", is_exact=True)
    assert not ledger.is_uncertain
    assert ledger.log.confirmed == ledger.log.firm == 1
    graft(ledger, store, "c")
    assert ledger.is_uncertain
    assert ledger.log.firm == 1
    ledger.trust()
    assert not ledger.is_uncertain


def test_a_list_with_another_writers_lines_goes_on_on_the_log(ledger: Ledger, store: PlainStore) -> None:
    store.logs[None] = lines_of(messages("another's"))
    graft(ledger, store, "b")
    (piece,) = save(ledger, store, messages("another's", "b", "c"))
    assert piece.upload.lines == tuple(lines_of(messages("c")))
    assert store.logs == {None: lines_of(messages("another's", "b", "c"))}


def test_a_list_without_the_lines_that_came_between_goes_to_a_branch(ledger: Ledger, store: PlainStore) -> None:
    save(ledger, store, messages("a"))
    store.logs[None] += lines_of(messages("another's"))
    graft(ledger, store, "b")
    save(ledger, store, messages("a", "b", "c"))
    assert ledger.log.branch is not None
    assert store.logs[ledger.log.branch] == lines_of(messages("a", "b", "c"))
    assert not store.strays


def test_saves_that_the_store_lacks_are_sent_again_without_what_streams_carry(
    ledger: Ledger, store: PlainStore
) -> None:
    history = messages("a", "b", "c", "d")
    ledger.give(history[:1])
    ledger.decide()
    while piece := ledger.next_piece():
        ledger.accept(piece)
    sequel = Points(ledger.log.points.end)
    sequel.extend(lines_of(history[1:2]))
    ledger.graft(sequel, is_exact=False)
    ledger.trust()
    ledger.give(history)
    ledger.decide()
    while piece := ledger.next_piece():
        ledger.accept(piece)
    ledger.rewind(0, is_in_flight=True)
    assert not ledger.is_handed_over
    ledger.decide()
    sent = []
    while piece := ledger.next_piece():
        ledger.accept(piece)
        sent.append((piece.upload.start.messages, piece.upload.lines))
    assert sent == [(0, tuple(lines_of(history[:1]))), (2, tuple(lines_of(history[2:])))]
    assert ledger.is_handed_over
    assert ledger.log.points.end == ends_of(lines_of(history))[-1]


def test_a_sequel_that_does_not_follow_what_was_saved_is_not_taken_for_it(ledger: Ledger, store: PlainStore) -> None:
    save(ledger, store, messages("a"))
    sequel = Points()
    sequel.extend(lines_of(messages("b")))
    ledger.graft(sequel, is_exact=False)
    assert len(ledger.log.points) == 1


def test_a_diverged_history_goes_on_in_a_branch(ledger: Ledger, store: PlainStore) -> None:
    history = messages("a", "b")
    save(ledger, store, history)
    store.logs[None].append(b'{"by":"another"}\n')
    history.append(message("c"))
    save(ledger, store, history)
    assert len(store.strays) == 1
    history.append(message("d"))
    save(ledger, store, history)
    behind_c = ends_of(lines_of(history))[3]
    assert ledger.log.branch == branch_name(behind_c.offset, shorten(behind_c.chain))
    assert store.logs[ledger.log.branch] == lines_of(history)
    assert len(store.strays) == 1


class TestRestart:
    def test_only_what_the_store_lacks_is_sent(self, store: PlainStore) -> None:
        history = messages("a", "b", "c")
        store.logs[None] = lines_of(history[:2])
        (piece,) = hand_over(restart(store, history), store)
        assert piece.upload.lines == tuple(lines_of(history)[2:])

    def test_an_older_history_changes_nothing(self, store: PlainStore) -> None:
        history = messages("a", "b", "c")
        store.logs[None] = lines_of(history)
        ledger = restart(store, history[:2])
        assert hand_over(ledger, store) == []
        assert ledger.log.branch is None

    def test_an_older_history_catches_up_without_a_branch(self, store: PlainStore) -> None:
        history = messages("a", "b", "c", "d")
        store.logs[None] = lines_of(history[:3])
        ledger = restart(store, history[:1])
        hand_over(ledger, store)
        assert save(ledger, store, history[:2]) == []
        (piece,) = save(ledger, store, history)
        assert piece.upload.lines == tuple(lines_of(history)[3:])
        assert list(store.logs) == [None]

    def test_an_older_history_catches_up_without_a_branch_though_nobody_answers(self, store: PlainStore) -> None:
        history = messages("a", "b", "c", "d")
        store.logs[None] = lines_of(history)
        ledger = restart(store, history[:1])
        hand_over(ledger, store)
        ledger.give(history[:3])
        assert ledger.is_uncertain
        (piece,) = hand_over(ledger, store)
        assert piece.upload.lines == tuple(lines_of(history)[1:3])
        assert store.logs == {None: lines_of(history)}

    def test_an_older_history_that_goes_another_way_is_kept_whole_though_nobody_answers(
        self, store: PlainStore
    ) -> None:
        store.logs[None] = lines_of(messages("a", "b"))
        ledger = restart(store, messages("a"))
        hand_over(ledger, store)
        ledger.give(messages("a", "x"))
        hand_over(ledger, store)  # a worker says that it parts
        hand_over(ledger, store)
        assert store.logs == {None: lines_of(messages("a", "b")), ledger.log.branch: lines_of(messages("a", "x"))}
        assert len(store.strays) == 1

    def test_an_older_history_that_goes_another_way_opens_a_branch_without_a_stray(self, store: PlainStore) -> None:
        history = messages("a", "b", "c")
        store.logs[None] = lines_of(history)
        ledger = restart(store, history[:1])
        hand_over(ledger, store)
        save(ledger, store, [*history[:1], message("x")])
        assert store.logs[ledger.log.branch] == lines_of(messages("a", "x"))
        assert not store.strays

    def test_a_history_that_parted_opens_a_branch_without_a_stray(self, store: PlainStore) -> None:
        store.logs[None] = lines_of(messages("a", "b", "c"))
        other = messages("a", "x", "y")
        ledger = restart(store, other)
        hand_over(ledger, store)
        behind_x = ends_of(lines_of(other))[2]
        assert ledger.log.branch == branch_name(behind_x.offset, shorten(behind_x.chain))
        assert store.logs[ledger.log.branch] == lines_of(other)
        assert not store.strays

    def test_the_log_that_shares_most_is_extended(self, store: PlainStore) -> None:
        history = messages("a", "x", "y", "z")
        store.logs[None] = lines_of(messages("a"))
        store.logs["000000000001-00112233445566aa"] = lines_of(history[:3])
        (piece,) = hand_over(restart(store, history), store)
        assert piece.upload.branch == "000000000001-00112233445566aa"
        assert piece.upload.lines == tuple(lines_of(history)[3:])

    def test_a_redo_of_a_history_of_the_last_process_finds_its_way_back(self, store: PlainStore) -> None:
        main, branch = messages("a", "b", "c"), messages("a", "x")
        old = Ledger()
        save(old, store, main)
        save(old, store, branch)
        ledger = restart(store, branch)
        assert hand_over(ledger, store) == []
        assert save(ledger, store, [*main, message("d")])[0].upload.branch is None
        assert len(store.logs) == 2
        assert not store.strays

    def test_a_late_answer_moves_the_session_to_the_branch_that_has_it(self, store: PlainStore) -> None:
        history = messages("a", "x", "y")
        branch = "000000000001-00112233445566aa"
        store.logs = {None: lines_of(messages("a", "b")), branch: lines_of(history[:2])}
        ledger = Ledger()
        ledger.give(history)
        question = ledger.question()
        answer = store.answer(question.junctions())
        ledger.decide()  # no answer yet: all of it goes to the main log
        piece = ledger.next_piece()
        assert piece is not None
        assert piece.upload.branch is None
        ledger.accept(piece)
        ledger.learn(answer, question)
        (piece,) = hand_over(ledger, store)
        assert piece.upload.branch == branch
        assert store.logs[branch] == lines_of(history)

    def test_a_late_answer_that_agrees_changes_nothing(self, store: PlainStore) -> None:
        history = messages("a", "b", "c")
        store.logs[None] = lines_of(history[:1])
        ledger = Ledger()
        ledger.give(history)
        question = ledger.question()
        answer = store.answer(question.junctions())
        hand_over(ledger, store)
        ledger.learn(answer, question)
        assert hand_over(ledger, store) == []
        assert ledger.log.branch is None


def test_what_the_store_lacks_is_sent_again_after_a_rewind(ledger: Ledger, store: PlainStore) -> None:
    history = messages("a", "b", "c")
    save(ledger, store, history)
    del store.logs[None][1:]
    ledger.rewind(ends_of(store.logs[None])[1].offset)
    hand_over(ledger, store)
    assert store.logs[None] == lines_of(history)


def test_junctions_are_dense_at_the_end_and_few_before() -> None:
    ledger = Ledger()
    ledger.give([b"{}"] * 100_000)
    question = ledger.question()
    junctions = question.junctions()
    assert junctions == sorted(set(junctions))
    assert junctions[-1] == (question.end.offset, shorten(question.end.chain))
    assert len(junctions) < 1100
    assert len(question.junctions(since=99_990)) < 40


lines = st.lists(st.sampled_from([b"{}\n", b'{"a":1}\n', b'{"b":22}\n']), max_size=12)


@given(lines, lines)
def test_points_know_how_much_two_histories_share(one: list[bytes], other: list[bytes]) -> None:
    ours, theirs = Points(), Points()
    ours.extend(one)
    theirs.extend(other)
    common = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    assert ours.count_common(theirs) == common
    assert ours.prefix(common).end == theirs[common]
    assert [ours[i] for i in range(len(ours) + 1)] == ends_of(one)
    assert all(ours.find(end.offset, shorten(end.chain)) == i for i, end in enumerate(ends_of(one)))
    assert ours.find(ours.end.offset + 1) is None


def numbers() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        yield number


class Agent(RuleBasedStateMachine):
    """An agent that undoes, redoes, edits and restarts, on a broker that is away at times and a store that is not."""

    @initialize()
    def start(self) -> None:
        self.store = PlainStore()
        self.ledger = Ledger()
        self.history: list[Any] = []
        self.past: list[list[Any]] = [[]]
        self.number = numbers()
        self.is_foreign = False

    def new(self) -> Any:
        number = next(self.number)
        return message(f"message {number}") if number % 3 else f'{{"number": {number}}}'

    @rule(count=st.integers(1, 5))
    def speak(self, count: int) -> None:
        self.history.extend(self.new() for _ in range(count))

    @rule(data=st.data())
    def undo(self, data: st.DataObject) -> None:
        self.past.append([*self.history])
        del self.history[data.draw(st.integers(0, len(self.history))) :]

    @rule(data=st.data())
    def redo(self, data: st.DataObject) -> None:
        self.history[:] = data.draw(st.sampled_from(self.past))

    @precondition(lambda self: self.history)
    @rule(data=st.data())
    def replace(self, data: st.DataObject) -> None:
        self.past.append([*self.history])
        self.history[data.draw(st.integers(0, len(self.history) - 1))] = self.new()

    @precondition(lambda self: self.history)
    @rule(data=st.data(), text=st.text())
    def edit(self, data: st.DataObject, text: str) -> None:
        one = data.draw(st.sampled_from(self.history[-RECENT_MESSAGES:]))
        if isinstance(one, dict):
            one["content"][0]["text"] = text

    @rule()
    def make_anew(self) -> None:
        self.history = copy.deepcopy(self.history)

    @rule(data=st.data())
    def save(self, data: st.DataObject) -> None:
        self.ledger.give(self.history)
        is_unanswered = self.ledger.is_uncertain and data.draw(st.integers(0, 4)) == 0
        if self.ledger.is_uncertain and not is_unanswered:
            self.ask()
        self.ledger.decide()
        while piece := self.ledger.next_piece():
            if data.draw(st.integers(0, 4)) == 0:
                return  # the broker is away
            self.ledger.accept(piece)
            outcome, offset = self.store.take(piece.upload)
            if outcome == "stored":
                self.ledger.confirm(piece.upload.branch, offset)
            else:
                assert self.is_foreign or is_unanswered, "nobody else writes here: there must be no stray"
                self.ledger.part(piece.upload.branch, offset)
                self.ledger.decide()
        assert self.ledger.is_handed_over
        kept = self.store.logs.get(self.ledger.log.branch, [])
        assert kept[: len(self.history)] == lines_of(self.history)

    @rule()
    def restart(self) -> None:
        self.ledger = restart(self.store, self.history)

    @rule()
    def ask(self) -> None:
        ask(self.ledger, self.store)

    @precondition(lambda self: self.store.logs)
    @rule(data=st.data())
    def write_as_another(self, data: st.DataObject) -> None:
        self.is_foreign = True
        branch = data.draw(st.sampled_from([*self.store.logs]))
        self.store.logs[branch].append(f'{{"by":"another","number":{next(self.number)}}}\n'.encode())

    @invariant()
    def points_are_of_what_was_handed_over(self) -> None:
        log = self.ledger.log
        kept = self.store.logs.get(log.branch, [])
        assert self.is_foreign or len(log.points) == log.points.find(log.points.end.offset)
        assert self.is_foreign or ends_of(kept)[: len(log.points) + 1] == [
            log.points[i] for i in range(len(log.points) + 1)
        ]


TestAgent = Agent.TestCase
TestAgent.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


def test_a_refusal_goes_with_the_message_that_it_is_about() -> None:
    ledger, store = Ledger(), PlainStore()
    ledger.give([message("a"), object()])  # type: ignore[list-item]  # what cannot become a line
    ledger.question()
    assert ledger.refusal is not None
    ledger.give(messages("a"))
    hand_over(ledger, store)
    assert ledger.refusal is None
    assert ledger.is_handed_over
