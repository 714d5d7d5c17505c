"""Where the archive puts appends: behind whatever is there, once, and in their writers' order."""

import pytest

from history_sink.errors import Malformed
from history_sink.protocol.batch import Anchor, Batch
from history_sink.protocol.chain import START, Junction, walk
from history_sink.protocol.log_end import LogEnd, take_end
from history_sink_worker.archive import stream
from history_sink_worker.archive.hint import KnownHints
from history_sink_worker.archive.names import WaitingName
from history_sink_worker.archive.piece import Piece, write_meta
from history_sink_worker.archive.verdict import Verdict
from history_sink_worker.archive.verification import Checked, verify_log
from history_sink_worker.store import Put
from logbook import Logbook, some_lines
from protocol.model_store import ModelStore


@pytest.fixture
def store() -> ModelStore:
    return ModelStore()


@pytest.fixture
def book(store: ModelStore) -> Logbook:
    return Logbook(store.perform, lambda: store.now)


def place(history: list[bytes]) -> Junction:
    return [START, *walk(START, history)][-1]


A, B = some_lines(20, "a"), some_lines(20, "b")
SIZE = len(A[0])


def test_writers_in_turn_have_all_their_lines_on_one_log(book: Logbook, store: ModelStore) -> None:
    for n in range(20):
        assert book.append("a", n * SIZE, [A[n]]).outcome == "stored"
        assert book.append("b", n * SIZE, [B[n]]).outcome == "stored"
        assert n == 0 or book.requests == {"Put": 1}
    assert book.read() == b"".join(line for pair in zip(A, B, strict=True) for line in pair)
    status = book.survey()
    assert (len(status.logs), status.strays, status.pending) == (1, (), 0)


def test_the_first_append_of_a_log_begins_it(book: Logbook) -> None:
    verdict = book.append("a", 0, A[:2])
    assert (verdict.outcome, verdict.end) == ("stored", LogEnd(2, 2 * SIZE, place(A[:2]).chain.hex()))
    assert book.append("a", 0, A[:2]).outcome == "duplicate"
    assert book.read() == b"".join(A[:2])


@pytest.mark.parametrize("is_folded", [False, True])
@pytest.mark.parametrize("has_hints", [False, True])
def test_a_redelivery_is_known_by_its_writer_after_days(
    book: Logbook, store: ModelStore, is_folded: bool, has_hints: bool
) -> None:
    book.append("a", 0, [A[0]])
    book.append("b", 0, [B[0]])
    book.append("a", SIZE, [A[1]])
    for _ in range(3 if is_folded else 0):
        book.compact()
        store.now += 3 * 86_400
    if not has_hints:
        book.hints.kept.clear()
    for writer, lines, count in (("a", A, 2), ("b", B, 1)):
        for n in range(count):
            assert book.append(writer, n * SIZE, [lines[n]]).outcome == "duplicate"
    assert book.append("a", 0, A[:3]).outcome == "stored"  # a resend in another cut: what is there is dropped
    assert book.read() == A[0] + B[0] + A[1] + A[2]


def test_equal_lines_of_two_writers_at_one_place_are_both_kept(book: Logbook, store: ModelStore) -> None:
    book.append("a", 0, [A[0]])
    end = place(A[:1])
    same = b'{"ok":1}\n'
    book.append("a", SIZE, [same])
    assert book.append("b", 0, [same], fence=end).outcome == "stored"
    book.compact()
    store.now += 86_400
    book.compact()
    assert book.append("c", 0, [same], fence=end).outcome == "stored"
    assert book.append("b", 0, [same], fence=end).outcome == "duplicate"
    assert book.read() == A[0] + 3 * same


def test_what_comes_too_early_waits_in_the_store(book: Logbook, store: ModelStore) -> None:
    book.append("b", 0, [B[0]])
    assert book.append("a", 2 * SIZE, [A[2]]).outcome == "pending"
    assert book.append("a", SIZE, [A[1]]).outcome == "pending"
    assert book.survey().pending == 2
    assert book.read() == B[0]
    assert book.append("a", 0, [A[0]]).outcome == "stored"
    assert book.read() == B[0] + A[0] + A[1] + A[2]
    assert not [key for key in store.objects if "waits" in key]
    assert book.append("a", SIZE, [A[1]]).outcome == "duplicate"


