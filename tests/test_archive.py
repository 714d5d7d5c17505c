"""Saves of one log on a model store: outcomes, what is written, and what it costs in requests."""

from dataclasses import replace

import pytest

from history_sink.protocol.outcome import Parted
from history_sink_worker.archive import context, grow
from history_sink_worker.archive import snapshot as look
from history_sink_worker.archive.piece import Piece, write_meta
from history_sink_worker.archive.verdict import Verdict
from history_sink_worker.store import Corrupt, Delete, Get, Put, Reply, Request
from logbook import Logbook, some_lines, upload_of
from protocol.model_store import ModelStore

MIB = 1024 * 1024
HISTORY = some_lines(40)
OTHER = [*HISTORY[:6], *some_lines(6, "x")]


@pytest.fixture
def store() -> ModelStore:
    return ModelStore()


@pytest.fixture
def book(store: ModelStore) -> Logbook:
    return Logbook(store.perform, lambda: store.now)


def test_a_steady_save_is_one_put(book: Logbook) -> None:
    for at in range(40):
        assert book.save(HISTORY, at, at + 1).outcome == "stored"
        assert book.requests == {"Put": 1}
    assert book.read(0, 10**6) == b"".join(HISTORY)


def test_a_save_without_a_hint_looks_once_and_the_next_is_one_put_again(book: Logbook) -> None:
    book.save_each(HISTORY[:10])
    book.hints.kept.clear()
    assert book.save(HISTORY, 10, 11).outcome == "stored"
    assert book.requests["List"] == 1
    assert book.save(HISTORY, 11, 12).outcome == "stored"
    assert book.requests == {"Put": 1}


def test_a_repeated_save_is_a_duplicate_and_writes_nothing(book: Logbook, store: ModelStore) -> None:
    book.save_each(HISTORY[:10])
    before = dict(store.objects)
    assert book.save(HISTORY, 3, 5).outcome == "duplicate"
    assert book.save(HISTORY, 0, 10).outcome == "duplicate"
    assert book.save_whole(HISTORY[:10]).outcome == "duplicate"
    book.compact()
    assert {key for key in store.objects if key not in before} <= {book.log.base}
    assert book.read(0, 10**6) == b"".join(HISTORY[:10])


def test_an_older_history_changes_nothing(book: Logbook) -> None:
    book.save_whole(HISTORY)
    assert book.save_whole(HISTORY[:5]).outcome == "duplicate"
    assert book.read(0, 10**6) == b"".join(HISTORY)


def test_a_save_before_its_beginning_waits_and_is_attached_when_that_comes(book: Logbook) -> None:
    assert book.save(HISTORY, 4, 6).outcome == "pending"
    assert book.survey().pending == 1
    assert book.save(HISTORY, 2, 4).outcome == "pending"
    assert book.save(HISTORY, 0, 2).outcome == "stored"
    assert book.survey().pending == 0
    assert book.read(0, 10**6) == b"".join(HISTORY[:6])


def test_a_save_that_overlaps_the_end_adds_only_what_is_new(book: Logbook) -> None:
    book.save(HISTORY, 0, 4)
    assert book.save(HISTORY, 2, 7).outcome == "stored"
    assert book.read(0, 10**6) == b"".join(HISTORY[:7])


def test_a_parted_history_is_kept_whole_beside_the_log(book: Logbook) -> None:
    book.save_each(HISTORY[:10])
    found = book.save(OTHER, 4, 9)
    shared = len(b"".join(HISTORY[:6]))
    assert (found.outcome, found.parted) == ("diverged", Parted(6, shared))
    assert book.read(key=found.key) == b"".join(OTHER[:9])
    after = book.save(OTHER, 9, 12)
    assert after.outcome == "diverged"
    assert book.read(key=after.key) == b"".join(OTHER)
    assert book.read(0, 10**6) == b"".join(HISTORY[:10])
    assert [(stray.start, stray.end) for stray in book.survey().strays] == [
        (shared, len(b"".join(OTHER[:9]))),
        (len(b"".join(OTHER[:9])), len(b"".join(OTHER))),
    ]


def test_equal_lines_of_another_history_are_no_duplicate(book: Logbook) -> None:
    one, two = [b'"a"\n', b'"c"\n'], [b'"b"\n', b'"c"\n']
    book.save(one, 0, 2)
    found = book.save(two, 1, 2)
    assert (found.outcome, found.parted) == ("diverged", None), "where they parted is before these lines"


def test_a_whole_upload_leaves_the_base_as_that_history(book: Logbook, store: ModelStore) -> None:
    book.save_each(HISTORY[:20])
    assert book.save_whole(HISTORY).outcome == "stored"
    assert store.objects[book.log.base].body == b"".join(HISTORY)


