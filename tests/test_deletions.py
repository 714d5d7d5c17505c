"""The names of deleted sessions: one request tells whether there are new ones, and none is lost."""

from collections import Counter

import pytest

from history_sink_worker.archive import deletions
from history_sink_worker.archive.deletions import Announced, announce
from history_sink_worker.archive.names import DELETED
from history_sink_worker.store import Away, Get, Put, Reply, Request, Steps, run
from protocol.model_store import ModelStore

PREFIX = "history/"


@pytest.fixture
def store() -> ModelStore:
    return ModelStore()


def ask(store: ModelStore, known: Announced) -> tuple[set[str], int]:
    """The names, and how many requests they took."""
    requests: list[Request] = []

    def perform(request: Request) -> Reply:
        requests.append(request)
        return store.perform(request)

    return {*run(known.look(PREFIX), perform)}, len(requests)


def test_one_request_tells_that_nothing_was_deleted(store: ModelStore) -> None:
    known = Announced()
    assert [ask(store, known) for _ in range(2)] == [(set(), 1)] * 2
    run(announce(PREFIX, ["b"]), store.perform)
    assert [ask(store, known) for _ in range(2)] == [({"b"}, 2), ({"b"}, 1)]
    run(announce(PREFIX, ["c", "a"]), store.perform)
    assert [ask(store, known) for _ in range(2)] == [({"a", "b", "c"}, 2), ({"a", "b", "c"}, 1)]


def test_a_name_is_written_once(store: ModelStore) -> None:
    run(announce(PREFIX, ["a", "b"]), store.perform)
    asked: Counter[str] = Counter()

    def perform(request: Request) -> Reply:
        asked[type(request).__name__] += 1
        return store.perform(request)

    run(announce(PREFIX, ["b"]), perform)
    assert asked == {"Get": 1}


def test_of_two_that_write_at_once_both_are_named(store: ModelStore) -> None:
    """Whichever request of the other comes between."""
    for first in ((), ("old",)):
        for step in range(3):
            store.objects.clear()
            if first:
                run(announce(PREFIX, first), store.perform)
            seen = 0

            def perform(request: Request, at: int = step) -> Reply:
                nonlocal seen
                if seen == at:
                    run(announce(PREFIX, ["other"]), store.perform)
                seen += 1
                return store.perform(request)

            run(announce(PREFIX, ["own"]), perform)
            run(announce(PREFIX, ["other"]), store.perform)
            assert ask(store, Announced())[0] == {*first, "own", "other"}


def test_it_is_told_where_others_always_come_first(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deletions, "_TRIES", 3)

    def refuse(request: Request) -> Reply:
        return None

    steps: Steps[None] = announce(PREFIX, ["a"])
    with pytest.raises(Away, match=r"~deleted"):
        run(steps, refuse)


@pytest.mark.parametrize("body", [b"", b"a", b"\xff\n"])
def test_what_another_program_has_done_to_it_loses_no_name(store: ModelStore, body: bytes) -> None:
    run(announce(PREFIX, ["known"]), store.perform)
    known = Announced()
    ask(store, known)
    now = store.perform(Get(PREFIX + DELETED))
    assert store.perform(Put(PREFIX + DELETED, body, {}, now.info.etag))  # type: ignore[union-attr]  # it is there
    assert "known" in ask(store, known)[0]
    run(announce(PREFIX, ["new"]), store.perform)
    assert {"known", "new"} <= ask(store, known)[0]
