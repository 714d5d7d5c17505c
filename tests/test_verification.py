"""What `verify` says of a log, on a model store: sound ones, each kind of damage, and what changes while it reads."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from history_sink_worker.archive import trace
from history_sink_worker.archive.erasure import entomb
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.tombstone import Deleted
from history_sink_worker.archive.verification import Checked, verify_log
from history_sink_worker.store import Blob, Delete, Put, Reply, Request, run
from logbook import Logbook, some_lines
from protocol.model_store import ModelStore

T = 400.0
HISTORY = some_lines(12)
BASE = "history/s/history.jsonl"


@pytest.fixture
def store() -> ModelStore:
    return ModelStore()


@pytest.fixture
def book(store: ModelStore) -> Logbook:
    return Logbook(store.perform, lambda: store.now, Log("history/", "s"), settle_seconds=T)


def verify(book: Logbook) -> Checked:
    checked: Checked = book.run(verify_log(book.context, book.log))
    return checked


def kinds(book: Logbook) -> list[tuple[str, str]]:
    return [(finding.level, finding.kind) for finding in verify(book).findings]


def tails(store: ModelStore) -> list[str]:
    return sorted(key for key in store.objects if "/tail/" in key)


def damage(store: ModelStore, key: str, change: Callable[[bytes], bytes], **meta: str) -> None:
    """As a foreign program would: other bytes, the same metadata but for `meta`."""
    blob = store.objects[key]
    body = change(blob.body)
    info = replace(blob.info, size_bytes=len(body), etag="damaged", meta={**blob.info.meta, **meta})
    store.objects[key] = Blob(body, info)


def test_a_sound_log_has_no_findings_at_any_stage(store: ModelStore, book: Logbook) -> None:
    for _ in range(3):
        for first in range(0, 12, 3):
            book.save(HISTORY, first, first + 3)
            assert kinds(book) == []
        book.compact()
        assert kinds(book) == []
        store.now += 2 * T
        book.compact()
        assert kinds(book) == []
    checked = verify(book)
    assert (checked.messages, checked.size_bytes) == (12, len(b"".join(HISTORY)))


def test_pieces_of_any_size_are_read(monkeypatch: pytest.MonkeyPatch, book: Logbook) -> None:
    book.save_each(HISTORY)
    monkeypatch.setattr(trace, "CHUNK_BYTES", 5)
    assert kinds(book) == []


def test_metadata_of_ours_that_cannot_be_read_is_a_problem_and_not_an_older_sinks(
    store: ModelStore, book: Logbook
) -> None:
    book.save_each(HISTORY[:3])
    found = store.objects[BASE]
    store.perform(Put(BASE, found.body, {**found.info.meta, "hs-after": "cut"}, found.info.etag))
    assert ("problem", "metadata") in kinds(book)


def test_nothing_is_changed(store: ModelStore, book: Logbook) -> None:
    store.perform(Put(BASE, b"{}\n{}", {}))
    before = dict(store.objects)
    assert kinds(book) == [("note", "unadopted")]
    assert store.objects == before
    assert set(book.requests) <= {"List", "Head", "Get"}


def test_a_stray_and_what_follows_it_is_a_note(store: ModelStore, book: Logbook) -> None:
    book.save_each(HISTORY[:6])
    other = [*HISTORY[:3], *some_lines(6, "o")]
    book.save(other, 3, 5)
    book.save(other, 5, 9)
    assert kinds(book) == [("note", "stray"), ("note", "stray"), ("note", "kept")]


def test_lines_that_wait_for_their_beginning_are_a_problem_when_they_have_done_so_for_long(
    store: ModelStore, book: Logbook
) -> None:
    book.save_each(HISTORY[:3])
    book.save(HISTORY, 5, 7)
    assert kinds(book) == [("note", "gap")]
    assert verify(book).findings[0].text == "bytes 39 to 65, which come before it, are not there"
    store.now += T
    assert kinds(book) == [("problem", "gap")]
    book.save(HISTORY, 3, 5)
    assert kinds(book) == []


def test_lines_without_any_base_wait_too(book: Logbook) -> None:
    book.save(HISTORY, 5, 7)
    assert kinds(book) == [("note", "gap")]


def test_a_stray_whose_beginning_went_is_an_orphan(store: ModelStore, book: Logbook) -> None:
    book.save_each(HISTORY[:6])
    other = [*HISTORY[:3], *some_lines(6, "o")]
    book.save(other, 3, 5)
    book.save(other, 5, 9)
    store.perform(Delete((next(key for key in tails(store) if "~" in key),)))
    store.now += T
    assert kinds(book) == [("problem", "orphan"), ("note", "overlap")]


def test_an_extent_that_overlaps_the_log_is_a_note(store: ModelStore, book: Logbook) -> None:
    book.save_each(HISTORY[:6])
    other = [*HISTORY[:3], *some_lines(6, "o")]
    Logbook(store.perform, lambda: store.now, Log("history/", "t")).save(other, 4, 6)
    key = next(key for key in tails(store) if key.startswith("history/t/"))
    store.objects[key.replace("/t/", "/s/")] = store.objects[key]
    assert kinds(book) == [("note", "overlap")]


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], list[str]]] = {
    "a byte of the base": (lambda body: body.replace(b"00", b"01", 1), ["chain"]),
    "the base cut in mid-line": (lambda body: body[:-5], ["size", "open line"]),
    "the base cut at a line": (lambda body: body[: len(HISTORY[0])], ["size"]),
    "the base longer": (lambda body: body + b"{}\n", ["size"]),
    "an empty base": (lambda body: b"", ["size"]),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_base_is_found(store: ModelStore, book: Logbook, name: str) -> None:
    change, expected = DAMAGE[name]
    book.save_each(HISTORY)
    book.compact()
    store.now += 2 * T
    book.compact()
    damage(store, BASE, change)
    assert kinds(book) == [("problem", kind) for kind in expected]


def test_a_base_of_another_history_is_found_though_its_size_is_right(store: ModelStore, book: Logbook) -> None:
    book.save_each(HISTORY[:1])
    damage(store, BASE, lambda _: b"", **{"hs-bytes": "0"})
    assert kinds(book) == [("problem", "chain")]


@pytest.mark.parametrize(
    ("change", "meta", "kind"),
    [
        (lambda body: body.replace(b"00", b"01", 1), {}, "chain"),
        (lambda body: body[:-3], {}, "chain"),
        (lambda body: body + b"{}\n", {}, "chain"),
        (lambda body: body, {"hs-before": "00" * 32}, "metadata"),
        (lambda body: body, {"hs-messages": "many"}, "metadata"),
    ],
)
def test_a_damaged_extent_is_found_and_what_follows_it_waits(
    store: ModelStore, book: Logbook, change: Callable[[bytes], bytes], meta: dict[str, str], kind: str
) -> None:
    book.save_each(HISTORY[:4])
    key = tails(store)[1]
    damage(store, key, change, **meta)
    findings = verify(book).findings
    assert (findings[0].level, findings[0].kind, findings[0].key) == ("problem", kind, key)
    assert [finding.kind for finding in findings[1:]] == ["gap"]


def test_of_a_deleted_session_no_log_is_verified(book: Logbook) -> None:
    book.save_each(HISTORY)
    book.run(entomb(book.context, "history/", "s"))
    with pytest.raises(Deleted):
        verify(book)


class Meddled:
    """A store on which something else happens before the request number `at`, or before each from there on."""

    def __init__(self, store: ModelStore, at: int, act: Callable[[], Any], times: int = 1) -> None:
        self.store, self.at, self.act, self.times = store, at, act, times
        self.requests = 0

    def perform(self, request: Request) -> Reply:
        self.requests += 1
        if self.at <= self.requests < self.at + self.times:
            self.act()
        return self.store.perform(request)


@pytest.mark.parametrize("at", range(1, 40, 3))
def test_what_workers_do_meanwhile_is_no_finding(store: ModelStore, book: Logbook, at: int) -> None:
    book.save_each(HISTORY[:6])
    book.compact()
    book.save_each(HISTORY[:9], 6)
    store.now += 2 * T

    def work() -> None:
        book.compact()
        store.now += 2 * T
        book.compact()
        book.save_each(HISTORY, 9)

    meddled = Meddled(store, at, work)
    checked: Checked = run(verify_log(book.context, book.log), meddled.perform)
    assert checked.findings == []


def test_a_log_that_never_stands_still_is_said_to_be_unverified(store: ModelStore, book: Logbook) -> None:
    book.save_each(HISTORY[:2])

    def grow() -> None:
        damage(store, BASE, lambda body: body + b"{}\n")

    checked: Checked = run(verify_log(book.context, book.log), Meddled(store, 1, grow, times=1000).perform)
    assert [(finding.level, finding.kind) for finding in checked.findings] == [("problem", "busy")]
