"""Many threads on one sink: each has its turn, and none cuts another's save short."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from history_sink import HistorySink, Receipt
from history_sink.protocol.contract import UPLOAD
from history_sink.settings import ProducerSettings
from history_sink.transport.broker import Broker
from history_sink.transport.turns import Turns
from plain_store import message
from stack.processes import wait_until
from stack.redis import RedisServer

THREADS = 200


def at_once(call: Callable[[int], Receipt]) -> Counter[tuple[str, str | None]]:
    """What `call` comes to in many threads that begin together, three times each."""
    gate = threading.Barrier(THREADS)

    def run(thread: int) -> list[Receipt]:
        gate.wait(30)
        return [call(thread) for _ in range(3)]

    with ThreadPoolExecutor(THREADS) as threads:
        return Counter((r.state, r.reason) for receipts in threads.map(run, range(THREADS)) for r in receipts)


@pytest.mark.parametrize("sessions", [1, THREADS])
def test_more_threads_than_connections_all_have_their_turn(redis_server: RedisServer, sessions: int) -> None:
    with HistorySink(broker_url=redis_server.new_database()) as sink:
        states = at_once(lambda thread: sink.append(f"s{thread % sessions}", message("a")))
    assert states == {("enqueued", None): 3 * THREADS}


def test_a_connection_that_fails_does_not_cut_short_what_others_send(redis_server: RedisServer) -> None:
    broker = Broker(ProducerSettings(redis_server.new_database(), None))
    is_waiting, may_go_on = threading.Event(), threading.Event()

    def send_slowly(link: Any) -> None:
        connection = link._sender.take()
        connection.connect()
        is_waiting.set()
        assert may_go_on.wait(10)
        assert connection._sock is not None
        connection.send_command("LPUSH", "history.upload", "{}")
        assert connection.read_response() == 3
        link._sender.give_back(connection)

    def fail(link: object) -> None:
        raise ConnectionError

    broker.send(UPLOAD, (), {})
    with ThreadPoolExecutor(1) as threads:
        sent = threads.submit(broker._use_link, send_slowly)
        assert is_waiting.wait(10)
        with pytest.raises(ConnectionError):
            broker._use_link(fail)
        broker.send(UPLOAD, (), {})  # on new connections
        may_go_on.set()
        sent.result(10)
    broker.close()


def test_who_has_waited_longest_is_next_and_nobody_overtakes() -> None:
    turns, order = Turns(1), []
    assert turns.take(0)

    def wait(number: int) -> None:
        assert turns.take(10)
        order.append(number)
        turns.give_back()

    threads = []
    for number in range(5):
        threads.append(threading.Thread(target=wait, args=(number,)))
        threads[-1].start()
        wait_until(lambda: len(turns._waiting) == len(threads), timeout_seconds=5, what="it to wait")
    turns.give_back()
    for thread in threads:
        thread.join(10)
    assert order == [0, 1, 2, 3, 4]


def test_a_turn_that_was_waited_for_in_vain_goes_to_the_next() -> None:
    turns = Turns(1)
    assert turns.take(0)
    assert not turns.take(0.01)
    turns.give_back()
    assert turns.take(0)
    assert not turns.take(0)
