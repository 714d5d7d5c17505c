"""Deleting a session: what goes, what stays, and each way in which it might come back."""

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest

from history_sink.protocol.chain import START, shorten, walk
from history_sink.protocol.contract import branch_name
from history_sink.protocol.listing import Listing
from history_sink.protocol.pointer import Fault
from history_sink_worker.archive import erasure, plan, reader, trace
from history_sink_worker.archive.changed import Changed
from history_sink_worker.archive.erasure import Swept, compact_or_sweep, entomb, sweep_beside
from history_sink_worker.archive.hint import Hint
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.save import append
from history_sink_worker.archive.sessions import list_sessions
from history_sink_worker.archive.snapshot import look
from history_sink_worker.archive.tombstone import TOMBSTONE_BYTES, tombstone
from history_sink_worker.store import Head, Put, Reply, Request, Steps
from logbook import Logbook, some_lines, upload_of
from protocol.model_store import ModelStore

T = 400.0
NO_MATCH = Fault("no_match")
TOMBSTONE = ["history/s/history.jsonl"]


@pytest.fixture
def store() -> ModelStore:
    return ModelStore()


def open_book(store: ModelStore, session: str = "s", branch: str | None = None) -> Logbook:
    return Logbook(store.perform, lambda: store.now, Log("history/", session, branch), settle_seconds=T)


@pytest.fixture
def book(store: ModelStore) -> Logbook:
    return open_book(store)


def delete(book: Logbook, session: str = "s") -> Swept:
    book.run(entomb(book.context, "history/", session))
    swept: Swept = book.run(sweep_beside(book.context, "history/", session))
    return swept


def keys(store: ModelStore, session: str = "s") -> list[str]:
    return sorted(key for key in store.objects if key.startswith(f"history/{session}/"))


def open_branch(store: ModelStore, history: list[bytes], kept: int) -> Logbook:
    """The branch of a history that shares `kept` lines with the log that it leaves."""
    point = [START, *walk(START, history)][kept + 1]
    return open_book(store, branch=branch_name(point.offset, shorten(point.chain)))


def fill(store: ModelStore, book: Logbook) -> Logbook:
    """Every kind of object: base, extents, a stray, what waits, and a branch, which is returned."""
    history = some_lines(6)
    book.save_each(history[:4])
    book.save([*history[:3], *some_lines(2, "o")], 3, 5)
    book.save([*history, *some_lines(4, "w")], 8, 10)
    branch = open_branch(store, [*history[:2], *some_lines(2, "b")], 2)
    branch.save_each([*history[:2], *some_lines(2, "b")])
    return branch


def test_all_objects_of_a_session_go_and_its_neighbours_stay(store: ModelStore, book: Logbook) -> None:
    branch = fill(store, book)
    for name in ("s-1", "s.1", "s1", "S"):
        open_book(store, name).save_each(some_lines(3))
    before = {key: blob for key, blob in store.objects.items() if not key.startswith("history/s/")}
    swept = delete(book)
    assert keys(store) == TOMBSTONE
    assert swept.objects == 3 + 1 + 1 + 4
    assert {key: store.objects[key] for key in before} == before
    assert book.read() == branch.read() == branch.read(0, 5) == NO_MATCH


def test_a_deleted_session_reads_as_one_that_never_was(store: ModelStore, book: Logbook) -> None:
    fill(store, book)
    stray = next(key for key in keys(store) if "~" in key)
    open_book(store, "t").save_each(some_lines(1))
    delete(book)
    never = open_book(store, "never").survey()
    assert (book.survey().logs, book.survey().strays, book.survey().pending) == (
        never.logs,
        never.strays,
        never.pending,
    )
    assert book.read(key=stray) == book.read(0, 1) == NO_MATCH
    page: Listing = book.run(list_sessions(book.context, "history/", "", 1))
    assert page.sessions == ()
    assert page.next_after == "s"
    page = book.run(list_sessions(book.context, "history/", "s", 1))
    assert [summary.session for summary in page.sessions] == ["t"]