def test_the_rest_of_a_history_is_stored_where_the_store_has_what_comes_before_it(
    book: Logbook, store: ModelStore
) -> None:
    size = len(b"".join(HISTORY))
    book.save_whole(HISTORY[:30])
    assert book.save_rest(HISTORY, 30) == Verdict("stored", book.log.base, 40, size)
    assert store.objects[book.log.base].body == b"".join(HISTORY)
    for first in (4, 30, 40):  # another process has stored more than this one knows
        assert book.save_rest(HISTORY, first) == Verdict("duplicate", book.log.base, 40, size)
        assert book.requests.keys() <= {"List", "Head"}


@pytest.mark.parametrize("beginning", [[], HISTORY[:10], OTHER])
def test_the_rest_of_a_history_alone_is_not_judged_where_the_store_has_something_else(
    book: Logbook, store: ModelStore, beginning: list[bytes]
) -> None:
    if beginning:
        book.save_whole(beginning)
    before = dict(store.objects)
    assert book.save_rest(HISTORY, 20) is None
    assert store.objects == before


def test_a_rest_that_parts_from_the_log_is_judged_by_the_whole_history(book: Logbook) -> None:
    book.save_whole(HISTORY)
    assert book.save_rest(OTHER, 6) is None
    found = book.save_whole(OTHER)
    assert (found.outcome, found.parted) == ("diverged", Parted(6, len(b"".join(HISTORY[:6]))))
    assert [stray.start for stray in book.survey().strays] == [len(b"".join(HISTORY[:6]))]


def test_a_recognised_history_is_not_read(book: Logbook) -> None:
    book.save_whole(HISTORY)
    assert book.save_whole(HISTORY).outcome == "duplicate"
    assert "Get" not in book.requests


def test_compaction_leaves_one_object(book: Logbook, store: ModelStore) -> None:
    book.save_each(HISTORY)
    folded = book.compact()
    assert folded.again_in_seconds == 7200
    assert book.save(HISTORY, 7, 9).outcome == "duplicate"
    store.now += 7201
    swept = book.compact()
    assert (swept.swept, swept.left, swept.again_in_seconds) == (39, 0, None)
    assert list(store.objects) == [book.log.base]


def test_extents_stay_for_the_settle_time_after_the_fold_that_covered_them(book: Logbook, store: ModelStore) -> None:
    book.save_each(HISTORY)
    book.compact()
    store.now += 7100
    assert book.compact().swept == 0
    assert len(store.objects) == len(HISTORY)


def test_a_sweep_of_many_extents_costs_few_requests(book: Logbook, store: ModelStore) -> None:
    book.save_each(HISTORY)
    book.compact()
    store.now += 7201
    book.compact()
    assert book.requests == {"List": 1, "Head": 1, "Get": 1, "Delete": 1}


def leave(book: Logbook, store: ModelStore, first: int, end: int) -> str:
    """The extent of a writer that died right after its PUT."""
    upload = upload_of(HISTORY, first, end)
    piece = Piece(upload.start, upload.lines)
    key = book.log.key(piece.extent)
    store.perform(Put(key, piece.body, write_meta(piece.fact)))
    return key


def test_what_a_sweep_adds_to_the_log_is_folded_by_a_run_at_once(book: Logbook, store: ModelStore) -> None:
    book.save_whole(HISTORY[:4])
    leave(book, store, 2, 6)
    store.now += 7201
    assert book.compact().again_in_seconds == 0
    assert book.compact().folded_bytes == len(b"".join(HISTORY[4:6]))
    assert store.objects[book.log.base].body == b"".join(HISTORY[:6])


def test_what_is_placed_again_is_told_by_what_its_name_holds_by_then(store: ModelStore) -> None:
    book = Logbook(store.perform, lambda: store.now)
    key = leave(book, store, 2, 4)

    def perform(request: Request) -> Reply:
        if request == Get(key):  # between the LIST and the GET it was swept, and its name claimed anew
            store.perform(Delete((key,)))
            leave(book, store, 2, 9)
        return store.perform(request)

    sweeping = Logbook(perform, lambda: store.now)
    book.save_whole(HISTORY[:6])
    sweeping.compact()
    assert [(log.messages, log.bytes) for log in book.survey().logs] == [(9, len(b"".join(HISTORY[:9])))]


