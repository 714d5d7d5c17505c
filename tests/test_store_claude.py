"""The Claude Agent SDK's store: the SDK's own kit, and what that kit does not look at, on an archive in memory."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any, cast

import claude_agent_sdk as sdk
import pytest
from claude_agent_sdk.testing import run_session_store_conformance
from hypothesis import given, settings
from hypothesis import strategies as st

from history_sink import HistorySink, NoAnswer, Unavailable
from history_sink.testing import MemoryArchive, MemorySink
from history_sink_agents.stores.claude import SessionStore
from history_sink_agents.stores.shared_log import NotStored

KEY: sdk.SessionKey = {"project_key": "-home-me-app", "session_id": "5f0c0f0e-7a53-4a0a-a3ec-1f6a7b1f3c11"}
SUB: sdk.SessionKey = {**KEY, "subpath": "subagents/workflows/run.1/agent-7"}


def entry(number: int, **fields: Any) -> sdk.SessionStoreEntry:
    return cast("sdk.SessionStoreEntry", {"type": "user", "uuid": f"u{number}", "n": number, **fields})


def entries(*numbers: int) -> list[sdk.SessionStoreEntry]:
    return [entry(number) for number in numbers]


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 60))


@pytest.fixture
def archive() -> MemoryArchive:
    return MemoryArchive()


def open_store(archive: MemoryArchive, namespace: str = "claude-sdk", **options: Any) -> SessionStore:
    def delete(names: Any) -> None:
        for name in names:
            archive.delete(name)

    options.setdefault("delete_logs", delete)
    return SessionStore(MemorySink(archive), namespace=namespace, **options)


def test_all_contracts_of_the_sdks_kit_hold(archive: MemoryArchive) -> None:
    namespaces = (f"kit-{number}" for number in count())
    run(run_session_store_conformance(lambda: open_store(archive, next(namespaces))))


def test_a_transcript_is_resumed_by_another_process(archive: MemoryArchive) -> None:
    async def talk() -> None:
        first, second = open_store(archive), open_store(archive)
        await first.append(KEY, entries(1, 2))
        await first.append(SUB, entries(3))
        await second.append(KEY, entries(4))
        assert await open_store(archive).load(KEY) == entries(1, 2, 4)
        assert await second.list_subkeys({"project_key": KEY["project_key"], "session_id": KEY["session_id"]}) == [
            SUB["subpath"]
        ]

    run(talk())
    assert archive.sessions() == [
        f"claude-sdk._2dhome-me-app.{KEY['session_id']}",
        f"claude-sdk._2dhome-me-app.{KEY['session_id']}.subagents_2fworkflows_2frun_2e1_2fagent-7",
    ]


@settings(max_examples=60)
@given(
    st.lists(
        st.dictionaries(
            st.text(st.characters(codec=None), max_size=8),
            st.recursive(
                st.none()
                | st.booleans()
                | st.integers()
                | st.floats(allow_nan=False, allow_infinity=False)
                | st.text(st.characters(codec=None), max_size=8),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
                max_leaves=5,
            ),
            max_size=4,
        ),
        max_size=5,
    ),
)
def test_whatever_json_carries_comes_back_deeply_equal(values: list[dict[str, Any]]) -> None:
    given_entries = [entry(number, extra=value) for number, value in enumerate(values)]

    async def talk() -> None:
        archive = MemoryArchive()
        await open_store(archive).append(KEY, given_entries)
        assert await open_store(archive).load(KEY) == (given_entries or None)

    run(talk())


def test_a_title_from_another_process_takes_nothing_from_a_live_agent(archive: MemoryArchive) -> None:
    async def talk() -> None:
        agent, admin = open_store(archive), open_store(archive)
        await agent.append(KEY, entries(1, 2))
        await sdk.rename_session_via_store(admin, KEY["session_id"], "The door", directory="/home/me/app")
        await agent.append(KEY, entries(3))
        await sdk.tag_session_via_store(open_store(archive), KEY["session_id"], "house", directory="/home/me/app")
        await agent.append(KEY, entries(4))
        for store in (agent, admin, open_store(archive)):
            loaded = await store.load(KEY)
            assert loaded is not None
            assert [each.get("customTitle") or each.get("tag") or each.get("n") for each in loaded] == [
                1,
                2,
                "The door",
                3,
                "house",
                4,
            ]

    run(talk())


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3)), max_size=12))
def test_whoever_appends_in_whatever_order_each_entry_is_there_once(steps: list[tuple[int, int]]) -> None:
    async def talk() -> None:
        archive, numbers = MemoryArchive(), count()
        stores = [open_store(archive) for _ in range(3)]
        expected: list[Any] = []
        for writer, length in steps:
            batch = entries(*(next(numbers) for _ in range(length)))
            await stores[writer].append(KEY, batch)
            expected += batch
        for store in stores:
            assert await store.load(KEY) == (expected or None)

    run(talk())


def test_calls_of_one_process_are_kept_in_their_order(archive: MemoryArchive) -> None:
    async def talk() -> None:
        store = open_store(archive)
        await asyncio.gather(*(store.append(KEY, entries(number)) for number in range(50)))
        assert await store.load(KEY) == entries(*range(50))

    run(talk())


def test_a_store_goes_on_in_another_event_loop(archive: MemoryArchive) -> None:
    store = open_store(archive)
    for number in range(3):
        run(store.append(KEY, entries(number)))
    assert run(store.load(KEY)) == entries(0, 1, 2)


def test_a_batch_that_is_tried_again_is_there_once(archive: MemoryArchive) -> None:
    async def talk() -> None:
        store = open_store(archive, wait_seconds=0.05)
        await store.append(KEY, entries(1))
        with_marks = [*entries(2), cast("sdk.SessionStoreEntry", {"type": "mode"})]
        with archive.broker_away():
            for _ in range(3):
                with pytest.raises(Unavailable, match="hands it over with what comes next"):
                    await store.append(KEY, with_marks)
        with archive.workers_away():
            for _ in range(3):
                with pytest.raises(TimeoutError, match="not confirmed in"):
                    await store.append(KEY, with_marks)
        await store.append(KEY, with_marks)
        assert await store.load(KEY) == [*entries(1), *with_marks]
        await store.append(KEY, with_marks[1:])  # it was confirmed: this is another one
        assert await store.load(KEY) == [*entries(1), *with_marks, with_marks[1]]

    run(talk())


def test_a_batch_of_which_the_queue_took_a_half_is_there_once(
    archive: MemoryArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = [entry(number, text="x" * 100_000) for number in range(40)]
    sink = MemorySink(archive)
    send, sent = sink._broker.send, count()

    def fail_the_fifth(*args: Any, **more: Any) -> str:
        if next(sent) == 4:
            raise Unavailable("the broker is away: as the test has it")
        return send(*args, **more)

    async def talk() -> None:
        store = SessionStore(sink)
        monkeypatch.setattr(sink._broker, "send", fail_the_fifth)
        with pytest.raises(Unavailable):
            await store.append(KEY, big)
        monkeypatch.undo()
        half = await store.load(KEY)
        assert half is not None
        assert 0 < len(half) < len(big)
        await store.append(KEY, big)
        assert await store.load(KEY) == big

    run(talk())


def test_a_batch_that_was_given_up_goes_with_the_next(archive: MemoryArchive) -> None:
    async def talk() -> None:
        store = open_store(archive, wait_seconds=0.05)
        await store.append(KEY, entries(1))
        with archive.broker_away(), pytest.raises(Unavailable):
            await store.append(KEY, entries(2))
        await store.append(KEY, entries(3))
        assert await store.load(KEY) == entries(1, 2, 3)

    run(talk())


def test_a_uuid_that_comes_again_is_one_entry(archive: MemoryArchive) -> None:
    async def talk() -> None:
        one, two = open_store(archive), open_store(archive)
        mark = cast("sdk.SessionStoreEntry", {"type": "mode"})
        await one.append(KEY, [*entries(1, 2), mark])
        await two.append(KEY, [*entries(2, 3), mark])
        assert await one.load(KEY) == [*entries(1, 2), mark, *entries(3), mark]

    run(talk())


def test_without_a_worker_each_call_says_so(archive: MemoryArchive) -> None:
    async def talk() -> None:
        store = open_store(archive, wait_seconds=0.05)
        await store.append(KEY, entries(1))
        with archive.workers_away():
            calls: list[Callable[[], Coroutine[Any, Any, Any]]] = [
                lambda: store.load(KEY),
                lambda: store.list_sessions("p"),
                lambda: store.list_session_summaries("p"),
                lambda: store.list_subkeys(KEY),
                lambda: store.delete(KEY),
            ]
            for call in calls:
                with pytest.raises(NoAnswer):
                    await call()
            with pytest.raises(TimeoutError, match="the queue has it; not confirmed"):
                await store.append(KEY, entries(2))
        assert await store.load(KEY) == entries(1, 2)

    run(talk())


def test_what_was_deleted_stays_so_and_says_so(archive: MemoryArchive) -> None:
    async def talk() -> None:
        store = open_store(archive, wait_seconds=30.0)
        await store.append(KEY, entries(1))
        await store.delete(KEY)
        with pytest.raises(NotStored, match="deleted"):
            await store.append(KEY, entries(2))
        assert await store.load(KEY) is None
        with pytest.raises(NotStored, match="history-sink-worker delete claude-sdk"):
            await open_store(archive, delete_logs=None).delete(KEY)

    run(talk())


def test_summaries_are_those_that_the_sdk_folds(archive: MemoryArchive) -> None:
    said = {"role": "user", "content": "Mend the door"}
    first = [entry(1, message=said, timestamp="2026-01-01T00:00:00Z", cwd="/srv/app")]
    then = [entry(2, customTitle="The door"), cast("sdk.SessionStoreEntry", {"type": "tag", "tag": "house"})]

    async def talk() -> None:
        store = open_store(archive)
        await store.append(KEY, first)
        (before,) = await store.list_session_summaries(KEY["project_key"])
        await open_store(archive).append(KEY, then)
        (after,) = await store.list_session_summaries(KEY["project_key"])
        folded = sdk.fold_session_summary(None, KEY, [*first, *then])
        assert after["data"] == folded["data"] != before["data"]
        (info,) = await sdk.list_sessions_from_store(store, directory="/home/me/app")
        assert (info.custom_title, info.first_prompt, info.tag) == ("The door", "Mend the door", "house")

    run(talk())


def test_what_nobody_of_the_sdk_wrote_is_left_out_and_logged(
    archive: MemoryArchive, caplog: pytest.LogCaptureFixture
) -> None:
    async def talk() -> None:
        store = open_store(archive)
        await store.append(KEY, entries(1))
        (name,) = archive.sessions()
        MemorySink(archive).save(name, [*archive.lines(name), b"no json", b"[1]"])
        with caplog.at_level(logging.WARNING):
            assert await store.load(KEY) == entries(1)

    run(talk())
    assert "2 lines are no JSON objects, and are left out" in caplog.text
    assert "no json" not in caplog.text


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ({"session_id": "s"}, "a key has a text as project_key, not None"),
        ({"project_key": "p", "session_id": ""}, "a key has a text as session_id, not ''"),
        ({**KEY, "subpath": ""}, "a key has a text as subpath, not ''"),
        ({"project_key": "p", "session_id": "s" * 300}, "a name of 313 characters; a log's name has 200 at most"),
    ],
)
def test_a_key_that_cannot_be_is_named(archive: MemoryArchive, key: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        run(open_store(archive).append(key, entries(1)))


def test_an_entry_that_cannot_be_is_named_and_not_shown(archive: MemoryArchive) -> None:
    wrong: list[tuple[Any, str]] = [
        ("no list", "entries is a list of JSON objects, not str"),
        ([*entries(1), "secret"], "entry 1 is a JSON object, not str"),
        ([entry(1, extra=float("nan"))], "entry 0 is not what JSON can carry"),
        ([entry(1, extra=object())], "entry 0 is not what JSON can carry"),
    ]
    for given_entries, said in wrong:
        with pytest.raises(ValueError, match=said):
            run(open_store(archive).append(KEY, given_entries))
    assert archive.sessions() == []


@pytest.mark.parametrize("namespace", ["", "-a", "a.b", "a" * 41, "ä"])
def test_a_namespace_that_cannot_be_is_named(archive: MemoryArchive, namespace: str) -> None:
    with pytest.raises(ValueError, match=r"namespace|text that is not empty"):
        open_store(archive, namespace)


@pytest.mark.parametrize("wait_seconds", [0, -1, float("nan"), float("inf"), None, "1", True])
def test_a_wait_that_cannot_be_is_named(archive: MemoryArchive, wait_seconds: Any) -> None:
    with pytest.raises(ValueError, match="wait_seconds is a number of seconds above 0"):
        open_store(archive, wait_seconds=wait_seconds)


def test_a_disabled_sink_says_that_nothing_is_archived() -> None:
    with pytest.raises((NotStored, Unavailable), match="disabled"):
        run(SessionStore(HistorySink()).append(KEY, entries(1)))