def test_a_late_save_is_told_so_and_what_it_wrote_is_swept_away(store: ModelStore, book: Logbook) -> None:
    fill(store, book)
    delete(book)
    history = some_lines(9)
    assert book.save(history, 0, 2).outcome == "deleted"
    assert book.save(history, 4, 5).outcome == "deleted"
    assert book.save_whole(history).outcome == "deleted"
    assert open_branch(store, history, 2).save(history, 0, 3).outcome == "deleted"
    assert len(keys(store)) == 3
    done = book.run(compact_or_sweep(book.context, book.log))
    assert (done.swept, done.again_in_seconds) == (2, None)
    assert keys(store) == TOMBSTONE


def test_a_session_of_which_nothing_is_stored_is_deleted_too(store: ModelStore, book: Logbook) -> None:
    assert delete(book) == Swept()
    assert book.save(some_lines(1), 0, 1).outcome == "deleted"


def test_a_deletion_that_is_done_again_changes_nothing(store: ModelStore, book: Logbook) -> None:
    book.save_each(some_lines(2))
    delete(book)
    before = dict(store.objects)
    store.now += 100
    assert delete(book) == Swept()
    assert store.objects == before


def test_what_is_not_ours_stays_and_is_told(store: ModelStore, book: Logbook) -> None:
    book.save_each(some_lines(2))
    foreign = {"history/s/notes.txt", "history/s/tail/readme", "history/s/branches/x/history.jsonl"}
    for key in foreign:
        store.perform(Put(key, b"mine", {}))
    assert delete(book).foreign == foreign
    assert set(keys(store)) == {*foreign, *TOMBSTONE}


def test_without_a_tombstone_nothing_is_swept_away(store: ModelStore, book: Logbook) -> None:
    book.save_each(some_lines(2))
    before = dict(store.objects)
    assert book.run(sweep_beside(book.context, "history/", "s")) == Swept()
    assert store.objects == before


def test_a_save_in_the_steady_state_costs_one_request_and_a_branchs_first_two(store: ModelStore) -> None:
    book = open_book(store)
    book.save_each(some_lines(3))
    assert book.requests == {"Put": 1}
    branch = open_branch(store, some_lines(3), 1)
    branch.save(some_lines(3), 0, 1)
    assert branch.requests == {"Put": 1, "Head": 1}
    branch.save(some_lines(3), 1, 2)
    assert branch.requests == {"Put": 1}


class Interrupted:
    """Work under way, that stands still between two requests."""

    def __init__(self, store: ModelStore, steps: Steps[Any]) -> None:
        self.store, self.steps = store, steps
        self.reply: Reply = None

    def do(self, count: int = 1) -> None:
        """Make so many requests; the last one's reply is on its way."""
        for _ in range(count):
            request: Request = self.steps.send(self.reply)
            self.reply = self.store.perform(request)

    def end(self) -> Any:
        while True:
            try:
                self.do()
            except StopIteration as end:
                return end.value


def _renew(monkeypatch: pytest.MonkeyPatch, store: ModelStore) -> None:
    """The naive rule: each save gives the hint a new time."""
    move = Hint.move
    monkeypatch.setattr(Hint, "move", lambda *known: replace(move(*known), proved_at=store.now))


@pytest.mark.parametrize("is_naive", [False, True])
def test_a_hint_that_outlives_the_deletion_is_believed_for_a_while_only(
    monkeypatch: pytest.MonkeyPatch, store: ModelStore, is_naive: bool
) -> None:
    if is_naive:
        _renew(monkeypatch, store)
    book, history = open_book(store), some_lines(30)
    book.save_each(history[:2])
    under_way = Interrupted(store, append(book.context, book.log, upload_of(history, 2, 3)))
    under_way.do()
    delete(book)
    assert under_way.end().outcome == "stored"  # it had its hint before, and leaves one behind
    outcomes = []
    for at in range(3, 13):
        store.now += T / 8
        outcomes.append(book.save(history, at, at + 1).outcome)
        assert book.read() == NO_MATCH
    assert (outcomes[-1] == "stored") == is_naive
    assert outcomes[:2] == ["stored", "stored"]