def test_a_compaction_places_what_has_waited(book: Logbook, store: ModelStore) -> None:
    book.append("a", 0, [A[0]])
    book.append("a", 2 * SIZE, [A[2]])
    book.append("a", SIZE, [A[1]])  # by the hint alone, which does not tell who waits
    assert book.requests == {"Put": 1}
    book.compact()
    assert book.read() == A[0] + A[1] + A[2]
    assert not [key for key in store.objects if "waits" in key]


def test_a_foreign_object_among_those_that_wait_stays_and_stops_nobody_else(book: Logbook, store: ModelStore) -> None:
    book.append("a", 0, [A[0]])
    book.append("b", 0, [B[0]])
    book.append("a", 2 * SIZE, [A[2]])
    foreign = book.log.key(WaitingName("b", SIZE, 2 * SIZE))
    store.perform(Put(foreign, b"not of that size", {}))
    book.append("a", SIZE, [A[1]])
    book.compact()
    assert book.read() == A[0] + B[0] + A[1] + A[2]
    assert [key for key in store.objects if "waits" in key] == [foreign]


def test_who_cuts_a_stream_inside_a_line_stops_neither_its_next_batch_nor_a_compaction(
    book: Logbook, store: ModelStore
) -> None:
    book.append("a", 0, [A[0]])
    assert book.append("a", SIZE + 5, [A[2]]).outcome == "pending"
    book.hints.kept.clear()
    assert book.append("a", SIZE, [A[1]]).outcome == "stored"
    assert book.append("b", 0, [B[0]]).outcome == "stored"
    assert book.compact().folded_bytes == 2 * SIZE
    assert book.read() == A[0] + A[1] + B[0]
    assert book.survey().pending == 1


def test_what_has_waited_too_long_is_told_by_verify(book: Logbook, store: ModelStore) -> None:
    book.append("a", 0, [A[0]])
    book.append("a", 2 * SIZE, [A[2]])

    def find() -> list[tuple[str, str]]:
        checked: Checked = book.run(verify_log(book.context, book.log))
        return [(finding.level, finding.kind) for finding in checked.findings]

    assert find() == [("note", "waits")]
    store.now += book.context.settle_seconds
    assert find() == [("problem", "waits")]


def test_of_many_that_have_waited_no_delete_takes_more_keys_than_a_store_does(
    book: Logbook, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "DELETE_KEYS", 4)
    for n in range(9, 0, -1):
        assert book.append("a", n * SIZE, [A[n]]).outcome == "pending"
    book.append("a", 0, [A[0]])
    assert book.read() == b"".join(A[:10])
    assert store.counts["Delete"] == 3
    assert not [key for key in store.objects if "waits" in key]


def test_an_append_waits_for_the_save_that_it_follows(book: Logbook) -> None:
    book.save(A, 0, 2)
    assert book.append("w", 0, [A[4]], anchor=Anchor(place(A[:4]), is_first=True)).outcome == "pending"
    book.save(A, 2, 4)
    book.compact()
    assert book.read() == b"".join(A[:5])
    assert book.append("w", SIZE, [A[5]], anchor=Anchor(place(A[:5]), is_first=False)).outcome == "stored"
    assert book.read() == b"".join(A[:6])


def test_an_append_right_behind_a_save_is_one_request(book: Logbook) -> None:
    book.save(A, 0, 2)
    book.save(A, 2, 4)
    assert book.append("w", 0, [A[4]], anchor=Anchor(place(A[:4]), is_first=True)).outcome == "stored"
    assert book.requests == {"Put": 1}


def test_an_append_goes_with_the_save_that_it_follows_where_that_has_parted(book: Logbook) -> None:
    book.save(A, 0, 2)
    book.append("other", 0, [B[0]])
    assert book.save(A, 2, 4).outcome == "diverged"
    verdict = book.append("w", 0, [A[4]], anchor=Anchor(place(A[:4]), is_first=True))
    later = book.append("w", SIZE, [A[5]], anchor=Anchor(place(A[:5]), is_first=False))
    assert (verdict.outcome, later.outcome) == ("diverged", "diverged")
    assert book.read() == A[0] + A[1] + B[0]
    assert book.read(key=later.key) == b"".join(A[:6])


