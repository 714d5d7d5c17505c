"""The store for the Claude Agent SDK beside one that does as the SDK's S3 example: requests, bytes and time."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

from bench import floor
from bench.figures import Findings, Goal, Table
from bench.measures.store import compact, count_requests
from bench.options import Options
from bench.part_store import THREADS, PartStore
from bench.scene import RelayProcess, Scene, wait_until_idle
from history_sink_agents.stores.claude import SessionStore

ENTRIES, SESSIONS = 1_010, 1_000
_PROJECT, _MANY, _SESSION = "-made-up", "-many", "5f0c0f0e-7a53-4a0a-a3ec-1f6a7b1f3c11"
_TURN = 101
_ENTRY: Any = {"type": "user", "uuid": "u"}
_ENTRY_BYTES = 3_400
_AT_A_TIME = 16


@dataclass(frozen=True)
class Cost:
    """Of so many calls: what went to the store and came from it, headers included, and the time."""

    calls: int
    counts: "Counter[str]"
    seconds: float

    @property
    def requests(self) -> float:
        """For each call."""
        return count_requests(self.counts) / self.calls

    def row(self, what: str, who: str) -> tuple[str, str, float, float, float, float]:
        """Of the table."""
        sent, answered = (self.counts[f"bytes {way}"] / self.calls for way in ("sent", "answered"))
        return what, who, self.requests, sent, answered, 1000 * self.seconds / self.calls

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.calls + other.calls, self.counts + other.counts, self.seconds + other.seconds)


def measure(scene: Scene, options: Options) -> Findings:
    """A transcript of 1,010 entries, appended one by one in turn, and loaded; and a list of 1,000 sessions."""
    place = scene.place().changed(idle_seconds="3600")  # a slow machine is not an idle log
    with (
        scene.relay(scene.minio.port) as near,
        scene.relay(scene.minio.port) as beside,
        scene.workers(place.through(store_port=near.port)),
        scene.sink(place) as sink,
        asyncio.Runner() as runner,
    ):
        ours = Ours(SessionStore(sink, wait_seconds=60.0), runner)
        parts = PartStore(floor.raw_client(scene.minio, THREADS, beside.port), scene.minio.create_bucket())
        ours_at = Place(near, lambda: wait_until_idle(scene.client(place)))
        parts_at = Place(beside, lambda: None)
        appended = _append_in_turn(options.seed, [(ours_at, ours), (parts_at, parts)])
        (name,) = [each.session for each in sink.list_sessions().sessions]
        unfolded = ours_at.cost(lambda: _load(ours))
        compact(scene, place, name)
        loaded = ours_at.cost(lambda: _load(ours)), parts_at.cost(lambda: _load(parts))
        _fill(ours, parts)
        ours_at.settle()
        listed = ours_at.cost(lambda: _list(ours)), parts_at.cost(lambda: _list(parts))
    return _report(appended, unfolded, loaded, listed)


class Ours:
    """Ours with the calls of a `PartStore`."""

    def __init__(self, store: SessionStore, runner: asyncio.Runner) -> None:
        self._store, self._runner = store, runner

    def append(self, project: str, session: str, entries: Sequence[Any]) -> None:
        self._runner.run(self._store.append({"project_key": project, "session_id": session}, [*entries]))

    def load(self, project: str, session: str) -> list[Any]:
        return [*(self._runner.run(self._store.load({"project_key": project, "session_id": session})) or ())]

    def list_sessions(self, project: str) -> list[str]:
        return [each["session_id"] for each in self._runner.run(self._store.list_sessions(project))]

    def fill(self, project: str, sessions: Sequence[str]) -> None:
        """Begin sessions, many at a time."""
        turns = asyncio.Semaphore(_AT_A_TIME)

        async def begin(session: str) -> None:
            async with turns:
                await self._store.append({"project_key": project, "session_id": session}, [_ENTRY])

        async def begin_all() -> None:
            await asyncio.gather(*map(begin, sessions))

        self._runner.run(begin_all())


Either: TypeAlias = Ours | PartStore


@dataclass(frozen=True)
class Place:
    """The relay before a contestant's store, and what waits until nothing is left to be done."""

    relay: RelayProcess
    settle: Callable[[], object]

    def cost(self, act: Callable[[], object], calls: int = 1) -> Cost:
        """What `act` costs; the time without that of `settle`."""
        before, began = self.relay.counts(), time.perf_counter()
        act()
        seconds = time.perf_counter() - began
        self.settle()
        return Cost(calls, self.relay.counts() - before, seconds)


def _append_in_turn(seed: int, contestants: Sequence[tuple[Place, Either]]) -> list[Cost]:
    """Ten parts of the transcript to each, so that noise hits all alike."""
    chance = random.Random(seed)
    costs = [Cost(0, Counter(), 0.0) for _ in contestants]
    for start in range(0, ENTRIES, _TURN):
        texts = [chance.randbytes(_ENTRY_BYTES // 2).hex() for _ in range(_TURN)]
        entries = [{"type": "user", "uuid": f"u{start + number}", "text": text} for number, text in enumerate(texts)]
        for index, (place, store) in enumerate(contestants):

            def append_all(store: Either = store, entries: Sequence[Any] = entries) -> None:
                for entry in entries:
                    store.append(_PROJECT, _SESSION, [entry])

            costs[index] += place.cost(append_all, len(entries))
    return costs


def _load(store: Either) -> None:
    _check(len(store.load(_PROJECT, _SESSION)), ENTRIES)


def _list(store: Either) -> None:
    _check(len(store.list_sessions(_MANY)), SESSIONS)


def _check(found: int, wanted: int) -> None:
    if found != wanted:
        raise AssertionError(f"{found} of {wanted} are there")


def _fill(ours: Ours, parts: PartStore) -> None:
    names = [f"s{number}" for number in range(SESSIONS)]
    ours.fill(_MANY, names)
    with ThreadPoolExecutor(THREADS) as threads:
        [*threads.map(lambda name: parts.append(_MANY, name, [_ENTRY]), names)]


def _report(appended: Sequence[Cost], unfolded: Cost, loaded: tuple[Cost, Cost], listed: tuple[Cost, Cost]) -> Findings:
    load, listing, example = f"load of {ENTRIES:,} entries", f"list of {SESSIONS:,} sessions", "as the example"
    goals = (("append of one entry", 1.1, appended), (f"{load}, folded", 5, loaded), (listing, 4, listed))
    return Findings(
        name="claude_store",
        title="A store for the Claude Agent SDK",
        goals=tuple(
            Goal(f"requests, {what}", ours.requests, "at most", bound, f"the SDK's example: {beside.requests:,.0f}")
            for what, bound, (ours, beside) in goals
        ),
        tables=(
            Table(
                "At the store, for each call, headers and folds included",
                ("call", "store", "requests", "bytes sent", "bytes answered", "milliseconds"),
                (
                    appended[0].row("append of one entry", "ours"),
                    appended[1].row("append of one entry", example),
                    unfolded.row(load, "ours, before the last fold"),
                    loaded[0].row(load, "ours, folded"),
                    loaded[1].row(load, example),
                    listed[0].row(listing, "ours"),
                    listed[1].row(listing, example),
                ),
            ),
        ),
    )
