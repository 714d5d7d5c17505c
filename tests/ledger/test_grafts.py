"""A list that has what was appended between its saves."""

from history_sink.ledger.appends import Appends
from history_sink.ledger.junctions import Points
from history_sink.ledger.ledger import Ledger
from plain_store import PlainStore, ends_of, lines_of, messages

from .play import save


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


def test_what_a_stream_carries_is_sent_by_no_upload_where_the_saves_behind_it_are_undone(
    ledger: Ledger, store: PlainStore
) -> None:
    save(ledger, store, messages("a"))
    graft(ledger, store, "b", "c")
    ledger.trust()
    ledger.give(messages("a", "b", "c", "d"))
    ledger.decide()
    piece = ledger.next_piece()
    assert piece is not None
    ledger.accept(piece)
    ledger.give(messages("a", "b"))
    ledger.decide()
    ledger.rewind(ends_of(lines_of(messages("a")))[-1].offset, is_in_flight=True)
    ledger.decide()
    assert ledger.next_piece() is None
    assert ledger.log.branch is None
    assert ledger.log.sure == 3  # nothing waits for the save that was undone


def test_what_was_appended_behind_saves_that_were_undone_and_lost_is_sent_by_no_upload(ledger: Ledger) -> None:
    appends = Appends()
    ledger.give(messages("a", "b"))
    ledger.decide()
    while piece := ledger.next_piece():
        ledger.accept(piece)
    ledger.give(messages("a"))
    ledger.decide()
    appends.follow(ledger.log)
    appends.add(lines_of(messages("c")))
    appends.bind(ledger.log, is_told=True)
    ledger.rewind(ends_of(lines_of(messages("a")))[-1].offset, appends.is_in_flight(None))
    appends.rebase(ledger.log)
    ledger.graft(*appends.take_sequel())
    ledger.trust()
    ledger.give(messages("a", "c", "d"))
    ledger.decide()
    last = ledger.next_piece()
    assert last is not None
    assert last.upload.lines == tuple(lines_of(messages("d")))


def test_a_sequel_that_does_not_follow_what_was_saved_is_not_taken_for_it(ledger: Ledger, store: PlainStore) -> None:
    save(ledger, store, messages("a"))
    sequel = Points()
    sequel.extend(lines_of(messages("b")))
    ledger.graft(sequel, is_exact=False)
    assert len(ledger.log.points) == 1
