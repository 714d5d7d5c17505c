"""What others have put under our names: reported where it stands in the way, and in nobody's way elsewhere."""

import pytest

from history_sink.protocol.chain import START, shorten, walk
from history_sink.protocol.pointer import Fault
from history_sink_worker.archive.context import Fact
from history_sink_worker.archive.names import Log, TailName
from history_sink_worker.archive.piece import write_meta
from history_sink_worker.archive.sessions import list_sessions
from history_sink_worker.store import Corrupt, Put
from logbook import Logbook, some_lines
from protocol.model_store import ModelStore

HISTORY = some_lines(12)
WHOLE = b"".join(HISTORY)
POINTS = [START, *walk(START, HISTORY)]
WRONG = {"hs-messages": "x", "hs-before": "00", "hs-after": "zz"}


@pytest.fixture
def store() -> ModelStore:
    return ModelStore()


@pytest.fixture
def book(store: ModelStore) -> Logbook:
    return Logbook(store.perform, lambda: store.now)


def put_at(store: ModelStore, count: int, body: bytes = b"garbage", meta: dict[str, str] | None = None) -> str:
    """A foreign object under the name of the extent that continues the first `count` messages."""
    point = POINTS[count]
    key = Log("history/", "s").key(TailName(point.offset, shorten(point.chain)))
    store.perform(Put(key, body, meta if meta is not None else WRONG))
    return key


def meta_of(book: Logbook, store: ModelStore, count: int) -> dict[str, str]:
    """The metadata that the extent of message `count` would have."""
    other = ModelStore()
    Logbook(other.perform, lambda: 0.0).save(HISTORY, count, count + 1)
    return dict(next(iter(other.objects.values())).info.meta)


@pytest.mark.parametrize("kind", ["no metadata", "empty", "of another chain"])
def test_garbage_where_the_log_goes_on_is_reported_and_all_before_it_is_served(
    book: Logbook, store: ModelStore, kind: str
) -> None:
    book.save_each(HISTORY[:8])
    meta = meta_of(book, store, 8)
    wrong = {**meta, "hs-before": meta["hs-before"][:16] + "0" * 48}
    body, meta = {"no metadata": (b"x\n", {}), "empty": (b"", meta), "of another chain": (b"x\n", wrong)}[kind]
    key = put_at(store, 8, body, meta)
    for _ in range(2):
        with pytest.raises(Corrupt, match=key):
            book.save(HISTORY, 8, 9)
        assert sum(book.requests.values()) < 30
        book.hints.kept.clear()
        assert book.read() == b"".join(HISTORY[:8])
        assert book.survey(HISTORY).logs[0].common == POINTS[8].offset
        book.compact()
        assert store.objects[book.log.base].body == b"".join(HISTORY[:8])
    del store.objects[key]
    assert book.save(HISTORY, 8, 12).outcome == "stored"


def test_garbage_beside_the_log_does_not_keep_it_from_being_folded_and_swept(book: Logbook, store: ModelStore) -> None:
    book.save_each(HISTORY[:6])
    foreign = {
        f"{book.log.root}tail/000000000015-0123456789abcdef.jsonl",
        f"{book.log.root}tail/000000000015-0123456789abcdef_0123456789abcdef.jsonl",
        f"{book.log.root}tail/000000000015-0123456789abcdef~0123456789abcdef.jsonl",
    }
    for key in foreign:
        store.perform(Put(key, b"garbage", WRONG))
    book.compact()
    store.now += 10_000
    done = book.compact()
    assert (done.swept, done.left, done.again_in_seconds) == (5, 2, None)
    assert book.requests["Get"] == 1, "to prove what is swept; garbage may be large"
    assert set(store.objects) == {book.log.base, *foreign}, "what is not ours is not deleted"
    assert book.survey().logs[0].bytes == POINTS[6].offset


def test_lines_are_not_entrusted_to_garbage(book: Logbook, store: ModelStore) -> None:
    for body in (b"", b"garbage", HISTORY[4], HISTORY[4] + b"{}\n"):
        store.objects.clear()
        put_at(store, 4, body)
        assert book.save(HISTORY, 4, 6).outcome == "pending"
        mine = [blob for blob in store.objects.values() if blob.body == b"".join(HISTORY[4:6])]
        assert [blob.info.meta for blob in mine] == [
            {"hs-messages": "6", "hs-before": POINTS[4].chain.hex(), "hs-after": POINTS[6].chain.hex()}
        ]


def test_an_empty_extent_in_a_gap_is_not_waited_upon(book: Logbook, store: ModelStore) -> None:
    put_at(store, 4, b"", meta_of(book, store, 4))
    assert book.save(HISTORY, 4, 6).outcome == "pending"
    assert any(blob.body == b"".join(HISTORY[4:6]) for blob in store.objects.values())


