"""The stores on real servers: the Claude SDK's own kit, readers at once, races, size, cost, and nobody there."""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, cast

import claude_agent_sdk as sdk
import pytest
from claude_agent_sdk.testing import run_session_store_conformance

from agents import SQLiteSession
from history_sink import HistorySink
from history_sink_agents.stores.claude import SessionStore
from history_sink_agents.stores.openai_agents import Session
from history_sink_agents.stores.pydantic_conversations import ConversationStore
from history_sink_worker.archive.compaction import compact
from history_sink_worker.life.deletion import delete
from history_sink_worker.service.service import Service, make_service
from history_sink_worker.settings import WorkerSettings
from stack.redis import RedisServer
from stack.stack import producer_environment
from stack.worker import Worker
from test_store_claude import KEY, SUB, entries, run
from test_store_openai_agents import play
from test_store_pydantic import race

pytestmark = pytest.mark.usefixtures("worker")

PATIENCE_SECONDS = 30.0
AGENT = Path(__file__).parent / "support" / "appending_agent.py"


class Machines:
    """Each store that it opens is another process's, as far as the library can tell."""

    def __init__(self, environment: Mapping[str, str], running: ExitStack, operator: Service) -> None:
        self._environment, self._running, self._operator = environment, running, operator

    def open_sink(self) -> HistorySink:
        return self._running.enter_context(HistorySink.from_env(producer_environment(self._environment)))

    def open_store(self, namespace: str) -> SessionStore:
        return SessionStore(
            self.open_sink(), namespace=namespace, wait_seconds=PATIENCE_SECONDS, delete_logs=self._delete
        )

    def fold(self, name: str) -> None:
        self._operator.run(compact(self._operator.context, self._operator.log(name), everything=True))

    def _delete(self, names: Sequence[str]) -> None:
        for name in names:
            delete(self._operator, name)


@pytest.fixture
def machines(environment: Mapping[str, str]) -> Iterator[Machines]:
    with ExitStack() as running:
        yield Machines(environment, running, make_service(WorkerSettings.from_env(environment)))


def test_all_contracts_of_the_sdks_kit_hold(machines: Machines) -> None:
    namespaces = (f"kit-{number}" for number in count())
    run(run_session_store_conformance(lambda: machines.open_store(next(namespaces))))


def test_what_was_appended_is_read_at_once_by_another_machine(machines: Machines) -> None:
    async def talk() -> None:
        writer, reader = machines.open_store("at-once"), machines.open_store("at-once")
        for number in range(8):
            key = KEY if number % 2 else SUB
            await writer.append(key, entries(number))
            loaded = await reader.load(key)
            assert loaded is not None
            assert loaded[-1] == entries(number)[0]

    run(talk())


def test_two_machines_on_one_session_lose_nothing_and_part_from_nothing(machines: Machines) -> None:
    async def write(store: SessionStore, numbers: range) -> None:
        for number in numbers:
            await store.append(KEY, entries(number))

    async def talk() -> list[Any]:
        agent, other = machines.open_store("race"), machines.open_store("race")
        await agent.append(KEY, entries(0))
        await asyncio.gather(write(agent, range(1, 21)), write(other, range(101, 121)))
        loaded = await machines.open_store("race").load(KEY)
        assert loaded is not None
        return [each["n"] for each in cast("list[Any]", loaded)]

    numbers = run(talk())
    assert [number for number in numbers if number < 100] == [*range(21)]
    assert [number for number in numbers if number > 100] == [*range(101, 121)]
    status = machines.open_sink().status(f"race._2dhome-me-app.{KEY['session_id']}")
    assert (len(status.logs), status.strays, status.pending) == (1, (), 0)


def test_an_agent_that_is_killed_beside_an_admin_loses_nothing_that_was_confirmed(
    machines: Machines, environment: Mapping[str, str]
) -> None:
    agent = subprocess.Popen(
        [sys.executable, str(AGENT), KEY["project_key"], KEY["session_id"], "10000"],
        env={**os.environ, **producer_environment(environment)},
        stdout=subprocess.PIPE,
        text=True,
    )
    admin = machines.open_store("live")
    assert agent.stdout is not None
    try:
        for expected in range(15):
            assert int(agent.stdout.readline()) == expected
            if expected == 5:
                run(sdk.rename_session_via_store(admin, KEY["session_id"], "The door", directory="/home/me/app"))
    finally:
        agent.kill()
    confirmed = 15 + len(agent.stdout.read().split())
    agent.wait(30)
    loaded = run(machines.open_store("live").load(KEY))
    numbers = [each["n"] for each in loaded if "n" in each]
    assert numbers == [*range(len(numbers))]
    assert len(numbers) >= confirmed
    assert [each["customTitle"] for each in loaded if "customTitle" in each] == ["The door"]