@pytest.mark.parametrize("is_naive", [False, True])
def test_a_branch_that_was_begun_by_who_died_is_not_read(
    monkeypatch: pytest.MonkeyPatch, store: ModelStore, book: Logbook, is_naive: bool
) -> None:
    if is_naive:
        monkeypatch.setattr(reader, "check_alive", _ask_nobody)
    book.save_each(some_lines(2))
    delete(book)
    branch = open_branch(store, some_lines(3, "b"), 0)
    Interrupted(store, append(branch.context, branch.log, upload_of(some_lines(3, "b"), 0, 1))).do()
    assert (branch.read(0, 5) == NO_MATCH) != is_naive


def _ask_nobody(_: Log) -> Steps[None]:
    yield from ()


@pytest.mark.parametrize("is_naive", [False, True])
def test_what_follows_a_base_as_small_as_a_tombstone_is_not_read_by_names_alone(
    monkeypatch: pytest.MonkeyPatch, store: ModelStore, book: Logbook, is_naive: bool
) -> None:
    if is_naive:
        monkeypatch.setattr(plan, "TOMBSTONE_BYTES", 0)
    size = len(tombstone(book.log, store.now, None).body)
    assert size <= TOMBSTONE_BYTES
    history = [b"x" * (size - 1) + b"\n", *some_lines(2)]
    book.save_each(history[:1])
    kept = dict(book.hints.kept)
    delete(book)
    book.hints.kept = kept  # as one that had it before leaves it behind
    assert book.save(history, 1, 2).outcome == "stored"
    assert (book.read(size, size + 3) == NO_MATCH) != is_naive


@pytest.mark.parametrize("is_naive", [False, True])
def test_a_tombstone_is_not_read_as_content(
    monkeypatch: pytest.MonkeyPatch, store: ModelStore, book: Logbook, is_naive: bool
) -> None:
    if is_naive:
        monkeypatch.setattr(trace, "is_tombstone", lambda _: False)
    book.save_each(some_lines(12))
    segments = book.run(look(book.context, book.log)).line.segments
    delete(book)
    with nullcontext() if is_naive else pytest.raises(Changed):
        book.run(trace.read_span(segments, 0, 5))


@pytest.mark.parametrize("is_naive", [False, True])
def test_a_late_write_for_an_empty_base_does_not_hit_the_tombstone(
    monkeypatch: pytest.MonkeyPatch, store: ModelStore, book: Logbook, is_naive: bool
) -> None:
    if is_naive:
        monkeypatch.setattr(erasure, "tombstone", lambda log, _, etag: Put(log.base, b"", {"hs-deleted": "0"}, etag))
    store.equal_etags = True
    store.perform(Put(book.log.base, b"", {}))
    info = store.perform(Head(book.log.base))
    delete(book)
    late = Put(book.log.base, b"{}\n", {}, if_match=info.etag)  # type: ignore[union-attr]  # it is there
    assert (store.perform(late) is None) != is_naive


def test_what_lands_late_goes_with_the_second_sweep(store: ModelStore, book: Logbook) -> None:
    book.save_each(some_lines(2))
    late = next(append(book.context, book.log, upload_of(some_lines(3), 2, 3)))
    delete(book)
    store.now += T - 1
    store.perform(late)
    assert book.read() == NO_MATCH
    store.now += erasure.second_sweep_seconds(book.context)
    book.run(compact_or_sweep(book.context, book.log))
    assert keys(store) == TOMBSTONE


@pytest.mark.parametrize("requests", range(1, 5))
def test_who_is_interrupted_by_the_deletion_leaves_nothing(store: ModelStore, book: Logbook, requests: int) -> None:
    history = some_lines(40)
    book.save_each(history[:20])
    waiting = Interrupted(store, append(book.context, book.log, upload_of(history, 25, 30)))
    folding = Interrupted(store, compact_or_sweep(book.context, book.log, everything=True))
    waiting.do(requests)
    folding.do(requests)
    delete(book)
    assert waiting.end().outcome in ("deleted", "pending")
    folding.end()
    book.run(compact_or_sweep(book.context, book.log))
    assert keys(store) == TOMBSTONE
