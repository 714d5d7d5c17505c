"""pydantic-ai's conversations: the same as the SDK's own store in memory, and of racing writers one wins."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_ai import Agent
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import ConversationConflict, ConversationRecord, InMemoryConversationStore
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import BinaryContent, ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models.test import TestModel

from history_sink import Unavailable
from history_sink.testing import MemoryArchive, MemorySink
from history_sink_agents.stores.pydantic_conversations import ConversationStore
from history_sink_agents.stores.shared_log import NotStored

WRITERS = 16


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 100))


def say(text: str) -> ModelMessage:
    return ModelRequest(parts=[UserPromptPart(text)])


def texts(conversation: Conversation | None) -> list[str] | None:
    """What was said, one text a message."""
    return None if conversation is None else [str(message.parts[0].content) for message in conversation.messages]  # type: ignore[union-attr]  # texts alone


@pytest.fixture
def archive() -> MemoryArchive:
    return MemoryArchive()


def open_store(archive: MemoryArchive, **options: Any) -> ConversationStore:
    return ConversationStore(MemorySink(archive), **options)


class Pair:
    """Both stores, which are told the same and must answer alike, but for ids and revisions."""

    def __init__(self, archive: MemoryArchive) -> None:
        self.archive = archive
        self.stores: list[Any] = [open_store(archive), InMemoryConversationStore()]
        self.held: dict[str, list[Conversation]] = {}
        self.numbers = iter(range(10**6))

    async def both(self, call: Any) -> list[Any]:
        """What each answers to a call of a store and the side, errors included."""
        answers: list[Any] = []
        for side, store in enumerate(self.stores):
            try:
                answers.append(await call(store, side))
            except UserError as error:
                answers.append(type(error))
        assert (answers[0] if isinstance(answers[0], type) else None) == (
            answers[1] if isinstance(answers[1], type) else None
        )
        return answers

    async def step(self, chance: random.Random) -> None:
        name = chance.choice("abc")
        kind = chance.choice(["save", "save", "save", "load", "branch", "fork", "delete", "list", "reopen", "rewrite"])
        if kind == "reopen":
            self.stores[0] = open_store(self.archive)
        elif kind == "list":
            listed = await self.both(lambda store, side: store.list_conversations())
            assert sorted(each.conversation_id for each in listed[0]) == sorted(
                each.conversation_id for each in listed[1]
            )
        elif kind == "delete":
            await self.both(lambda store, side: store.delete(name))
        elif kind == "load" or name not in self.held:
            await self.load(name, chance)
        elif kind in ("save", "rewrite"):
            await self.save(name, chance, kind == "rewrite")
        else:
            await self.part(name, chance, kind)

    async def load(self, name: str, chance: random.Random) -> None:
        limit = chance.choice([None, None, 1, 3])
        loaded = await self.both(lambda store, side: store.load(name, limit=limit))
        assert texts(loaded[0]) == texts(loaded[1])
        self.held[name] = [each or Conversation(conversation_id=name) for each in loaded]

    async def save(self, name: str, chance: random.Random, rewrites: bool) -> None:
        added = [f"{name}{next(self.numbers)}" for _ in range(chance.randrange(3))]
        for conversation in self.held[name]:
            if rewrites and conversation.messages:
                conversation.messages = [*conversation.messages[:-1], say("edited")]
            conversation.messages = [*conversation.messages, *map(say, added)]
        await self.both(lambda store, side: store.save(self.held[name][side]))

    async def part(self, name: str, chance: random.Random, kind: str) -> None:
        at = chance.randrange(4)
        if kind == "fork":
            into = chance.choice("abcd")
            made = await self.both(lambda store, side: store.fork(name, at=at, new_conversation_id=into))
        else:
            into = name
            made = await self.both(
                lambda store, side: store.branch(name, at=at, expected_revision=self.held[name][side].revision)
            )
        if not isinstance(made[0], type):
            assert texts(made[0]) == texts(made[1])
            self.held[into] = made


@settings(max_examples=40)
@given(st.randoms(use_true_random=False), st.integers(1, 40))
def test_any_calls_are_answered_as_by_the_sdks_own_store(chance: random.Random, steps: int) -> None:
    async def talk() -> None:
        pair = Pair(MemoryArchive())
        for _ in range(steps):
            await pair.step(chance)
        for name in "abcd":
            await pair.load(name, random.Random(0))

    run(talk())


async def race(stores: list[ConversationStore], rounds: int) -> None:
    """Each writer saves each revision that it has loaded; one wins, and nothing that a winner saved is lost."""
    first = Conversation(conversation_id="c", messages=[say("begin")])
    await stores[0].save(first)
    said = ["begin"]
    for number in range(rounds):
        loaded = [await store.load("c") for store in stores]

        async def save(writer: int, loaded: list[Any] = loaded, number: int = number) -> str | None:
            conversation = loaded[writer]
            conversation.messages = [*conversation.messages, say(f"round {number} writer {writer}")]
            try:
                await stores[writer].save(conversation)
            except ConversationConflict:
                return None
            return f"round {number} writer {writer}"

        winners = [each for each in await asyncio.gather(*map(save, range(len(stores)))) if each]
        assert len(winners) == 1
        said += winners
    for store in stores:
        assert texts(await store.load("c")) == said


def test_of_sixteen_writers_one_wins_each_revision(archive: MemoryArchive) -> None:
    run(race([open_store(archive) for _ in range(WRITERS)], 10))


def test_an_agents_conversation_goes_on_on_another_machine(archive: MemoryArchive) -> None:
    agent = Agent(TestModel(custom_output_text="Hello again"))

    async def talk() -> None:
        for number in (1, 2, 3):
            store = open_store(archive)
            conversation = await store.load("c") or Conversation(conversation_id="c")
            assert len(conversation.messages) == 2 * (number - 1)
            await store.save(await agent.run("Hello", conversation=conversation))
        record = await open_store(archive).read_record("c")
        assert record is not None
        assert record.usage.requests == 3

    run(talk())


def test_what_a_message_holds_comes_back(archive: MemoryArchive) -> None:
    file = BinaryContent(bytes(range(256)), media_type="application/pdf")
    messages: list[ModelMessage] = [
        ModelRequest(parts=[UserPromptPart(["Look 日本", file])]),
        ModelResponse(parts=[TextPart("half a pair: \ud83d")]),
    ]

    async def talk() -> None:
        await open_store(archive).save(Conversation(conversation_id="c/1", messages=messages))
        loaded = await open_store(archive).load("c/1")
        assert loaded is not None
        assert loaded.messages[0] == messages[0]
        assert loaded.messages[1].parts[0] == TextPart("half a pair: \ufffd")

    run(talk())
    assert archive.sessions() == ["pydantic-ai.c_2f1"]


def test_records_are_listed_by_scope_and_limit(archive: MemoryArchive) -> None:
    async def talk() -> None:
        for name, scope in (("a", "x"), ("b", "y"), ("c", "x")):
            await open_store(archive).save(Conversation(conversation_id=name, messages=[say(name)]), scope=scope)
        store = open_store(archive)
        assert [each.conversation_id for each in await store.list_conversations(scope="x")] == ["c", "a"]
        assert [each.conversation_id for each in await store.list_conversations(limit=2)] == ["c", "b"]
        assert await store.load("a", scope="y") is None
        await store.delete("c")
        assert [each.conversation_id for each in await store.list_conversations()] == ["b", "a"]

    run(talk())


def test_a_forks_history_outlives_its_source(archive: MemoryArchive) -> None:
    async def talk() -> None:
        store = open_store(archive)
        await store.save(Conversation(conversation_id="a", messages=[say("one"), say("two")]))
        await store.fork("a", at=1, new_conversation_id="b")
        await store.fork("b", new_conversation_id="c")
        await store.delete("a")
        assert texts(await open_store(archive).load("c")) == ["one"]

    run(talk())


def test_where_nobody_answers_it_is_said_and_nothing_is_lost(archive: MemoryArchive) -> None:
    async def talk() -> None:
        store = open_store(archive, wait_seconds=0.05)
        conversation = Conversation(conversation_id="c", messages=[say("one")])
        await store.save(conversation)
        conversation.messages = [*conversation.messages, say("two")]
        with archive.workers_away():
            with pytest.raises(Unavailable):
                await store.load("c")
            record = await_record(store)
            with pytest.raises(TimeoutError, match="not confirmed in"):
                await store.write_record(record, expected_revision=conversation.revision)
        with archive.broker_away(), pytest.raises(Unavailable):
            await store.save(conversation)
        loaded = await store.load("c")
        assert loaded is not None
        assert loaded.revision == record.revision  # what was in the queue has arrived
        archive.delete("pydantic-ai.c")
        with pytest.raises((ConversationConflict, NotStored)):
            await store.write_record(record, expected_revision=record.revision)
        assert await store.load("c") is None

    def await_record(store: ConversationStore) -> ConversationRecord:
        folded = store._known["c"]
        assert folded.record is not None
        return ConversationRecord(conversation_id="c", head_id=folded.record.head_id)

    run(talk())


def test_a_line_of_somebody_else_is_left_out_and_not_shown(
    archive: MemoryArchive, caplog: pytest.LogCaptureFixture
) -> None:
    async def talk() -> None:
        await open_store(archive).save(Conversation(conversation_id="c", messages=[say("one")]))
        name = "pydantic-ai.c"
        others: list[Any] = [b"secret", {"record": {"secret": 1}, "entries": []}, b"[1]", b"7"]
        MemorySink(archive).save(name, [*archive.lines(name), *others])
        assert texts(await open_store(archive).load("c")) == ["one"]

    run(talk())
    assert caplog.text.count("a line is no write of pydantic-ai's") == 4
    assert "secret" not in caplog.text


def test_what_cannot_be_is_named(archive: MemoryArchive) -> None:
    with pytest.raises(ValueError, match="no dash in front: '-x'"):
        open_store(archive, namespace="-x")
    with pytest.raises(ValueError, match="a log's name has 200 at most"):
        run(open_store(archive).load("c" * 300))
    with pytest.raises(LookupError, match="has the entry nothing"):
        run(open_store(archive).read_entry("nothing"))
