"""Status and the list of sessions, on a model store."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history_sink.protocol.chain import START, shorten, walk
from history_sink.protocol.listing import Listing
from history_sink_worker.archive.names import Log
from history_sink_worker.archive.sessions import list_sessions
from history_sink_worker.archive.survey import Asked, survey
from history_sink_worker.store import Put
from logbook import Logbook, some_lines
from protocol.model_store import ModelStore


def open_book(store: ModelStore, session: str = "s", branch: str | None = None) -> Logbook:
    return Logbook(store.perform, lambda: store.now, Log("history/", session, branch))


@given(
    cuts=st.sets(st.integers(1, 19)),
    folded_after=st.integers(0, 20),
    shared=st.integers(0, 20),
    more=st.integers(0, 10),
    asked=st.sets(st.integers(0, 30)),
)
def test_common_is_the_last_asked_junction_on_the_log(
    cuts: set[int], folded_after: int, shared: int, more: int, asked: set[int]
) -> None:
    history = some_lines(20)
    mine = [*history[:shared], *some_lines(more, "x")]
    book = open_book(ModelStore())
    for first, end in pairwise(sorted({0, 20, *cuts})):
        book.save(history, first, end)
        if end >= folded_after:
            book.compact()
    points = [START, *walk(START, mine)]
    junctions = [(points[at].offset, shorten(points[at].chain)) for at in asked if at < len(points)]
    expected = max((points[at].offset for at in asked if at <= min(shared, 20)), default=0)
    status = book.run(survey(book.context, "b", "history/", "s", Asked(tuple(junctions))))
    assert status.logs[0].common == expected


def test_a_history_that_is_recognised_is_not_read() -> None:
    book = open_book(ModelStore())
    history = some_lines(20)
    book.save_each(history[:15])
    assert book.survey(history).logs[0].common == len(b"".join(history[:15]))
    assert "Get" not in book.requests


def test_the_base_of_the_older_sink_is_read_once() -> None:
    store = ModelStore()
    book, history = open_book(store), some_lines(6)
    store.perform(Put(book.log.base, b"".join(history), {}))
    for gets in (1, 0):
        assert book.survey(history).logs[0].common == len(b"".join(history))
        assert book.requests.get("Get", 0) == gets
    assert store.objects[book.log.base].info.meta == {}, "an answer writes nothing"


def test_an_unknown_session_has_no_logs() -> None:
    status = open_book(ModelStore()).survey()
    assert (status.logs, status.strays, status.pending) == ((), (), 0)


def test_branches_are_logs_of_their_own() -> None:
    store = ModelStore()
    history, other = some_lines(6), [*some_lines(3), *some_lines(3, "x")]
    open_book(store).save_whole(history)
    behind = [*walk(START, other)][3]
    name = f"{behind.offset:012d}-{shorten(behind.chain)}"
    branch = open_book(store, branch=name)
    branch.save_each(other)
    store.perform(Put("history/s/branches/not-ours/history.jsonl", b"{}\n", {}))
    status = open_book(store).survey(other)
    assert [(log.branch, log.messages, log.common) for log in status.logs] == [
        (None, 6, len(b"".join(other[:3]))),
        (name, 6, len(b"".join(other))),
    ]
    assert branch.read() == b"".join(other)
    assert open_book(store).read() == b"".join(history)


def test_the_branches_do_not_fill_the_pages_of_the_main_logs_list() -> None:
    store = ModelStore()
    open_book(store).save_each(some_lines(3))
    for number in range(50):
        store.perform(Put(f"history/s/branches/{number:012d}-0123456789abcdef/history.jsonl", b"{}\n", {}))
    store.page = lambda: 5
    book = open_book(store)
    assert book.save(some_lines(4), 3, 4).outcome == "stored"
    assert book.requests["List"] == 1


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_all_sessions_are_listed_page_by_page(limit: int) -> None:
    store = ModelStore()
    names = sorted(["a", "a-1", "a.b", "a0", "a_", "b", "Z"], key=lambda name: f"{name}/")
    for name in names:
        open_book(store, name).save_each(some_lines(2))
    store.perform(Put("history/.dead/x", b"", {}))
    store.page = lambda: 3
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page: Listing = open_book(store).run(list_sessions(open_book(store).context, "history/", after, limit))
        assert len(page.sessions) <= limit
        found += [summary.session for summary in page.sessions]
        after = page.next_after
    assert found == names


def test_a_session_is_summed_up_with_its_tail() -> None:
    store = ModelStore()
    book = open_book(store)
    book.save_each(some_lines(4))
    page: Listing = book.run(list_sessions(book.context, "history/", "", 10))
    summary = page.sessions[0]
    assert (summary.messages, summary.bytes, summary.last_write) == (4, len(b"".join(some_lines(4))), 4.0)
