"""The list of sessions: what is asked of each decides how many requests it takes. On a model store and on real ones."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history_sink import Malformed, SessionSummary
from history_sink.protocol.chain import START, shorten, walk
from history_sink.protocol.contract import branch_name
from history_sink.protocol.listing import FIELDS, Listing
from history_sink.testing import MemorySink
from history_sink_worker.archive.erasure import entomb
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.sessions import list_sessions
from history_sink_worker.archive.tombstone import may_be_tombstone, tombstone
from history_sink_worker.s3.client import S3Store
from history_sink_worker.store import Entry, Put
from logbook import Logbook, some_lines
from protocol.model_store import ModelStore

DEPTHS: list[tuple[str, ...]] = [(), ("last_write",), ("messages", "last_write"), FIELDS]
TRICKY = ["-x", "0", "A", "a", "a-1", "a.b", "a0", "a_", "aa", "ab", "ab-", "b", "b" * 200]


def open_book(store: ModelStore, session: str = "s", branch: str | None = None) -> Logbook:
    return Logbook(store.perform, lambda: store.now, Log("history/", session, branch))


def ask(book: Logbook, after: str = "", limit: int = 1000, prefix: str = "", fields: Sequence[str] = ()) -> Listing:
    page: Listing = book.run(list_sessions(book.context, "history/", after, limit, prefix, fields))
    return page


def names(page: Listing) -> list[str]:
    return [each.session for each in page.sessions]


@given(
    held=st.sets(st.sampled_from(TRICKY)),
    prefix=st.sampled_from(["", "a", "a-", "ab", "b", "zz", "-", "a.b"]),
    after=st.sampled_from(["", *TRICKY]),
    limit=st.integers(1, 5),
    page=st.integers(1, 4),
    fields=st.sampled_from(DEPTHS),
)
def test_pages_have_each_session_that_begins_so_once(
    held: set[str], prefix: str, after: str, limit: int, page: int, fields: tuple[str, ...]
) -> None:
    store = ModelStore()
    for name in held:
        open_book(store, name).save_each(some_lines(2))
    for key in ("history/.dead/x", "history/a b/x", "history/loose"):
        store.perform(Put(key, b"", {}))
    store.page = lambda: page
    expected = sorted((f"{name}/" for name in held if name.startswith(prefix)), key=str)
    found: list[str] = []
    position: str | None = after
    while position is not None:
        listing = ask(open_book(store), position, limit, prefix, fields)
        assert len(listing.sessions) <= limit
        found += names(listing)
        position = listing.next_after
    assert found == [name[:-1] for name in expected if not after or name > f"{after}/"]


def test_names_of_a_thousand_sessions_take_two_requests() -> None:
    store = ModelStore()
    for number in range(1001):
        open_book(store, f"s-{number:04}").save_each(some_lines(3))
    book = open_book(store)
    page = ask(book)
    assert (len(page.sessions), page.next_after, book.requests) == (1000, "s-0999", {"List": 2})
    assert page.sessions[0] == SessionSummary("s-0000")
    page = ask(book, fields=["last_write", "branches"])
    assert (len(page.sessions), page.next_after, book.requests) == (1000, "s-0999", {"List": 4})
    assert page.sessions[7] == SessionSummary("s-0007", last_write=page.sessions[7].last_write, branches=0)
    assert names(ask(book, prefix="s-000")) == [f"s-000{digit}" for digit in range(10)]
    assert book.requests == {"List": 1}
    ask(book, prefix="s-00", fields=["messages"])
    assert sum(book.requests.values()) > 100


def test_dead_letters_are_passed_over_in_one_request() -> None:
    store = ModelStore()
    for number in range(5000):
        store.perform(Put(f"history/.dead/{number:06}", b"", {}))
    for name in ("-first", "last"):
        open_book(store, name).save_each(some_lines(1))
    book = open_book(store)
    assert names(ask(book, fields=["last_write"])) == ["-first", "last"]
    assert book.requests == {"List": 2}


def test_the_last_write_counts_branches_and_what_lies_beside() -> None:
    store = ModelStore()
    history, other = some_lines(6), [*some_lines(3), *some_lines(2, "x")]
    main = open_book(store)
    main.save_each(history)
    (seen,) = ask(main, fields=["last_write", "branches"]).sessions
    assert (seen.last_write, seen.branches) == (max(each.info.modified for each in store.objects.values()), 0)
    behind = [START, *walk(START, other)][4]
    open_book(store, branch=branch_name(behind.offset, shorten(behind.chain))).save_each(other)
    (seen,) = ask(main, fields=["last_write", "branches"]).sessions
    assert (seen.last_write, seen.branches) == (store.now - 1, 1)
    main.save([*history[:4], *some_lines(1, "apart")], 4, 5)
    (seen,) = ask(main, fields=["last_write"]).sessions
    assert seen.last_write == max(each.info.modified for each in store.objects.values())
    (looked,) = ask(main, fields=["last_write", "chain"]).sessions
    assert (looked.last_write, looked.chain) == (seen.last_write, shorten([*walk(START, history)][-1].chain))


def test_a_deleted_session_is_passed_over_and_only_what_has_a_tombstones_size_is_asked() -> None:
    store = ModelStore()
    for name, size_bytes in (("gone", 10), ("short", 41), ("same-size", 42), ("long", 43)):
        open_book(store, name).save_each(some_lines(1, "m", size_bytes))
    book = open_book(store, "gone")
    book.run(entomb(book.context, "history/", "gone"))
    assert names(ask(book, fields=["last_write"])) == ["long", "same-size", "short"]
    assert book.requests == {"List": 1, "Head": 2}
    assert names(ask(book)) == ["gone", "long", "same-size", "short"], "a LIST of folders does not tell"
    page = ask(book, limit=1, fields=["last_write"])
    assert (names(page), page.next_after) == ([], "gone")


@pytest.mark.parametrize("now", [0.0, 1.0, 1_800_000_000.5, 4_000_000_000.123456])
def test_each_tombstone_has_the_size_that_they_are_known_by(now: float) -> None:
    put = tombstone(Log("history/", "s"), now, None)
    assert may_be_tombstone(Entry(put.key, len(put.body), "", now))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"prefix": "a/b"}, "prefix is how session ids begin: .*not 'a/b'"),
        ({"prefix": ".a"}, "prefix is how session ids begin"),
        ({"prefix": "a" * 201}, "prefix is how session ids begin"),
        ({"prefix": None}, "prefix is how session ids begin: .*not NoneType"),
        ({"fields": "messages"}, "fields is a list of names, not str"),
        ({"fields": 5}, "fields is a list of names, not int"),
        ({"fields": ["last_write", "mesages"]}, "not 'mesages'"),
        ({"fields": [["messages"]]}, "not list"),
    ],
)
def test_what_cannot_be_asked_is_named_before_anybody_is_asked(asked: dict[str, Any], said: str) -> None:
    with MemorySink() as sink, sink.archive.broker_away(), pytest.raises(Malformed, match=said):
        sink.list_sessions(**asked)


def test_an_answer_has_only_what_was_asked_for_whoever_gives_it() -> None:
    older = {"session": "ab", "messages": 1, "bytes": 2, "last_write": 3.0, "branches": 4, "later_branch": None}
    answer = {"sessions": [{**older, "session": "aa"}, older, {**older, "session": "b"}], "next_after": "b"}
    page = Listing.decode(answer, ["bytes", "chain"]).only("ab")
    assert page == Listing((SessionSummary("ab", bytes=2),), None)
    assert Listing.decode(answer).only("").next_after == "b"
    assert Listing.decode({**answer, "next_after": "aa"}).only("ab") == Listing((page_of(older),), "aa")
    with pytest.raises(Malformed, match="bytes"):
        Listing.decode({"sessions": [{"session": "s"}], "next_after": None}, ["bytes"])
    assert Listing.decode({"sessions": [{"session": "s"}], "next_after": None}, []).sessions == (SessionSummary("s"),)


def page_of(older: dict[str, Any]) -> SessionSummary:
    return Listing.decode({"sessions": [older], "next_after": None}).sessions[0]


@pytest.mark.each_store
def test_a_thousand_sessions_on_a_real_store_take_as_few_requests(store: S3Store) -> None:
    root = "thousand/"
    puts = [Put(f"{root}s-{number:04}/history.jsonl", b'{"a":1}\n', {}) for number in range(1000)]
    puts += [Put(f"{root}s-0500/tail/{number:012}-{'0' * 16}.jsonl", b"{}\n", {}) for number in range(1, 60)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(store.perform, puts))
    book = Logbook(store.perform, time.time)

    def ask_real(prefix: str, *fields: str) -> tuple[list[str], int]:
        page: Listing = book.run(list_sessions(book.context, root, "", 1000, prefix, fields))
        assert page.next_after is None
        assert all(getattr(page.sessions[0], name) is not None for name in fields)
        return names(page), sum(book.requests.values())

    expected = [f"s-{number:04}" for number in range(1000)]
    found, requests = ask_real("")
    assert found == expected
    assert requests <= 2
    found, requests = ask_real("", "last_write", "branches")
    assert found == expected
    assert requests <= 3
    assert ask_real("s-05") == (expected[500:600], 1)
    assert ask_real("s-05", "last_write") == (expected[500:600], 1)
    page: Listing = book.run(list_sessions(book.context, root, "s-0499", 3, "s-05", ["last_write"]))
    assert names(page) == expected[500:503]
    assert ask_real("s-050", "messages")[1] > 10