def test_a_thousand_entries_come_back(machines: Machines) -> None:
    many: list[Any] = [{**each, "text": "日本 😀 «naïve» " * 100} for each in entries(*range(1000))]

    async def talk() -> None:
        await machines.open_store("many").append(KEY, many)
        other = machines.open_store("many")
        assert await other.load(KEY) == many
        await other.append(KEY, entries(1000))
        assert await machines.open_store("many").load(KEY) == [*many, *entries(1000)]

    run(talk())


def test_without_a_worker_an_append_answers_within_its_second(redis_server: RedisServer) -> None:
    with HistorySink(broker_url=redis_server.new_database()) as sink:
        sink.save("warm-up", [{"a": 1}])  # it imports Celery
        store = SessionStore(sink)
        begun = time.monotonic()
        with pytest.raises(TimeoutError, match="is a worker there"):
            asyncio.run(store.append(KEY, entries(1)))
        assert time.monotonic() - begun < 1.0 + 4.0  # it is a second; a busy machine may add some


def test_operations_of_the_openai_sdk_equal_those_on_sqlite(machines: Machines) -> None:
    def reopen() -> Session:
        return Session("talk/1", machines.open_sink(), wait_seconds=PATIENCE_SECONDS)

    run(play(reopen(), SQLiteSession("talk/1"), random.Random(5), 40, reopen))


def test_of_machines_that_pop_at_the_same_time_each_takes_another_item(machines: Machines) -> None:
    sessions = [Session("pops", machines.open_sink(), wait_seconds=PATIENCE_SECONDS) for _ in range(3)]

    async def pop_all(session: Session) -> list[Any]:
        taken = []
        while (item := await session.pop_item()) is not None:
            taken.append(item)
        return taken

    async def talk() -> list[Any]:
        await sessions[0].add_items([{"role": "user", "content": str(number)} for number in range(8)])
        return [item for taken in await asyncio.gather(*map(pop_all, sessions)) for item in taken]

    assert sorted(item["content"] for item in run(talk())) == [str(number) for number in range(8)]


def test_of_sixteen_writers_of_a_conversation_one_wins_each_revision(machines: Machines) -> None:
    sinks = [machines.open_sink() for _ in range(16)]
    run(race([ConversationStore(sink, wait_seconds=PATIENCE_SECONDS) for sink in sinks], 2))
    assert sinks[0].status("pydantic-ai.c").strays == ()


def count_requests(worker: Worker, act: Callable[[], object]) -> int:
    """The requests to the store of all tasks that end while `act` runs."""
    return sum(list_requests(worker, act))


def list_requests(worker: Worker, act: Callable[[], object]) -> list[int]:
    """Those of each task: it makes them one after the other."""
    before = len(worker.process.log().splitlines())
    act()
    ended = [line for line in worker.process.log().splitlines()[before:] if '"event": "task ended"' in line]
    return [json.loads(line).get("store_requests", 0) for line in ended]


def test_what_appends_loads_and_lists_cost(
    machines: Machines, worker: Worker, record_property: Callable[[str, object], None]
) -> None:
    store = machines.open_store("cost")
    run(store.append(KEY, entries(*range(1000))))
    for number in range(1000, 1010):
        run(store.append(KEY, entries(number)))
    for number in range(40):
        run(store.append({"project_key": "many", "session_id": f"s{number}"}, entries(number)))
    writer = machines.open_store("cost")
    run(writer.append(KEY, entries(2000)))
    appends = count_requests(worker, lambda: [run(writer.append(KEY, entries(number))) for number in range(2001, 2021)])
    machines.fold(f"cost._2dhome-me-app.{KEY['session_id']}")
    loads = count_requests(worker, lambda: run(machines.open_store("cost").load(KEY)))
    lists = count_requests(worker, lambda: run(machines.open_store("cost").list_sessions("many")))
    told = "requests of 20 appends of an entry, of a load of 1,031 entries, and of a list of 40 sessions"
    record_property(told, (appends, loads, lists))
    assert appends <= 22
    assert loads <= 5
    assert lists <= 4


def test_a_load_before_the_fold_waits_for_few_requests_in_a_row(
    machines: Machines, worker: Worker, record_property: Callable[[str, object], None]
) -> None:
    store = machines.open_store("unfolded")
    run(store.append(KEY, entries(*range(400))))
    machines.fold(f"unfolded._2dhome-me-app.{KEY['session_id']}")
    for number in range(400, 600):
        run(store.append(KEY, entries(number)))
    loaded: list[Any] = []
    requests = list_requests(worker, lambda: loaded.extend(run(machines.open_store("unfolded").load(KEY)) or ()))
    record_property("requests of a load of 600 entries, by task", requests)
    assert loaded == entries(*range(600))
    assert sum(requests) <= 220
    assert max(requests) <= 60
