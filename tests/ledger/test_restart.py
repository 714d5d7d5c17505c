"""A new process with a history of which the store has some."""

from history_sink.ledger.ledger import Ledger
from history_sink.protocol.chain import shorten
from history_sink.protocol.contract import branch_name
from plain_store import PlainStore, ends_of, lines_of, message, messages

from .play import hand_over, restart, save


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