def test_a_log_too_long_for_memory_is_folded_part_by_part(
    book: Logbook, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = 10 * len(HISTORY[0])
    monkeypatch.setattr(grow, "PART_BYTES", part)
    monkeypatch.setattr(grow, "COPY_FROM_BYTES", part)
    book.save_each(HISTORY)
    assert book.compact(everything=False, idle=True).folded_bytes == len(b"".join(HISTORY[1:]))
    assert book.requests == {"List": 1, "Head": 1, "Begin": 1, "Get": 1, "Send": 4, "Complete": 1}
    assert store.objects[book.log.base].body == b"".join(HISTORY)
    more = [*HISTORY, *some_lines(35, "n")]
    book.save_each(more, first=40)
    book.compact()
    assert book.requests == {"List": 1, "Head": 1, "Begin": 1, "Send": 4, "Copy": 4, "Complete": 1}
    assert store.objects[book.log.base].body == b"".join(more)
    assert not store.uploads


@pytest.mark.parametrize("base_bytes", [0, 1, 5 * MIB - 1, 5 * MIB, 256 * MIB, 256 * MIB + 1, 10**9, 80 * 10**9])
@pytest.mark.parametrize("tail_bytes", [1, 5 * MIB, 8 * MIB, 8 * MIB + 1, 3 * 10**8])
def test_a_fold_is_cut_as_the_strictest_of_stores_wants_it(base_bytes: int, tail_bytes: int) -> None:
    copies = grow.choose_copies(base_bytes, tail_bytes)
    assert [start for start, _ in copies] == [0, *(end for _, end in copies)][: len(copies)]
    copied = copies[-1][1] if copies else 0
    rest = base_bytes + tail_bytes - copied
    sizes = [end - start for start, end in copies] + [grow.PART_BYTES] * (rest // grow.PART_BYTES)
    last = rest % grow.PART_BYTES or sizes.pop()
    assert base_bytes - copied < grow.PART_BYTES
    assert max(sizes, default=0) <= grow.COPY_AT_ONCE_BYTES
    assert len({*sizes}) <= 1
    assert not sizes or 5 * MIB <= sizes[0] >= last
    assert len(sizes) < 10_000


def test_an_extent_that_was_overwritten_is_reported_before_anything_is_copied(
    book: Logbook, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grow, "PART_BYTES", 5 * len(HISTORY[0]))
    book.save_whole(HISTORY[:10])
    book.save_each(HISTORY, first=10)
    key, blob = list(store.objects.items())[8]
    store.objects[key] = replace(blob, body=blob.body.replace(b"m", b"n"))
    before = store.objects[book.log.base]
    other = Logbook(store.perform, lambda: store.now)
    with pytest.raises(Corrupt, match="overwritten by a foreign writer"):
        other.compact()
    assert other.requests == {"List": 1, "Head": 1, "Get": 30, "Begin": 1, "Send": 1, "Abort": 1}
    assert store.uploads == {}
    assert store.objects[book.log.base] == before


def test_an_idle_log_is_folded_sooner(book: Logbook) -> None:
    book.save_each(HISTORY[:20])
    assert book.compact(everything=False).folded_bytes == 0
    assert book.compact(everything=False, idle=True).folded_bytes == len(b"".join(HISTORY[1:20]))


def test_a_quiet_log_becomes_one_object_by_itself(book: Logbook, store: ModelStore) -> None:
    book.save_whole(HISTORY[:20])
    book.save_each(HISTORY[:25], first=20)
    paused = book.compact(everything=False, idle=True)  # so short a tail may wait: somebody may be about to go on
    assert (paused.folded_bytes, paused.left, paused.again_in_seconds) == (0, 5, 7200)
    for _ in range(2):
        store.now += 7200
        done = book.compact(everything=False)
    assert (done.left, done.again_in_seconds) == (0, None)
    assert [blob.body for blob in store.objects.values()] == [b"".join(HISTORY[:25])]


def test_a_busy_log_asks_for_a_fold(book: Logbook) -> None:
    history = some_lines(65)
    due = [book.save(history, at, at + 1).fold_due for at in range(65)]
    assert due.index(True) == 64
    assert due.count(True) == 1


def test_the_base_of_the_older_sink_is_adopted(book: Logbook, store: ModelStore) -> None:
    store.perform(Put(book.log.base, b"".join(HISTORY[:5]), {}))
    assert book.survey(HISTORY[:7]).logs[0].common == len(b"".join(HISTORY[:5]))
    assert book.save(HISTORY, 5, 7).outcome == "stored"
    assert book.read(0, 10**6) == b"".join(HISTORY[:7])
    assert store.objects[book.log.base].info.meta["hs-messages"] == "5"


def test_a_last_line_without_newline_is_ended_when_it_is_adopted(book: Logbook, store: ModelStore) -> None:
    store.perform(Put(book.log.base, b"".join(HISTORY[:5])[:-1], {}))
    assert book.save(HISTORY, 4, 7).outcome == "stored"
    assert book.read(0, 10**6) == b"".join(HISTORY[:7])


def test_a_base_shorter_than_its_metadata_says_is_reported(book: Logbook, store: ModelStore) -> None:
    book.save_whole(HISTORY)
    base = store.objects.pop(book.log.base)
    store.perform(Put(book.log.base, base.body[:100], base.info.meta))
    with pytest.raises(Corrupt, match="overwritten by a foreign writer"):
        book.save(HISTORY, 5, 7)
    with pytest.raises(Corrupt, match="overwritten by a foreign writer"):
        book.read(0, 50)


def test_the_metadata_of_every_object(book: Logbook, store: ModelStore) -> None:
    book.save_each(HISTORY[:3])
    book.compact()
    metas = {key.removeprefix(book.log.root): sorted(blob.info.meta) for key, blob in store.objects.items()}
    assert metas.pop("history.jsonl") == [
        "hs-after",
        "hs-before",
        "hs-bytes",
        "hs-messages",
        "hs-settled",
        "hs-written",
    ]
    assert set(map(tuple, metas.values())) == {("hs-after", "hs-before", "hs-messages")}


def test_lines_that_came_before_the_stray_they_continue_become_one_when_it_comes(book: Logbook) -> None:
    book.save_each(HISTORY[:10])
    parted = [*HISTORY[:6], *some_lines(9, "x")]
    assert book.save(parted, 13, 15).outcome == "pending"
    assert book.save(parted, 11, 13).outcome == "pending"
    assert book.survey().pending == 2
    assert book.save(parted, 0, 11).outcome == "diverged"
    assert book.survey().pending == 0
    assert b"".join(parted) in {book.read(0, 10**6, stray.key) for stray in book.survey().strays}
    before = len(book.survey().strays)
    assert book.save(parted, 0, 11).outcome == "diverged"
    assert len(book.survey().strays) == before


@pytest.mark.parametrize("way", ["by extents", "by the base", "by a whole upload"])
def test_what_waited_and_was_passed_by_another_history_can_be_read_after_the_next_compaction(
    book: Logbook, way: str
) -> None:
    first, second = [*HISTORY[:3], b'"first"\n'], [*HISTORY[:3], b'"second"\n']
    if way != "by the base":
        assert book.save(HISTORY, 0, 1).outcome == "stored"
    assert [book.save(history, 2, 4).outcome for history in (first, second)] == ["pending", "pending"]
    other = [*HISTORY[:2], *some_lines(4, "other")]
    if way == "by a whole upload":
        book.save_whole(other)
    else:
        assert book.save(other, 1 if way == "by extents" else 0, 6).outcome == "stored"
        assert book.compact(everything=False).folded_bytes == 0
    assert {book.read(key=stray.key) for stray in book.survey().strays} == {b"".join(first), b"".join(second)}
    assert book.read() == b"".join(other)


def test_undecided_lines_part_with_what_they_wait_beside(book: Logbook) -> None:
    book.save_each(HISTORY[:8])
    one = [*HISTORY[:6], *some_lines(8, "x")]
    two = [*one[:12], *some_lines(3, "y")]
    assert book.save(one, 9, 14).outcome == "pending"
    assert book.save(two, 9, 15).outcome == "pending"
    assert book.save(one, 0, 9).outcome == "diverged"
    assert book.survey().pending == 0
    read = {book.read(0, 10**6, stray.key) for stray in book.survey().strays}
    assert {b"".join(one), b"".join(two)} <= read


def test_who_has_written_the_tail_folds_it_without_reading_it(book: Logbook, store: ModelStore) -> None:
    book.save_each(HISTORY)
    assert book.compact().folded_bytes == len(b"".join(HISTORY[1:]))
    assert book.requests == {"List": 1, "Head": 1, "Get": 1, "Put": 1}  # the GET is of the base
    assert store.objects[book.log.base].body == b"".join(HISTORY)
    kept = [book.context.lines.get(key, blob.info.etag) for key, blob in store.objects.items()]
    assert kept == [None] * 40  # it is no use any more


def test_no_more_than_a_little_of_what_was_written_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "LINES_KEPT_BYTES", 10)
    lines = context.Lines()
    for number in range(9):
        lines.put("k", str(number), b"1234")
    lines.put("k", "8", b"1234")
    assert [number for number in range(9) if lines.get("k", str(number))] == [7, 8]
    lines.put("k", "9", bytes(11))
    assert lines.get("k", "9") is None


def test_who_has_not_written_the_tail_reads_each_extent_once(book: Logbook, store: ModelStore) -> None:
    book.save_each(HISTORY)
    other = Logbook(store.perform, lambda: store.now)
    assert other.compact().folded_bytes == len(b"".join(HISTORY[1:]))
    assert other.requests == {"List": 1, "Head": 1, "Get": 40, "Put": 1}


def test_a_fold_of_more_than_is_remembered_reads_no_extent_twice(
    book: Logbook, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.save_each(HISTORY)
    other = Logbook(store.perform, lambda: store.now)
    monkeypatch.setattr(look, "LINES_KEPT_BYTES", 100)
    monkeypatch.setattr(context, "LINES_KEPT_BYTES", 100)
    other.compact()
    assert other.requests == {"List": 1, "Head": 40, "Get": 40, "Put": 1}