def test_only_there_or_nowhere(book: Logbook, store: ModelStore) -> None:
    assert book.append("x", None, [A[0]], after=START).outcome == "stored"
    end = place(A[:1])
    assert book.append("y", None, [B[0]], after=START).outcome == "conflict"
    found = book.append("y", None, [B[0]], after=end)
    assert found.outcome == "stored"
    assert found.end is not None
    lost = book.append("z", None, [A[1]], after=end)
    assert (lost.outcome, lost.end) == ("conflict", found.end)
    assert book.append("z", None, [A[1]], after=take_end(found.end)).outcome == "stored"
    book.compact()
    assert book.append("y", None, [B[0]], after=end).outcome == "duplicate"  # its extent is there until the sweep
    assert book.append("x", None, [A[0]], after=START).outcome in ("duplicate", "conflict")
    assert book.read() == A[0] + B[0] + A[1]
    assert not [key for key in store.objects if "/appends/" in key]


@pytest.mark.parametrize("is_folded", [False, True])
def test_of_equal_lines_that_are_to_begin_a_log_the_first_alone_is_stored(book: Logbook, is_folded: bool) -> None:
    assert book.append("x", None, [A[0]], after=START).outcome == "stored"
    if is_folded:
        book.append("w", 0, [B[0]])
        book.compact()
    for writer in "yz":
        assert book.append(writer, None, [A[0]], after=START).outcome == "conflict"
    assert book.append("x", None, [A[0]], after=START).outcome == "duplicate"


@pytest.mark.parametrize("has_hints", [False, True])
def test_one_writer_may_append_after_several_ends(book: Logbook, has_hints: bool) -> None:
    end, ends = LogEnd(), []
    for n in range(3):
        ends.append(end)
        if not has_hints:
            book.hints.kept.clear()
        told = book.append("bot", None, [A[n]], after=take_end(end))
        assert (told.outcome, told.end) == ("stored", LogEnd(n + 1, (n + 1) * SIZE, place(A[: n + 1]).chain.hex()))
        assert told.end is not None
        end = told.end
    for n in range(3):
        assert book.append("bot", None, [A[n]], after=take_end(ends[n])).outcome == "duplicate"
        assert book.append("bot", None, [B[n]], after=take_end(ends[n])).outcome == "conflict"
    assert book.read() == b"".join(A[:3])


@pytest.mark.parametrize("is_folded", [False, True])
def test_what_a_writer_appends_after_an_end_is_no_part_of_its_stream(book: Logbook, is_folded: bool) -> None:
    end = book.append("bot", 0, A[:2]).end
    for n in (0, 1):
        book.hints.kept.clear()
        assert end is not None
        end = book.append("bot", None, [B[n]], after=take_end(end)).end
    if is_folded:
        book.compact()
    book.hints.kept.clear()
    assert book.append("bot", None, A[:2], after=START).outcome == "conflict"
    assert book.append("bot", 0, A[:2]).outcome == "duplicate"
    assert book.append("bot", 2 * SIZE, [A[2]]).outcome == "stored"
    assert book.read() == A[0] + A[1] + B[0] + B[1] + A[2]


def test_what_was_claimed_in_vain_tells_nobody_that_its_place_is_taken(book: Logbook, store: ModelStore) -> None:
    book.append("x", None, [A[0]], after=START)
    book.append("x", None, [A[1]], after=place(A[:1]))
    for _ in range(3):
        book.compact()
        store.now += 86_400
    lost = Piece(place(A[:1]), (B[0],), "y")
    store.perform(Put(book.log.key(lost.extent), lost.body, write_meta(lost.fact)))  # it lands late
    assert book.append("x", None, [A[1]], after=place(A[:1])).outcome == "duplicate"
    assert book.append("y", None, [B[0]], after=place(A[:1])).outcome == "conflict"


def test_of_batches_that_go_together_one_that_was_placed_before_has_no_end_at_anothers_lines(book: Logbook) -> None:
    book.append("a", 0, [A[0]])
    book.append("b", 0, [B[0]])
    group = [Batch(None, "a", n * SIZE, (A[n],)) for n in (0, 1, 2)]
    found: list[Verdict] = book.run(stream.append_batches(book.context, book.log, group))
    ends = [each.end.messages if each.end else None for each in found]
    assert ([each.outcome for each in found], ends) == (["stored"] * 3, [None, 3, 4])


def test_a_fence_makes_the_first_append_one_request(book: Logbook) -> None:
    book.save(A, 0, 2)
    assert book.append("w", 0, [A[2]], fence=place(A[:2])).outcome == "stored"
    assert book.requests == {"Put": 1}


def test_to_ask_for_the_end_of_a_long_log_and_go_on_there_are_four_requests(book: Logbook) -> None:
    history = some_lines(10_000)
    book.save_whole(history)
    book.hints.kept.clear()
    status = book.survey()
    assert book.requests == {"List": 2, "Head": 1}
    end = status.logs[0].end
    assert end is not None
    assert book.append("w", 0, [A[0]], fence=take_end(end)).outcome == "stored"
    assert book.requests == {"Put": 1}


