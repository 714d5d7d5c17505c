"""The OpenAI Agents SDK's session: the same as the SDK's own on SQLite, whatever is done to it, and nothing is lost."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import pytest
from agents.memory import Session as SessionProtocol
from agents.memory import SessionSettings
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import ResponseOutputMessage

from agents import Agent, Model, ModelResponse, RunConfig, Runner, SQLiteSession, Usage
from history_sink import Unavailable
from history_sink.testing import MemoryArchive, MemorySink
from history_sink_agents.stores.openai_agents import Session
from history_sink_agents.stores.shared_log import NotStored

NAME = "openai-agents.talk_2f1"


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 100))


def item(number: int) -> Any:
    return {"role": "user", "content": f"item {number} 日本 \ud83d"}


@pytest.fixture
def archive() -> MemoryArchive:
    return MemoryArchive()


def open_session(archive: MemoryArchive, **options: Any) -> Session:
    return Session("talk/1", MemorySink(archive), **options)


async def play(ours: Any, theirs: SQLiteSession, chance: random.Random, rounds: int, reopen: Any) -> None:
    """The same operations on both, which must answer alike."""
    for number in range(rounds):
        kind = chance.choices(("add", "get", "pop", "clear", "reopen"), (40, 20, 25, 2, 3))[0]
        if kind == "add":
            items = [item(10 * number + each) for each in range(chance.randrange(4))]
            await ours.add_items(items)
            await theirs.add_items(items)
        elif kind == "get":
            limit = chance.choice([None, None, 0, 1, 3, 50, -1])
            assert await ours.get_items(limit) == await theirs.get_items(limit)
        elif kind == "pop":
            assert await ours.pop_item() == await theirs.pop_item()
        elif kind == "clear":
            await ours.clear_session()
            await theirs.clear_session()
        else:
            ours = reopen()
    assert await ours.get_items() == await theirs.get_items()


def test_a_thousand_random_operations_equal_those_on_sqlite(archive: MemoryArchive) -> None:
    seed = random.randrange(2**32)
    theirs = SQLiteSession("talk/1")
    print(f"seed {seed}")  # shown where it fails
    run(play(open_session(archive), theirs, random.Random(seed), 1000, lambda: open_session(archive)))
    assert len(archive.lines(NAME)) > 500  # what was popped and cleared is still there


@settings(max_examples=25)
@given(st.randoms(use_true_random=False), st.integers(1, 30))
def test_any_operations_equal_those_on_sqlite(chance: random.Random, rounds: int) -> None:
    archive = MemoryArchive()
    run(play(open_session(archive), SQLiteSession("talk/1"), chance, rounds, lambda: open_session(archive)))


class Either:
    """Two machines' sessions of one name: each call goes to one of them."""

    def __init__(self, sessions: list[Session], chance: random.Random) -> None:
        self._sessions, self._chance = sessions, chance

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chance.choice(self._sessions), name)


@settings(max_examples=15)
@given(st.randoms(use_true_random=False), st.integers(1, 40))
def test_what_one_machine_does_the_other_sees(chance: random.Random, rounds: int) -> None:
    archive = MemoryArchive()
    ours = Either([open_session(archive), open_session(archive)], chance)
    run(play(ours, SQLiteSession("talk/1"), chance, rounds, lambda: ours))


class Parrot(Model):
    """Answers with the number of items that it was given."""

    async def get_response(self, system_instructions: Any, input: Any, *_: Any, **__: Any) -> ModelResponse:
        said = {"type": "output_text", "text": f"I was given {len(input)} items", "annotations": []}
        answer = {"id": "m", "type": "message", "role": "assistant", "status": "completed", "content": [said]}
        return ModelResponse([ResponseOutputMessage.model_validate(answer)], Usage(), None)

    def stream_response(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError


def test_a_runner_remembers_on_another_machine(archive: MemoryArchive) -> None:
    agent = Agent("parrot", model=Parrot())
    quiet = RunConfig(tracing_disabled=True)
    for given_items in (1, 3, 5):
        result = run(Runner.run(agent, "Hello", session=open_session(archive), run_config=quiet))
        assert result.final_output == f"I was given {given_items} items"


def test_it_is_a_session_of_the_sdk(archive: MemoryArchive) -> None:
    session = open_session(archive, session_settings=SessionSettings(limit=2))
    assert isinstance(session, SessionProtocol)
    run(session.add_items([item(number) for number in range(5)]))
    assert run(session.get_items()) == [item(3), item(4)]
    assert run(session.get_items(3)) == [item(2), item(3), item(4)]


def test_what_is_taken_away_stays_in_the_archive(archive: MemoryArchive) -> None:
    async def talk() -> None:
        session = open_session(archive)
        await session.add_items([item(1), item(2)])
        assert await session.pop_item() == item(2)
        await session.clear_session()
        await session.clear_session()
        assert await session.pop_item() is None
        await session.add_items([item(3)])
        assert await open_session(archive).get_items() == [item(3)]

    run(talk())
    kept = archive.messages(NAME)
    assert [each.get("type") or each["content"][:6] for each in kept] == [
        "item 1",
        "item 2",
        "history-sink.pop",
        "history-sink.clear",
        "item 3",
    ]


def test_an_item_that_is_returned_may_be_changed(archive: MemoryArchive) -> None:
    session = open_session(archive)
    run(session.add_items([item(1)]))
    run(session.get_items())[0]["content"] = "changed"
    assert run(session.get_items()) == [item(1)]


def test_what_is_tried_again_is_added_once(archive: MemoryArchive) -> None:
    session = open_session(archive, wait_seconds=0.05)
    run(session.add_items([item(1)]))
    with archive.broker_away(), pytest.raises(Unavailable):
        run(session.add_items([item(2)]))
    with archive.workers_away(), pytest.raises(TimeoutError):
        run(session.add_items([item(2)]))
    run(session.add_items([item(2)]))
    assert run(session.get_items()) == [item(1), item(2)]


def test_a_deleted_session_is_empty_and_takes_nothing(archive: MemoryArchive) -> None:
    session = open_session(archive)
    run(session.add_items([item(1)]))
    archive.delete(NAME)
    assert run(session.get_items()) == []
    with pytest.raises(NotStored, match="deleted"):
        run(session.add_items([item(2)]))


def test_lines_of_somebody_else_are_passed_over(archive: MemoryArchive) -> None:
    session = open_session(archive)
    run(session.add_items([item(1)]))
    MemorySink(archive).save(NAME, [*archive.lines(NAME), b"no json", b'"history-sink.', b"also none"])
    assert run(session.get_items(1)) == [item(1)]
    assert run(open_session(archive).pop_item()) == item(1)


def test_what_cannot_be_is_named(archive: MemoryArchive) -> None:
    wrong: list[tuple[Any, str]] = [
        ("text", "item 1 is a JSON object, not str"),
        ({"a": object()}, "item 1 is not what JSON can carry"),
        ({"type": "history-sink.pop"}, "item 1 has the type 'history-sink.pop', which this store keeps for itself"),
    ]
    for value, said in wrong:
        with pytest.raises(ValueError, match=said):
            run(open_session(archive).add_items([item(0), value]))
    with pytest.raises(ValueError, match="no dash in front: '-x'"):
        open_session(archive, namespace="-x")
    with pytest.raises(ValueError, match="not empty"):
        Session("", MemorySink(archive))
    assert archive.sessions() == []
