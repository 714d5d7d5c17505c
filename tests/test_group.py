"""Saves of one log that meet: which go together, and what each is told. Pure, and on a model store."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history_sink.protocol.chain import START, Junction, walk
from history_sink_worker.archive import group
from history_sink_worker.archive.group import GROUP_BYTES, join, next_group
from history_sink_worker.archive.hint import Hint
from history_sink_worker.archive.piece import Piece
from history_sink_worker.archive.plan import is_early
from history_sink_worker.archive.save import append_all
from history_sink_worker.archive.verdict import Verdict
from logbook import Logbook, some_lines, upload_of
from protocol.model_store import ModelStore

HISTORY = some_lines(40)
OTHER = [*HISTORY[:6], *some_lines(20, "x")]
POINTS = [START, *walk(START, HISTORY)]


def piece(history: list[bytes], first: int, end: int) -> Piece:
    upload = upload_of(history, first, end)
    return Piece(upload.start, upload.lines)


@given(st.lists(st.integers(0, 40), min_size=2, unique=True).map(sorted), st.randoms(use_true_random=False))
def test_whatever_the_order_of_arrival_all_that_follow_one_another_go_together(
    cuts: list[int], rng: random.Random
) -> None:
    pieces = [piece(HISTORY, a, b) for a, b in pairwise(cuts)]
    waiting: list[Piece | None] = [*pieces, *rng.sample(pieces, min(3, len(pieces)))]  # some came twice
    rng.shuffle(waiting)
    chosen = next_group(waiting)
    joined = join([found for index in chosen if (found := waiting[index])])
    assert joined == piece(HISTORY, cuts[0], cuts[-1])
    assert len(chosen) == len(pieces)


@given(
    st.lists(
        st.tuples(st.sampled_from([HISTORY, OTHER]), st.integers(0, 20), st.integers(1, 6)), min_size=1, max_size=12
    )
)
def test_what_goes_together_is_one_stretch_of_one_history(spans: list[tuple[list[bytes], int, int]]) -> None:
    waiting = [piece(history, first, first + count) for history, first, count in spans]
    chosen = [waiting[index] for index in next_group(waiting)]
    assert chosen[0].start.offset == min(each.start.offset for each in waiting)
    assert all(before.end == behind.start for before, behind in pairwise(chosen))
    assert join(chosen).end == chosen[-1].end


def test_a_gap_a_parting_and_a_save_that_goes_alone_end_a_group() -> None:
    assert next_group([piece(HISTORY, 4, 6), piece(HISTORY, 9, 10), piece(HISTORY, 2, 4)]) == [2, 0]
    assert next_group([piece(HISTORY, 2, 7), piece(OTHER, 7, 8)]) == [0]
    assert next_group([piece(HISTORY, 0, 1), None, piece(HISTORY, 1, 2), None]) == [1]


def test_a_group_is_bounded_but_one_save_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(HISTORY[0])
    waiting = [piece(HISTORY, at, at + 1) for at in range(10)]
    monkeypatch.setattr(group, "GROUP_BYTES", 4 * size)
    assert next_group(waiting) == [0, 1, 2, 3]
    assert next_group([piece(HISTORY, 0, 8), *waiting[8:]]) == [0]
    assert GROUP_BYTES == 1024 * 1024


@pytest.mark.parametrize(
    ("offset", "since_seconds", "expected"),
    [(0, 0.1, True), (0, -0.1, True), (0, 0.6, False), (0, -0.6, False), (20, 0.0, False), (40, 0.0, False)],
)
def test_only_who_comes_behind_the_end_of_a_log_that_is_being_written_is_early(
    offset: int, since_seconds: float, expected: bool
) -> None:
    hint = Hint(offset, "0" * 16, proved_at=0.0, moved_at=100 - since_seconds)
    start = Junction(1, 20, b"")
    assert is_early(hint, start, now=100.0) == expected
    assert not is_early(None, start, now=100.0)


def test_of_those_that_wait_in_vain_the_nearest_gives_up_first() -> None:
    hint = Hint(0, "0" * 16, proved_at=0.0, moved_at=100.0)

    def patience(distance_bytes: int) -> float:
        start = Junction(1, distance_bytes, b"")
        return next(tenths / 10 for tenths in range(100) if not is_early(hint, start, 100 + tenths / 10))

    assert [patience(kib * 1024) for kib in (1, 32, 64, 1024)] == [0.6, 1.0, 1.5, 2.0]


@pytest.fixture
def store() -> ModelStore:
    return ModelStore()


@pytest.fixture
def book(store: ModelStore) -> Logbook:
    return Logbook(store.perform, lambda: store.now)


def save_all(book: Logbook, history: list[bytes], *cuts: int) -> list[tuple[str, int]]:
    """Outcome and messages of each."""
    pieces = [piece(history, a, b) for a, b in pairwise(cuts)]
    verdicts: list[Verdict] = book.run(append_all(book.context, book.log, pieces, book.hints.get(book.log.root)))
    assert [verdict.size_bytes for verdict in verdicts] == [each.size_bytes for each in pieces]
    return [(verdict.outcome, verdict.messages) for verdict in verdicts]


def test_a_group_is_one_put_and_one_object(book: Logbook, store: ModelStore) -> None:
    assert save_all(book, HISTORY, 0, 1, 3) == [("stored", 1), ("stored", 2)]
    assert book.requests == {"Put": 1}
    assert save_all(book, HISTORY, 3, 4, 5, 9) == [("stored", 1), ("stored", 1), ("stored", 4)]
    assert book.requests == {"Put": 1}
    assert len(store.objects) == 2
    assert book.read(0, 10**6) == b"".join(HISTORY[:9])


def test_what_a_group_brings_again_is_a_duplicate_and_the_rest_is_stored(book: Logbook) -> None:
    save_all(book, HISTORY, 0, 1)
    save_all(book, HISTORY, 1, 2, 5)
    assert save_all(book, HISTORY, 2, 4, 5, 6, 8) == [("duplicate", 2), ("duplicate", 1), ("stored", 1), ("stored", 2)]
    assert save_all(book, HISTORY, 1, 3, 8) == [("duplicate", 2), ("duplicate", 5)]
    assert book.read(0, 10**6) == b"".join(HISTORY[:8])


def test_saves_that_come_again_one_by_one_are_found_inside_the_groups_extent(book: Logbook, store: ModelStore) -> None:
    book.save(HISTORY, 0, 1)
    save_all(book, HISTORY, 1, 3, 4, 8)
    for first, end in ((1, 3), (3, 4), (4, 8), (2, 6)):
        assert book.save(HISTORY, first, end).outcome == "duplicate"
    assert book.save(HISTORY, 6, 10).outcome == "stored"
    book.compact()
    store.now += 3 * 7200
    book.compact()
    assert book.read(0, 10**6) == b"".join(HISTORY[:10])
    assert list(store.objects) == [book.log.base]


def test_a_group_before_its_beginning_is_pending_as_a_whole(book: Logbook) -> None:
    assert save_all(book, HISTORY, 4, 5, 7) == [("pending", 1), ("pending", 2)]
    assert book.save(HISTORY, 0, 4).outcome == "stored"
    assert book.read(0, 10**6) == b"".join(HISTORY[:7])


def test_a_group_that_parts_tells_each_what_became_of_it(book: Logbook) -> None:
    book.save_each(HISTORY[:10])
    assert save_all(book, OTHER, 2, 4, 6, 7, 9) == [
        ("duplicate", 2),
        ("duplicate", 2),
        ("diverged", 1),
        ("diverged", 2),
    ]
    (stray,) = book.survey().strays
    assert stray.start == len(b"".join(OTHER[:6]))
    assert book.read(key=stray.key) == b"".join(OTHER[:9])


def test_while_the_first_save_of_a_log_is_being_stored_the_next_is_early(book: Logbook, store: ModelStore) -> None:
    def is_second_early() -> bool:
        return is_early(book.hints.get(book.log.root), piece(HISTORY, 2, 3).start, store.now)

    first = append_all(book.context, book.log, [piece(HISTORY, 0, 2)], None)
    assert not is_second_early()
    put = next(first)
    assert is_second_early()
    with pytest.raises(StopIteration):
        first.send(store.perform(put))
    assert not is_second_early()


def test_a_fold_does_not_hide_that_a_log_is_being_written(book: Logbook) -> None:
    book.save_each(HISTORY[:10])
    moved_at = book.hints.kept[book.log.root].moved_at
    book.compact()
    assert book.hints.kept[book.log.root].moved_at == moved_at > 0


def test_what_continues_a_group_that_parted_from_inside_it_has_parted_too(book: Logbook, store: ModelStore) -> None:
    book.save_each(HISTORY[:7])
    save_all(book, OTHER, 5, 8, 12)
    third = [*OTHER[:8], *some_lines(3, "y")]
    assert book.save(third, 8, 11).outcome == "diverged"
    assert book.survey().pending == 0
    (key,) = {stray.key for stray in book.survey().strays if stray.start == len(b"".join(OTHER[:8]))}
    assert book.read(key=key) == b"".join(third)