def test_a_question_does_not_put_a_newer_hint_back(book: Logbook) -> None:
    book.save(A, 0, 2)
    known = book.hints.kept[book.log.root]
    book.survey()
    assert book.hints.kept[book.log.root] is known


def test_a_question_leaves_no_hint_of_a_base_that_is_not_ours_yet(book: Logbook, store: ModelStore) -> None:
    store.perform(Put(book.log.base, A[0] + b"an open line", {}))
    book.survey()
    assert not book.hints.kept


def test_who_was_not_first_goes_on_behind_who_was(book: Logbook, store: ModelStore) -> None:
    book.append("a", 0, [A[0]])
    book.append("b", 0, [B[0]])
    known = book.hints.kept[book.log.root]
    for n in (1, 2):
        book.append("a", n * SIZE, [A[n]])
    book.hints.kept[book.log.root] = known  # the other worker has not told of it yet
    assert book.append("b", SIZE, [B[1]]).outcome == "stored"
    assert book.requests == {"Put": 3, "Head": 2}
    book.hints.kept[book.log.root] = known
    assert book.append("b", SIZE, [B[1]]).outcome == "duplicate"
    assert book.read() == A[0] + B[0] + A[1] + A[2] + B[1]


def test_a_new_writer_that_was_not_first_behind_its_fence_goes_on_behind_who_was(book: Logbook) -> None:
    book.save(A, 0, 2)
    known = book.hints.kept[book.log.root]
    book.append("a", 0, [A[2]], fence=place(A[:2]))
    book.hints.kept[book.log.root] = known
    assert book.append("b", 0, [B[0]], fence=place(A[:2])).outcome == "stored"
    assert book.requests == {"Put": 2, "Head": 1}
    assert book.read() == A[0] + A[1] + A[2] + B[0]


def test_without_hints_an_append_costs_a_look_and_a_mark(book: Logbook, store: ModelStore) -> None:
    book.save_whole(A[:2])
    book.context = type(book.context)(KnownHints(), lambda: store.now)
    assert book.append("w", 0, [A[2]]).outcome == "stored"
    assert book.requests == {"List": 1, "Head": 1, "Get": 1, "Put": 1}


def test_a_fold_costs_two_requests_more_for_each_writer(book: Logbook, store: ModelStore) -> None:
    book.save(A, 0, 2)
    for writer in "uvw":
        book.append(writer, 0, [B[0]])
    book.compact()
    assert sorted(key.rpartition("/")[2] for key in store.objects if "/appends/" in key) == ["u", "v", "w"]
    assert book.requests["Put"] == 1 + 3


def test_a_stream_that_is_cut_inside_a_line_is_refused(book: Logbook) -> None:
    book.append("w", 0, [A[0]])
    with pytest.raises(Malformed, match="inside a line"):
        book.append("w", 1, [A[0] * 2])


def test_a_batch_survives_the_wire() -> None:
    anchor, end = Anchor(place(A[:3]), True), place(A[:2])
    for batch in (
        Batch("000000000012-0123456789abcdef", "w", 7, tuple(A[:2]), anchor=anchor, fence=end),
        Batch(None, "w" * 64, None, tuple(A), after=end),
    ):
        assert Batch.decode(batch.encode()) == batch


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"writer": "a b"}, "a writer is"),
        ({"writer": None}, "a writer is"),
        ({"position": -1}, "position is an integer"),
        ({"position": 10**12 - 1}, "beyond the 12 digits"),
        ({"position": None}, "either position or after"),
        ({"after": [0, 0, "0" * 64]}, "either position or after"),
        ({"fence": [1, 2]}, "fence is a place"),
        ({"anchor": [1, 2, "zz"]}, "chain is 64 hex digits"),
        ({"anchor": [1, 0, "0" * 64]}, "first_message is more"),
        ({"is_first": True}, "comes with an anchor"),
        ({"lines": b"no newline", "size_bytes": 10}, "each ended by a newline"),
    ],
)
def test_a_payload_that_cannot_be_names_what_is_wrong(change: dict[str, object], reason: str) -> None:
    payload = {**Batch(None, "w", 0, (A[0],)).encode(), **change}
    with pytest.raises(Malformed, match=reason):
        Batch.decode(payload)
