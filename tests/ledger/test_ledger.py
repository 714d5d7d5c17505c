"""What a producer knows of one session: what is new, undo, redo, and branches."""

import copy

from history_sink.ledger.known_logs import KEPT_LOGS, name_branch
from history_sink.ledger.ledger import Ledger
from history_sink.protocol.chain import START, shorten
from history_sink.protocol.contract import SAVE_BYTES, branch_name
from plain_store import PlainStore, ends_of, lines_of, message, messages

from .play import ask, hand_over, restart, save


def test_only_what_is_new_is_handed_over(ledger: Ledger, store: PlainStore) -> None:
    history = messages("a", "b")
    assert [len(piece.upload.lines) for piece in save(ledger, store, history)] == [2]
    history.append(message("c"))
    (piece,) = save(ledger, store, history)
    assert piece.upload.start == ends_of(lines_of(history))[2]
    assert piece.upload.lines == tuple(lines_of(history)[2:])
    assert save(ledger, store, history) == []


def test_an_outcome_tells_nothing_of_other_lines_of_the_same_length(ledger: Ledger) -> None:
    ledger.give(messages("a", "b"))
    ledger.decide()
    first = ledger.next_piece()
    assert first
    end = ledger.accept(first)
    ledger.rewind(0)  # it took so long that it was taken for lost
    ledger.give(messages("a", "c"))
    ledger.decide()
    again = ledger.next_piece()
    assert again
    ledger.accept(again)
    ledger.confirm(None, end)
    assert not ledger.is_confirmed
    ledger.confirm(None, ledger.log.points.end)
    assert ledger.is_confirmed


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


def test_what_the_store_lacks_is_sent_again_after_a_rewind(ledger: Ledger, store: PlainStore) -> None:
    history = messages("a", "b", "c")
    save(ledger, store, history)
    del store.logs[None][1:]
    ledger.rewind(ends_of(store.logs[None])[1].offset)
    hand_over(ledger, store)
    assert store.logs[None] == lines_of(history)
