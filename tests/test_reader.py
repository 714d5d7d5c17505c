"""Pointers on a model store: joined reads, ranges, the allow-list, the cap, and what a compaction does in between."""

import pytest

from history_sink.protocol.pointer import Fault
from history_sink_worker.archive.hint import Hint
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.piece import Piece, write_meta
from history_sink_worker.archive.reader import fault_of, read
from history_sink_worker.store import Away, Corrupt, Delete, Denied, Get, List, Put, Reply, Request
from logbook import CAP_BYTES, Logbook, some_lines, upload_of
from protocol.model_store import ModelStore

HISTORY = some_lines(12)
WHOLE = b"".join(HISTORY)


@pytest.fixture
def store() -> ModelStore:
    return ModelStore()


@pytest.fixture
def book(store: ModelStore) -> Logbook:
    book = Logbook(store.perform, lambda: store.now)
    book.save_each(HISTORY)
    return book


def test_every_range_reads_as_one_log_before_and_after_compaction(book: Logbook) -> None:
    for _ in range(2):
        for start in range(0, len(WHOLE) + 3, 7):
            for end in range(start + 1, len(WHOLE) + 9, 11):
                expected = WHOLE[start:end] or Fault("no_match")
                assert book.read(start, end) == expected
        book.compact()


def test_what_the_base_covers_is_one_get(book: Logbook) -> None:
    book.compact()
    assert book.read(10, 30) == WHOLE[10:30]
    assert book.requests == {"Get": 1}


def test_no_hint_is_asked_for_where_the_base_was_seen_to_reach(book: Logbook, monkeypatch: pytest.MonkeyPatch) -> None:
    book.compact()
    book.save(some_lines(13), 12, 13)
    asked: list[str] = []

    def ask(root: str) -> Hint | None:
        asked.append(root)
        return book.hints.kept.get(root)

    monkeypatch.setattr(book.hints, "get", ask)
    for _ in range(3):
        assert book.read(10, 30) == WHOLE[10:30]
    assert asked == [book.log.root]
    assert book.read(len(WHOLE), 10**9) == some_lines(13)[12]
    assert len(asked) > 1  # behind it


def test_the_newest_message_is_one_list_and_one_get_with_a_hint(store: ModelStore) -> None:
    book, history = Logbook(store.perform, lambda: store.now, Log("history/", "t")), some_lines(12, size_bytes=80)
    book.save_each(history)
    assert book.read(11 * 81, 12 * 81) == history[-1]
    assert book.requests == {"Get": 1, "List": 1}
    book.compact()
    assert book.read(11 * 81, 12 * 81) == history[-1]
    assert book.requests == {"Get": 1}


@pytest.mark.parametrize(("start", "end"), [(5, 5), (9, 3), (10**6, 10**6 + 1), (2**64 - 2, 2**64 - 1)])
def test_nothing_in_the_range_is_no_match(book: Logbook, start: int, end: int) -> None:
    assert book.read(start, end) == Fault("no_match")


def test_an_unknown_session_is_no_match(book: Logbook) -> None:
    assert book.read(key="history/unknown/history.jsonl") == Fault("no_match")
    assert book.read(0, 5, key="history/unknown/history.jsonl") == Fault("no_match")


def test_an_empty_log_is_no_match(book: Logbook, store: ModelStore) -> None:
    store.perform(Put("history/empty/history.jsonl", b"", {}))
    assert book.read(key="history/empty/history.jsonl") == Fault("no_match")
    assert book.read(0, 5, key="history/empty/history.jsonl") == Fault("no_match")


@pytest.mark.parametrize(
    "key",
    [
        "other/s/history.jsonl",
        "history/../secret/history.jsonl",
        "history/s/../t/history.jsonl",
        "history//history.jsonl",
        "history/s/tail/000000000017-0123456789abcdef.jsonl",
        "history/s/tail/000000000017-0123456789abcdef_0123456789abcdef.jsonl",
        "history/s/branches/x/history.jsonl",
        "history/.dead/x",
        "history/s/history.jsonl\n",
        "",
    ],
)
def test_a_key_that_is_no_log_of_ours_is_denied(book: Logbook, key: str) -> None:
    answer = book.read(key=key or "/")
    assert isinstance(answer, Fault)
    assert answer.kind == "denied"
    assert not book.requests


