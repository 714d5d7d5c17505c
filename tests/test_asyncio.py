"""The awaitable forms: the event loop goes on, and saves keep their order."""

import asyncio
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from history_sink import HistorySink, PointerHandle
from history_sink.protocol.contract import UPLOAD_QUEUE
from plain_store import PlainWorker, lines_of, message, messages
from stack.redis import RedisServer

LONGEST_STALL_SECONDS = 0.25  # on a busy machine; a save on a broker that hangs takes twice that at least


async def tick(stalls: list[float]) -> None:
    """Note for how long the loop did not come back."""
    while True:
        start = time.monotonic()
        await asyncio.sleep(0.01)
        stalls.append(time.monotonic() - start)


async def while_ticking(work: Coroutine[Any, Any, None]) -> None:
    """Await `work` in a loop that has to go on ticking."""
    stalls: list[float] = []
    ticking = asyncio.create_task(tick(stalls))
    try:
        await asyncio.wait_for(work, 30)
    finally:
        ticking.cancel()
    assert stalls
    assert max(stalls) < LONGEST_STALL_SECONDS


def test_a_loop_goes_on_while_the_broker_hangs(own_redis: RedisServer) -> None:
    async def talk() -> None:
        async with HistorySink(broker_url=own_redis.url()) as sink:
            history = messages("a")
            assert (await sink.asave("s", history)).state == "enqueued"
            own_redis.process.pause()
            start = time.monotonic()
            history.append(message("b"))
            assert (await sink.asave("s", history)).state == "unreachable"
            assert 0.4 < time.monotonic() - start < 1.5  # it did hang
            assert (await sink.aappend("t", message("c"))).state == "unreachable"
            assert not await sink.aflush("s", 0.5)
            own_redis.process.resume()
            while (await sink.asave("s", history)).state != "enqueued":
                await asyncio.sleep(0.1)

    # The first save imports Celery: that holds Python's own lock here and there.
    with HistorySink(broker_url=own_redis.url()) as sink:
        sink.save("warm-up", messages("a"))
    asyncio.run(while_ticking(talk()))


def test_saves_go_out_in_the_order_in_which_they_were_begun(redis_server: RedisServer) -> None:
    url = redis_server.new_database()
    worker = PlainWorker(url)
    texts = [*map(str, range(60))]

    async def talk() -> None:
        async with HistorySink(broker_url=url) as sink:
            history: list[Any] = []
            begun = []
            for text in texts:
                history.append(message(text))
                begun.append(asyncio.create_task(sink.asave("saved", history)))
                begun.append(asyncio.create_task(sink.aappend("appended", message(text))))
                await asyncio.sleep(0)
            assert await sink.aflush("saved", 20)
            assert await sink.aflush("appended", 20)
            receipts = await asyncio.gather(*begun)
            assert [receipt.messages for receipt in receipts] == [1] * len(receipts)

    with worker.running():
        asyncio.run(talk())
    for session in "saved", "appended":
        assert worker.sessions[session].logs == {None: lines_of(messages(*texts))}
        assert not worker.sessions[session].strays


def test_close_waits_for_the_saves_that_were_begun(redis_server: RedisServer) -> None:
    url = redis_server.new_database()

    async def talk() -> None:
        async with HistorySink(broker_url=url) as sink:
            begun = [asyncio.create_task(sink.asave(f"s{number}", messages("a"))) for number in range(3)]
            await asyncio.sleep(0)
        assert {(await one).state for one in begun} == {"enqueued"}
        assert (await sink.asave("late", messages("a"))).state == "unreachable"
        await sink.aclose()

    asyncio.run(talk())
    with redis_server.client(url) as client:
        assert client.llen(UPLOAD_QUEUE) == 3


def test_one_sink_serves_one_loop_after_the_other(redis_server: RedisServer) -> None:
    with HistorySink(broker_url=redis_server.new_database()) as sink:
        for number in range(3):
            receipt = asyncio.run(sink.asave("s", messages(*map(str, range(number + 1)))))
            assert (receipt.state, receipt.messages) == ("enqueued", 1)


def test_what_is_streamed_into_a_message_while_it_goes_out_is_not_missed(redis_server: RedisServer) -> None:
    """Agents write into the last message as the model's answer comes in."""
    url = redis_server.new_database()
    worker = PlainWorker(url)

    async def talk() -> None:
        async with HistorySink(broker_url=url) as sink:
            history = messages("a")
            for number in range(100):
                saving = asyncio.create_task(sink.asave("s", history))
                while not saving.done():
                    history[0]["content"][0]["text"] += f" {number}"
                    await asyncio.sleep(0)
            assert await sink.aflush("s", 20)
            logs = worker.sessions["s"].logs
            assert lines_of(history) in logs.values()

    with worker.running():
        asyncio.run(talk())


def test_a_disabled_sink_says_so_here_too() -> None:
    async def talk() -> None:
        async with HistorySink() as sink:
            assert (await sink.asave("s", messages("a"))).state == "disabled"
            assert not await sink.aflush("s")

    asyncio.run(talk())


def test_no_call_waits_for_ever_where_no_thread_can_be_started(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start
    refused: list[str] = []

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("history-sink") and len(refused) < 2:
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    async def talk() -> None:
        async with HistorySink(broker_url=redis_server.new_database()) as sink:
            history = messages("a")
            assert (await sink.asave("s", history)).state == "enqueued"
            assert (await sink.aresolve(PointerHandle("b", "k"), 0.1)) is not None
            history.append(message("b"))
            assert (await sink.asave("s", history)).state == "enqueued"

    monkeypatch.setattr(threading.Thread, "start", refuse)
    asyncio.run(asyncio.wait_for(talk(), 20))
    assert refused


def test_a_disabled_sink_starts_no_thread() -> None:
    async def talk() -> None:
        before = threading.active_count()
        async with HistorySink() as sink:
            await sink.asave("s", messages("a"))
            await sink.aappend("s", *messages("b"))
            await sink.aflush("s")
            assert threading.active_count() == before

    asyncio.run(talk())


def test_two_hundred_sessions_in_a_loop_are_as_fast_as_in_threads(redis_server: RedisServer) -> None:
    sessions = [f"s{number}" for number in range(200)]

    async def save_all(sink: HistorySink) -> None:
        assert {r.state for r in await asyncio.gather(*(sink.aappend(s, message("a")) for s in sessions))} == {
            "enqueued"
        }

    # Each session's first save waits half a second for a worker that is not there: one after the other takes 100 s.
    seconds = []
    for kind in "threads", "loop":
        with HistorySink(broker_url=redis_server.new_database()) as sink:
            sink.save("warm-up", messages("a"))
            start = time.monotonic()
            if kind == "loop":
                asyncio.run(save_all(sink))
            else:
                with ThreadPoolExecutor(len(sessions)) as threads:
                    receipts = threads.map(lambda session: sink.append(session, message("a")), sessions)
                    assert {receipt.state for receipt in receipts} == {"enqueued"}
            seconds.append(time.monotonic() - start)
    assert seconds[1] < 2 * seconds[0] + 1