@pytest.mark.parametrize("parted", [True, False])
def test_a_name_that_holds_other_lines_is_no_home_for_mine(book: Logbook, store: ModelStore, parted: bool) -> None:
    other = [*HISTORY[:4], *some_lines(3, "x")]
    history = some_lines(5)
    if parted:
        book.save_each(history)
    else:
        book.save(history, 4, 5)
    key = Logbook(copy_of(store).perform, lambda: 0.0).save(other, 4, 6).key
    if not parted:
        spare = copy_of(store)
        Logbook(spare.perform, lambda: 0.0).save(other, 4, 6)
        key = next(name for name in spare.objects if "_" in name)
    store.perform(Put(key, b"garbage", WRONG))
    with pytest.raises(Corrupt, match=key):
        book.save(other, 4, 6)


def copy_of(store: ModelStore) -> ModelStore:
    twin = ModelStore()
    twin.objects = dict(store.objects)
    return twin


def test_a_foreign_stray_is_named_and_keeps_no_other_from_being_read(book: Logbook, store: ModelStore) -> None:
    other = [*HISTORY[:3], *some_lines(4, "x")]
    book.save_each(HISTORY)
    book.save(other, 3, 5)
    late = book.save(other, 5, 7)
    end = [START, *walk(START, other)][5]
    lies = {**WRONG, "hs-messages": "5"}
    ends_there = f"{book.log.root}tail/000000000000-{'0' * 16}~{shorten(end.chain)}.jsonl"
    goes_past = f"{book.log.root}tail/000000000000-{'1' * 16}~{'2' * 16}.jsonl"
    store.perform(Put(ends_there, b"y" * end.offset, lies))
    store.perform(Put(goes_past, b"y" * 10_000, lies))
    assert book.read(key=late.key) == b"".join(other)
    assert {ends_there, goes_past, late.key} <= {stray.key for stray in book.survey().strays}
    with pytest.raises(Corrupt, match="foreign writer"):
        book.read(key=ends_there)


def test_a_stray_whose_metadata_ends_elsewhere_is_nobodys_beginning(book: Logbook, store: ModelStore) -> None:
    other = [*HISTORY[:3], *some_lines(4, "x")]
    points = [START, *walk(START, other)]
    book.save_each(HISTORY)
    book.save(other, 3, 5)
    late = book.save(other, 5, 7)
    forged = {**write_meta(Fact(5, points[2].chain, points[5].chain)), "hs-after": shorten(points[5].chain) + "0" * 48}
    name = TailName(points[2].offset, shorten(points[2].chain), shorten(points[5].chain), "stray")
    store.perform(Put(book.log.key(name), b"y" * (points[5].offset - points[2].offset), forged))
    assert book.read(key=late.key) == b"".join(other)


def test_a_base_that_does_not_begin_at_the_beginning_is_reported(book: Logbook, store: ModelStore) -> None:
    book.save_each(HISTORY[:2])
    extent = store.objects[next(key for key in store.objects if "tail/" in key)]
    session = Logbook(store.perform, lambda: store.now, Log("history/", "t"))
    store.perform(Put(session.log.base, extent.body, extent.info.meta))
    with pytest.raises(Corrupt, match="foreign writer"):
        session.save(HISTORY, 5, 7)


def test_a_settled_mark_beyond_all_numbers_is_no_mark(book: Logbook, store: ModelStore) -> None:
    book.save_each(HISTORY[:2])
    base = store.objects.pop(book.log.base)
    store.perform(Put(book.log.base, base.body, {**base.info.meta, "hs-settled": f"0,0,{10**400}"}))
    assert book.compact().folded_bytes == len(HISTORY[1])


def test_sessions_that_are_none_do_not_end_the_list(book: Logbook, store: ModelStore) -> None:
    for name in (".dead", ".minio.sys", ".trash", "a b", "\u00e4"):
        store.perform(Put(f"history/{name}/history.jsonl", b"{}\n", {}))
    for name in ("a", "b", "c"):
        Logbook(store.perform, lambda: store.now, Log("history/", name)).save_each(HISTORY[:2])
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page = book.run(list_sessions(book.context, "history/", after, 1))
        found += [summary.session for summary in page.sessions]
        after = page.next_after
    assert found == ["a", "b", "c"]


def test_one_session_overwritten_by_others_does_not_hide_the_rest(book: Logbook, store: ModelStore) -> None:
    for name in ("a", "b", "c"):
        Logbook(store.perform, lambda: store.now, Log("history/", name)).save_each(HISTORY[:2])
    base = store.objects.pop("history/b/history.jsonl")
    store.perform(Put("history/b/history.jsonl", base.body[:5], base.info.meta))
    page = book.run(list_sessions(book.context, "history/", "", 10))
    assert [(one.session, one.messages, bool(one.problem)) for one in page.sessions] == [
        ("a", 2, False),
        ("b", 0, True),
        ("c", 2, False),
    ]
    assert Fault("no_match") == book.read()