def test_over_the_cap_is_denied_and_says_so(book: Logbook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("logbook.CAP_BYTES", 20)
    answer = book.read()
    assert answer == Fault("denied", f"{len(WHOLE)} bytes are over the cap of 20; ask for ranges")
    assert book.read(0, 20) == WHOLE[:20]
    assert book.read(len(WHOLE) - 5, 10**9) == WHOLE[-5:], "measured after clamping"


def test_a_compaction_between_list_and_get_is_not_seen(book: Logbook, store: ModelStore) -> None:
    book.hints.kept.clear()
    other = Logbook(store.perform, lambda: store.now)
    state = {"listed": False, "done": False}

    def perform(request: Request) -> Reply:
        if isinstance(request, List):
            state["listed"] = True
        if isinstance(request, Get) and state["listed"] and not state["done"]:
            state["done"] = True
            other.compact()
            store.now += 10_000
            other.compact()
            assert other.requests.get("Delete") == 1
        return store.perform(request)

    reader = Logbook(perform, lambda: store.now)
    assert reader.read() == WHOLE
    assert state["done"]


def test_a_list_so_slow_that_a_sweep_ran_between_its_pages_is_not_believed() -> None:
    store = ModelStore()
    parted = upload_of([*some_lines(1, "x"), *some_lines(1, "y")], 1, 2)
    piece = Piece(parted.start, parted.lines)

    def perform(request: Request) -> Reply:
        if isinstance(request, List) and request.after == writer.log.base and not store.now > 7200:
            store.page = lambda: 1000
            writer.compact()
            store.now += 7201
            writer.compact()
            store.perform(Put(writer.log.key(piece.extent), piece.body, write_meta(piece.fact)))
        return store.perform(request)

    writer = Logbook(store.perform, lambda: store.now)
    writer.save_each(HISTORY[:2])
    reader = Logbook(perform, lambda: store.now)
    reader.hints.kept.update(writer.hints.kept)
    store.page = lambda: 1
    assert reader.read(0, len(HISTORY[0]) * 2) == b"".join(HISTORY[:2])
    assert store.now > 7200


def test_a_name_that_is_freed_and_claimed_anew_meanwhile_is_not_taken_for_what_was_seen(
    book: Logbook, store: ModelStore
) -> None:
    """Between the look and the GET: a fold, a sweep, and a late writer of another history under the freed name."""
    other = [*HISTORY[:3], *(line.replace(b"m", b"x") for line in HISTORY[3:])]
    late = Logbook(store.perform, lambda: store.now)
    done: list[str] = []

    def perform(request: Request) -> Reply:
        if isinstance(request, Get) and "/tail/" in request.key and not done:
            done.append(request.key)
            for _ in range(2):
                late.compact()
                store.now += 10_000
            late.compact()
            done.append(late.save(other, 3, 4).outcome)
        return store.perform(request)

    reader = Logbook(perform, lambda: store.now)
    start = len(HISTORY[0]) * 3
    assert reader.read(start, start + len(HISTORY[0])) == HISTORY[3]
    assert done[1] == "diverged"


def test_a_stray_without_its_beginning_is_a_backend_error(book: Logbook, store: ModelStore) -> None:
    other = [*HISTORY[:3], *some_lines(4, "x")]
    book.save(other, 3, 5)
    late = book.save(other, 5, 7)
    first = next(key for key in store.objects if "~" in key and key != late.key)
    store.perform(Delete((first,)))
    with pytest.raises(Away, match="what comes before it is not there yet") as caught:
        book.read(key=late.key)
    assert fault_of(caught.value).kind == "backend_error"


def test_a_refusal_of_the_store_is_denied_and_anything_else_a_backend_error() -> None:
    assert fault_of(Denied("GET s3://b/k failed: AccessDenied (403)")) == Fault(
        "denied", "GET s3://b/k failed: AccessDenied (403)"
    )
    assert fault_of(Away("x")).kind == fault_of(Corrupt("x")).kind == "backend_error"


@pytest.mark.parametrize("handle", [None, 7, [], {}, {"bucket": "b"}, {"bucket": "b", "key": "k", "byte_range": [1]}])
def test_a_malformed_handle_is_a_backend_error(book: Logbook, handle: object) -> None:
    answer = book.run(read(book.context, "b", "history/", handle, CAP_BYTES))
    assert answer.kind == "backend_error"
    assert answer.reason.startswith("malformed handle: ")
